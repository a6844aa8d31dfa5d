# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Alert rules, dashboard and documentation use the metrics that there are, and the service has the options that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from meshctl_headscale._history import facts
from meshctl_headscale._watch import metrics
from meshctl_headscale.cli import app
from project import COLLECTION, ROOT
from typer.main import get_command
from watch_reports import START, report

ROLE = COLLECTION / "roles" / "mesh_watch"
DASHBOARD = ROLE / "files" / "meshctl.dashboard.json"
RULES = ROLE / "files" / "meshctl.rules.yml"


@pytest.fixture(scope="module")
def families() -> dict[str, frozenset[str]]:
    """Return the labels of each metric."""
    pytest.importorskip("prometheus_client", reason="the extra `watch` is not installed")
    found = facts.read(report(START, down={"two"}))
    node = facts.Node(name="one", online=True, last_seen=START, expiry=START, version="1", routes={"offered": 1})
    pair = facts.Pair(source="one", target="two", reachable=True, latency_s=1, loss=0, path="relay", bytes_per_s=1)
    snapshot = metrics.Snapshot(started=START).after(found, "failed", began=START, ended=START)
    snapshot.nodes, snapshot.pairs = [node], [pair]
    samples = [sample for family in metrics.Collector(lambda: snapshot).collect() for sample in family.samples]
    return {sample.name: frozenset(sample.labels) for sample in samples}


def _used(text: str) -> set[str]:
    return set(re.findall(r"\bmeshctl_[a-z_]+", text))


def test_alert_rules_use_metrics_that_there_are(families: dict[str, frozenset[str]]) -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        assert _used(rule["expr"]) <= set(families)
        assert _used(str(rule["annotations"])) <= set(families)
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]


def test_the_dashboard_uses_metrics_and_labels_that_there_are(families: dict[str, frozenset[str]]) -> None:
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert len(targets) > 15
    for target in targets:
        names = _used(target["expr"])
        assert names <= set(families), target
        labels = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
        assert labels <= frozenset().union(*(families[name] for name in names)), target
    # Every measure of a pair, a node and a story is in it.
    shown = _used(DASHBOARD.read_text())
    assert {name for name in families if name.startswith(("meshctl_pair_", "meshctl_story_duration"))} <= shown


def _promtool(path: Path, expressions: list[str]) -> subprocess.CompletedProcess[str]:
    """Let promtool parse expressions, as recording rules."""
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(expressions)]
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    return subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_understands_every_panel(tmp_path: Path) -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    done = _promtool(tmp_path / "panels.yml", expressions)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(expressions)} rules found" in done.stdout
    assert _promtool(tmp_path / "broken.yml", [expressions[0].replace("}", "")]).returncode != 0


def test_the_dashboard_has_what_grafana_needs_to_import_it() -> None:
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= set(dashboard)
    assert len(dashboard["uid"]) <= 40
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        assert panel["type"] in ("stat", "table", "timeseries", "state-timeline")
        assert panel["title"]
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _y in own) < 24, panel["title"]
        assert not own & cells, f"{panel['title']} covers another panel"
        cells |= own
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names)
        for source in (panel, *panel["targets"]):
            assert source["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert {"defaults", "overrides"} <= set(panel["fieldConfig"])
    used = set(re.findall(r"\$\{?([a-z]\w*)", DASHBOARD.read_text()))
    assert used == variables


def test_every_metric_is_documented_with_its_labels(families: dict[str, frozenset[str]]) -> None:
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `meshctl_")]
    documented = {
        name: set(re.findall(r"`([a-z]+)`", row.split("|")[2])) for row in rows for name in _used(row.split("|")[1])
    }
    assert set(documented) == set(families)
    assert {name: labels for name, labels in families.items() if documented[name] != labels} == {}


def test_the_service_uses_options_that_there_are() -> None:
    text = (ROLE / "templates" / "meshctl-watch.service.j2").read_text()
    known = {option for parameter in get_command(app).commands["watch"].params for option in parameter.opts}  # type: ignore[attr-defined]
    used = set(re.findall(r"'(--[a-z-]+)'", text))
    assert len(used) > 7
    assert used <= known
