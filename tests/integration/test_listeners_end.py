# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listeners and watches end in time, whichever process of a run is killed, and whenever."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from .lab_driver import WITH_REPORT, LabDriver, end_group, family, wait_for

pytestmark = pytest.mark.integration

SECONDS = 5.0
NODES = {"client-node-2": {"addresses": ["10.0.0.10"]}, "client-node-3": {"addresses": ["10.0.0.11"]}}
# What is killed, the seconds after the first of the host's Pythons was seen, and whether hosts get forks.
STRIKES = [
    ("controller", 0.0, True),
    ("controller", 0.4, True),
    ("controller", 0.4, False),
    ("connection", 0.05, True),
    ("connection", 0.05, False),
    ("host", 0.0, True),
    ("host", 0.1, True),
    ("host", 0.1, False),
    ("nothing", 0.0, False),
    ("nothing", 0.0, True),
]
# The program that a lab's probes are forks of.
FORKED = b"forked.py"


def playbook(driver: LabDriver) -> Path:
    """Write a play in which two nodes listen and watch each other."""
    tasks = [
        {"name": "Listen", "meshctl.headscale.serve": {
            "seconds": SECONDS, "addresses": "{{ nodes[inventory_hostname].addresses }}", "required": False}},
        {"name": "Watch", "meshctl.headscale.hold": {"seconds": SECONDS, "nodes": NODES}},
    ]  # fmt: skip
    path = driver.machine.home / f"{driver.name}-listen.yml"
    play = {"hosts": ",".join(NODES), "gather_facts": False, "vars": {"nodes": NODES}, "tasks": tasks}
    path.write_text(yaml.safe_dump([play]), encoding="utf-8")
    return path


def probes(pid: int) -> list[int]:
    """Return the Pythons with the probe below a process."""
    found = []
    for one, _started in family(pid):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{one}/cmdline").read_bytes().split(b"\0")
            if b"python3" in words[0] and (b"-ISc" in words or (FORKED in words and not here(one))):
                found.append(one)
    return found


def here(pid: int) -> bool:
    """Return whether a process is not one of a machine."""
    return Path(f"/proc/{pid}/ns/pid").readlink() == Path("/proc/self/ns/pid").readlink()


def strike(process: subprocess.Popen[str], victim: str, delay: float) -> None:
    """Kill a part of a run once its first probe runs."""
    wait_for(lambda: probes(process.pid) or process.poll() is not None, "a probe runs")
    time.sleep(delay)
    with contextlib.suppress(ProcessLookupError):
        if victim == "controller":
            os.killpg(process.pid, signal.SIGKILL)
        elif victim == "host":
            for one in probes(process.pid):
                os.kill(one, signal.SIGKILL)
        elif victim == "connection":
            for one in carriers(process.pid):
                os.kill(one, signal.SIGKILL)


def carriers(pid: int) -> list[int]:
    """Return the processes by which a run reaches into machines; Ansible itself waits for its workers for ever."""
    found = []
    for one, _started in family(pid):
        with contextlib.suppress(OSError):
            comm = Path(f"/proc/{one}/comm").read_text(encoding="utf-8").strip()
            forks = FORKED in Path(f"/proc/{one}/cmdline").read_bytes().split(b"\0") and here(one)
            if comm in ("nsenter", "sh", "timeout") or forks:
                found.append(one)
    return found


def test_no_listener_is_left_one_second_past_its_deadline_whatever_is_killed(bare: LabDriver) -> None:
    path = playbook(bare)
    for victim, delay, forks in STRIKES:
        process = bare.start(path, **(WITH_REPORT if forks else {}))
        try:
            strike(process, victim, delay)
            output = process.communicate(timeout=60)[0] if victim != "controller" else ""
        finally:
            end_group(process)
        last = time.monotonic()
        if victim == "nothing":
            assert process.returncode == 0, output
            # The run has ended, and what it has started goes on: at least the watches, which began last.
            assert len(probes(bare.supervisor())) >= 2
    wait_for(lambda: time.monotonic() >= last + SECONDS + 1, "the deadline is over")
    assert probes(bare.supervisor()) == []
    for name in NODES:
        assert "@meshctl-" not in bare.shell(name, "cat /proc/net/unix")
        assert "python" not in bare.shell(name, "ss -Hltunp")
