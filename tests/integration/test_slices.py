# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run in slices makes the checks that the whole run makes, on a real mesh."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import use
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.supervisor import LabError
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.merge import merge

from .lab_driver import PROJECT, LabDriver, wait_for
from .own_hosts import needs_root, own_mesh

pytestmark = pytest.mark.integration

STORIES = ["us1", "us2", "us3", "us4"]
_LONGEST_S = 600.0
# The mesh is observed only, so that nothing but the slices differs.
CALM = ["-e", "mesh_allow_disruptive=false"]


def _start(lab: LabDriver, name: str, *words: str) -> subprocess.Popen[str]:
    lab.path.write_text(yaml.safe_dump(lab.inventory, sort_keys=False), encoding="utf-8")
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("meshctl")), *words, "-i", str(lab.path)],
        cwd=PROJECT,
        env=lab.machine.env(MESHCTL_RUNS_DIR=str(_runs(lab, name))),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _runs(lab: LabDriver, name: str) -> Path:
    return lab.machine.home / f"{lab.name}-{name}"


def _run(lab: LabDriver, name: str, *words: str, code: int = 0) -> dict[str, Any]:
    """Return the report of a run of meshctl."""
    process = _start(lab, name, *words)
    output, _ = process.communicate(timeout=_LONGEST_S)
    assert process.returncode == code, output
    return model.load(next(_runs(lab, name).glob("[!l]*/report.json"))).as_dict()


def _playbooks(lab: LabDriver) -> list[str]:
    """Return the processes of Ansible that work on the lab."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().decode(errors="replace")
            if "ansible-playbook" in words and str(lab.path) in words:
                found.append(entry.parent.name)
    return found


def _passed(runs: Path) -> int:
    """Return the number of slices with a check that passed."""
    reports = [json.loads(path.read_text()) for path in runs.glob("*/slices/*/report.json")]
    return sum(report["counts"]["passed"] > 0 for report in reports)


def _checks(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return what was checked, and how it ended; ports are chosen anew in each run."""
    return sorted(
        (check["id"], check["source"], str(check["target"]), check["verdict"], _expected(check))
        for check in report["checks"]
    )


def _expected(check: dict[str, Any]) -> str:
    expected = check["expected"]
    if isinstance(expected, dict):
        expected = {key: value for key, value in expected.items() if key != "port"}
    return json.dumps(expected, sort_keys=True)


def _same(sliced: dict[str, Any], whole: dict[str, Any]) -> None:
    assert _checks(sliced) == _checks(whole)
    assert sliced["counts"] == whole["counts"]
    assert sliced["verdict"] == whole["verdict"]
    for key in ("versions", "topology", "inventory", "playbooks"):
        assert sliced[key] == whole[key], key
    assert [(one["id"], one["title"], one["verdict"]) for one in sliced["stories"]] == [
        (one["id"], one["title"], one["verdict"]) for one in whole["stories"]
    ]


def test_a_story_in_slices_makes_the_same_checks(own_lab: LabDriver) -> None:
    sliced = _run(own_lab, "sliced", "run", "us1", "--no-deploy", "--slices", "2")
    _same(sliced, _run(own_lab, "whole", "run", "us1", "--no-deploy", *CALM))
    # The pairs cross the slices, with listeners and watches as well.
    assert {check["assertion"] for check in sliced["checks"]} >= {"connected", "reachable", "path"}
    assert any(check["aspect"].startswith("tcp") for check in sliced["checks"])


