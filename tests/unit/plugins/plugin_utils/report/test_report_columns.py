# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Passed checks in columns: nothing is lost, and what is damaged is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import report_builder as builder
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import columns, model, rundir
from hypothesis import given
from hypothesis import strategies as st

JUDGED = json.loads((Path(__file__).parents[1] / "judge/golden/checks.json").read_text(encoding="utf-8"))
NAMES = st.sampled_from(["", "a", "n1", "n12", "node-1", "node-2", "n1 -> n2", "::1", "\ud800"])
LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES | st.text()
JSON = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
CHECKS = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["us1.a", "us1.b.c"]),
        "source": NAMES,
        "target": st.none() | NAMES,
        "verdict": st.sampled_from(["passed", "passed", "passed", "failed", "skipped", "error"]),
        "expected": JSON,
        "observed": JSON,
        "duration_ms": st.sampled_from([0.0, -0.0, 1.0, 1.5]),
        "evidence": st.dictionaries(NAMES, JSON, max_size=2),
        "reproduce": st.builds("ping {} via {}".format, NAMES, NAMES) | NAMES,
    }
)


def exact(value: Any) -> str:
    """Tell 1 from 1.0 and true, and one order of fields from another."""
    return json.dumps(value)


@given(st.lists(CHECKS, max_size=30))
def test_nothing_is_lost(checks: list[dict[str, Any]]) -> None:
    others, tables = json.loads(json.dumps(columns.encode(checks)))
    assert all(check["verdict"] != "passed" for check in others)
    assert exact(columns.decode(others, tables)) == exact(checks)


@given(st.lists(CHECKS, min_size=1, max_size=3), st.integers(1, 40))
def test_nothing_is_lost_of_many_alike(kinds: list[dict[str, Any]], number: int) -> None:
    hosts = [f"node-{index % 7}" for index in range(number)]
    checks = [
        {**check, "source": host, "target": f"{host}0", "reproduce": f"ssh {host} ping {host}0"}
        for host in hosts
        for check in kinds
    ]
    assert exact(columns.decode(*columns.encode(checks))) == exact(checks)


@pytest.mark.parametrize("name", JUDGED)
def test_what_judges_write_is_not_lost(name: str) -> None:
    checks = [{**check, "at": "2026-11-22T21:30:00.000Z"} for check in JUDGED[name]]
    assert exact(columns.decode(*columns.encode(checks))) == exact(checks)


def test_what_rows_have_in_common_is_written_once() -> None:
    report = builder.passing(30)
    _others, tables = columns.encode(report.checks)
    found = next(table for table in tables if table["check"]["id"] == "us1.reachable.ipv4")
    forms = {".".join(column["of"]): set(column) - {"of"} for column in found["columns"]}
    assert forms.pop("observed.rtt_ms")
    assert forms == {
        "source": {"values", "which"},
        "target": {"values", "which"},
        "expected.address": {"by", "values"},
        "reproduce": {"texts"},
    }
    assert sum(run[2] for run in found["places"]) == 30 * 29
    assert len(json.dumps(tables)) < len(json.dumps(report.checks)) / 5


def test_a_written_report_has_columns_and_reads_as_before(tmp_path: Path) -> None:
    report = builder.failing()
    rundir.write_json(report, tmp_path)
    written = json.loads((tmp_path / "report.json").read_text())
    assert {check["verdict"] for check in written["checks"]} == {"failed", "error", "skipped"}
    assert written["passed"]
    model.validate(written)
    assert model.load(tmp_path).checks == report.checks


def test_a_report_of_the_first_version_reads_as_before(tmp_path: Path) -> None:
    old = {**builder.failing().as_dict(), "schema_version": 1}
    (tmp_path / "report.json").write_text(json.dumps(old))
    assert model.load(tmp_path).checks == old["checks"]
    assert model.load(tmp_path).schema_version == model.SCHEMA_VERSION


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"places": [[0, 1, 2], [1, 1, 1]]}, "the same place"),
        ({"places": [[5, 1, 3]]}, "beyond the last"),
        ({"places": [[0, 1, 2]]}, "has 3 values for 2 rows"),
        ({"places": [[0, 0, 3]]}, "no runs"),
        ({"places": [[0, 1, 10**12]]}, "more than"),
        ({"places": [["0", 1, 3]]}, "no runs"),
        ({"columns": [{"of": ["source"], "values": ["a"], "which": [0, 0, -1]}]}, "below 0"),
        ({"columns": [{"of": ["source"], "values": ["a"], "which": [0, 0, 1]}]}, "IndexError"),
        ({"columns": [{"of": ["source"], "values": ["a"], "by": "target"}]}, "KeyError"),
        ({"columns": [{"of": ["reproduce"], "texts": [["a", ["nothing"]]]}]}, "KeyError"),
        ({"columns": [{"of": [], "each": [1, 2, 3]}]}, "not a field"),
        ({"columns": 3}, "TypeError"),
    ],
)
def test_a_damaged_table_gets_one_sentence(change: dict[str, Any], message: str) -> None:
    data = builder.passing().as_dict()
    check = data["checks"][0]
    data["checks"] = [{**check, "source": name} for name in "abc"]
    packed = columns.pack(data)
    assert len(packed["passed"]) == 1
    packed["passed"][0].update(change)
    with pytest.raises(model.CouldNotRun, match=f"is damaged.*{message}"):
        model.parse(packed)
