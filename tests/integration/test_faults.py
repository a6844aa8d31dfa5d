# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A few faults of each family on the real mesh. All of them: `meshctl faults drill`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .lab_driver import LabDriver, Machine, standing, wait_for

pytestmark = pytest.mark.integration

# One of each family and of each kind of verdict: those of a drill by meshctl, and those of one by ansible-playbook.
REPRESENTATIVE = (
    "mtu-black-hole",
    "clear-beside-mesh",
    "dns-right-hosts-entry",
    "python-missing",
    "runs-directory-unwritable",
)
BY_PLAYBOOK = ("service-forwarded", "physical-rejected")
# Those that once were not caught.
ONCE_MISSED = (
    "loss-30",
    "slow-line",
    "client-stutters",
    "mesh-address-taken",
    "control-down",
    "wrong-gateway",
    "leak-udp-unanswered",
    "segment-sizes-lost",
    "source-ports-blocked",
)


@pytest.fixture(scope="module")
def broken(machine: Machine) -> Iterator[LabDriver]:
    """Return a mesh that tests break and mend."""
    with standing(LabDriver(machine)) as driver:
        driver.play("up.yml").succeeded()
        yield driver


def _start(driver: LabDriver, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "meshctl_headscale", "faults", *words, "--lab", driver.name, "-i", str(driver.path)],
        cwd=driver.machine.home,
        env=driver.machine.env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _faults(driver: LabDriver, *words: str, seconds: float = 120) -> tuple[int, str, str]:
    process = _start(driver, *words)
    try:
        out, err = process.communicate(timeout=seconds)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, out, err


def _active(driver: LabDriver) -> list[str]:
    code, out, err = _faults(driver, "list", "--json")
    assert code == 0, err
    return [fault["id"] for fault in json.loads(out)["faults"] if fault["active"]]


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(REPRESENTATIVE, id="representative"),
        pytest.param(ONCE_MISSED, id="once-missed", marks=pytest.mark.slow),
    ],
)
def test_a_part_of_the_catalogue_is_caught_named_and_undone(broken: LabDriver, faults: tuple[str, ...]) -> None:
    chosen = [word for fault in faults for word in ("--fault", fault)]
    code, out, err = _faults(broken, "drill", "--json", *chosen, seconds=900)
    assert out, err
    found = json.loads(out)
    bad = [outcome for outcome in found["outcomes"] if not outcome["good"]]
    assert (code, bad) == (0, []), json.dumps(bad, indent=1)
    assert found["faults"] == len(faults)
    assert _active(broken) == []


@pytest.mark.parametrize(
    ("fault", "query", "value"),
    [("client-down", "BackendState", "Running"), ("dns-magic-off", "CurrentTailnet.MagicDNSEnabled", True)],
)
def test_a_query_of_the_clients_status_turns_red(broken: LabDriver, fault: str, query: str, value: Any) -> None:
    asked = [{"name": "Ask", "meshctl.headscale.assert_query": {"from": "status", "query": query, "equals": value}}]
    assert broken.tasks("client-node-2", asked).status == 0
    code, _out, err = _faults(broken, "inject", fault)
    assert code == 0, err
    try:
        failed = broken.tasks("client-node-2", asked)
        assert failed.status != 0
        assert failed.of("Ask")["client-node-2"]["checks"][0]["verdict"] == "failed"
    finally:
        code, _out, err = _faults(broken, "clear")
    assert code == 0, err
    broken.tasks(
        "client-node-2", [{**asked[0], "until": "result is success", "register": "result", "retries": 50, "delay": 0.2}]
    ).succeeded()


def test_what_is_injected_is_shown_and_cleared_by_another_process(broken: LabDriver) -> None:
    assert _faults(broken, "inject", "loss-30")[0] == 0
    assert _active(broken) == ["loss-30"]
    code, _out, err = _faults(broken, "inject", "loss-30")
    assert code == 3
    assert "already" in err
    assert _faults(broken, "drill", "--fault", "loss-30")[0] == 2, "a drill in a broken lab proves nothing"
    assert _faults(broken, "clear", "loss-30")[0] == 0
    assert _active(broken) == []
    assert "netdev fault" not in broken.inside(broken.init(), ["nft", "list", "tables"]).stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_an_interrupted_drill_undoes_what_it_has_injected(broken: LabDriver, number: signal.Signals) -> None:
    record = broken.directory / "faults.json"
    process = _start(broken, "drill", "--fault", "cable-pulled")
    wait_for(record.exists, "the fault is injected", seconds=60)
    os.kill(process.pid, number)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert not record.exists()
    port = broken.record()["ports"] if "ports" in broken.record() else broken.record()["topology"]["ports"]
    assert "UP" in broken.inside(broken.init(), ["ip", "-j", "link", "show", port["client-node-2"]]).stdout


@pytest.mark.slow
def test_ctrl_c_in_an_outage_brings_the_mesh_back(broken: LabDriver) -> None:
    ports = [broken.record()["topology"]["ports"][name] for name in broken.hosts("clients")]

    def pulled() -> bool:
        shown = [broken.inside(broken.init(), ["ip", "-j", "link", "show", port]).stdout for port in ports]
        return not all('"UP"' in state for state in shown)

    process = subprocess.Popen(
        [sys.executable, "-m", "meshctl_headscale", "run", "us1", "--lab", broken.name, "-i", str(broken.path)],
        cwd=broken.machine.home, env=broken.machine.env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    wait_for(pulled, "the story pulls a cable", seconds=300)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert "Undoing what the story disturbed" in said
    assert not pulled()


def test_a_drill_by_ansible_playbook_alone(broken: LabDriver, tmp_path: Path) -> None:
    figures = tmp_path / "faults.json"
    given = {"faults": BY_PLAYBOOK, "drill_labs": [broken.name], "drill_figures": str(figures)}
    done = broken.play("faults/drill.yml", "-e", json.dumps(given)).succeeded()
    (verdict,) = done.of("the mesh recovered").values()
    assert verdict["figures"]["good"] == len(BY_PLAYBOOK)
    assert set(json.loads(figures.read_text(encoding="utf-8"))) == set(BY_PLAYBOOK)
    assert _active(broken) == []


def test_a_fault_of_a_drill_that_was_killed_is_undone_by_the_next_up(broken: LabDriver) -> None:
    record = broken.directory / "faults.json"
    process = _start(broken, "drill", "--fault", "cable-pulled")
    wait_for(record.exists, "the fault is injected", seconds=60)
    drilling = int(json.loads(record.read_text(encoding="utf-8"))[0]["drill"][0])
    for pid in (*_children(drilling), drilling, process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    if record.exists():
        broken.play("up.yml").succeeded()
    assert not record.exists()


def _children(pid: int) -> list[int]:
    """Return the processes below one, the lowest first, so that none can undo anything."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return [pid for child in map(int, found) for pid in (*_children(child), child)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inject", "loss-31"], "Did you mean loss-30"),
        (["drill", "--family", "weather"], "There is no family 'weather'"),
        (["clear", "loss-30"], "is not in the lab"),
    ],
)
def test_wrong_usage_is_one_sentence(broken: LabDriver, words: list[str], said: str) -> None:
    code, _out, err = _faults(broken, *words)
    assert code == 2
    assert said in err
    assert "Traceback" not in err