def test_ctrl_c_stops_every_slice_and_keeps_what_was_found(own_lab: LabDriver) -> None:
    process = _start(own_lab, "stopped", "run", "us1", "--no-deploy", "--slices", "3")
    runs = _runs(own_lab, "stopped")
    try:
        wait_for(lambda: _passed(runs) == 3 or process.poll() is not None, "every slice has checks", seconds=120)
        assert len(_playbooks(own_lab)) >= 3
        with pytest.raises(LabError, match="is in use by `meshctl run us1 --slices 3"):
            use.claim(own_lab.directory, use.Play.this("another run"), patience_s=0)
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=_LONGEST_S)
        print(output)
    assert process.returncode == 130
    assert _playbooks(own_lab) == []
    (directory,) = runs.glob("[!l]*")
    report = json.loads((directory / "report.json").read_text())
    assert report["verdict"] == "interrupted"
    assert report["counts"]["passed"] > 0
    # The lab is free again.
    use.claim(own_lab.directory, use.Play.this("another run"), patience_s=0)
    use.release(own_lab.directory)


@pytest.mark.slow
def test_all_stories_in_slices_make_the_same_checks(own_lab: LabDriver) -> None:
    sliced = _run(own_lab, "four-sliced", "run", *STORIES, "--no-deploy", "--slices", "3")
    _same(sliced, _run(own_lab, "four-whole", "run", *STORIES, "--no-deploy", *CALM))


@pytest.mark.slow
def test_the_doctor_in_slices_finds_the_same(own_lab: LabDriver) -> None:
    sliced = _run(own_lab, "doctor-sliced", "doctor", "--mesh", "--slices", "3")
    _same(sliced, _run(own_lab, "doctor-whole", "doctor", "--mesh"))


@pytest.mark.slow
def test_a_node_that_is_down_fails_the_same_checks(own_lab: LabDriver) -> None:
    own_lab.shell("client-node-2", "tailscale down")
    try:
        sliced = _run(own_lab, "down-sliced", "run", "us1", "--no-deploy", "--slices", "2", code=1)
        whole = _run(own_lab, "down-whole", "run", "us1", "--no-deploy", *CALM, code=1)
    finally:
        own_lab.shell("client-node-2", "tailscale up")
    assert _bad(sliced) == _bad(whole)
    assert ("us1.reachable.ipv4", "client-node-1", "client-node-2") in _bad(sliced)
    assert ("us1.reachable.ipv4", "client-node-1", "client-node-3") not in _bad(sliced)


def _bad(report: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (check["id"], check["source"], check["target"])
        for check in report["checks"]
        if check["verdict"] in ("failed", "error")
    }


@pytest.mark.slow
@pytest.mark.skipif(needs_root(), reason="entering the machines of own hosts is left to root")
def test_jobs_of_a_sliced_template_in_awx_make_the_same_checks(own_lab: LabDriver, tmp_path: Path) -> None:
    with own_mesh(own_lab, tmp_path / "own") as own:
        own.inventory["all"]["children"]["headscale"] = {
            "hosts": {"headscale-api": {"ansible_connection": "local", "mesh_api_key_file": str(own.key_file)}}
        }
        whole = own.play("us1.yml", "us2.yml")
        assert whole.bad() == []
        inventory = own.inventory
        parts = []
        for number in range(2):
            own.inventory = _as_awx(inventory, number, 2)
            ran = own.play(
                "us1.yml", "us2.yml", "-e", "{mesh_slices: 2, mesh_probe_ports: []}",
                HEADSCALE_API_KEY_FILE=str(own.key_file),
            )  # fmt: skip
            assert ran.status == 0, ran.output[-3000:]
            parts.append(model.load(next(ran.run_dir.rglob("report.json")).parent))
    merged = merge(parts, run_id="merged").as_dict()
    assert _checks(merged) == _checks(whole.report)
    assert merged["verdict"] == whole.report["verdict"] == "passed"


def _as_awx(inventory: dict[str, Any], number: int, count: int) -> dict[str, Any]:
    """Return the inventory of a slice: AWX sorts the hosts by name and leaves out all others."""
    groups = inventory["all"]["children"]
    names = sorted(host for group in groups.values() for host in group["hosts"])[number::count]
    kept = {
        name: {**group, "hosts": hosts}
        for name, group in groups.items()
        if (hosts := {host: known for host, known in group["hosts"].items() if host in names})
    }
    return {"all": {**inventory["all"], "children": kept}}
