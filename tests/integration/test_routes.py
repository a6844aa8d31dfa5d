# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What US6 changes in a mesh is taken back, also by the next `up` after the story was killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab_driver import LabDriver, Machine, standing, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def routed(machine: Machine) -> Iterator[LabDriver]:
    """Return a mesh whose routes a story sets up."""
    with standing(LabDriver(machine)) as driver:
        driver.play("up.yml").succeeded()
        yield driver


def _state(driver: LabDriver) -> dict[str, object]:
    """Return what the story changes: preferences, approved routes and the policy."""
    found: dict[str, object] = {}
    for number in (1, 2, 3):
        prefs = json.loads(driver.shell(f"client-node-{number}", "tailscale debug prefs"))
        names = ("RouteAll", "AdvertiseRoutes", "NoSNAT", "ExitNodeID", "ExitNodeAllowLANAccess", "WantRunning")
        switch = driver.shell(f"client-node-{number}", "cat /proc/sys/net/ipv4/ip_forward")
        found[f"client-node-{number}"] = [*(prefs.get(name) for name in names), switch]
    nodes = json.loads(driver.shell("headscale-server", "headscale nodes list -o json"))
    found["approved"] = sorted((node["given_name"], node.get("approved_routes") or []) for node in nodes)
    found["policy"] = json.loads(driver.shell("headscale-server", "headscale policy get"))
    return found


def _below(pid: int) -> list[int]:
    """Return the processes below one, the lowest first, so that none can undo anything."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return [pid for child in map(int, found) for pid in (*_below(child), child)]


def test_the_next_up_takes_back_what_a_killed_story_changed(routed: LabDriver) -> None:
    before = _state(routed)
    record = routed.directory / "faults.json"
    words = ["run", "us6", "--no-deploy", "--lab", routed.name, "-i", str(routed.path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "meshctl_headscale", *words],
        cwd=routed.machine.home,
        env=routed.machine.env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(record.exists, "the story keeps what it changes", seconds=90)
    wait_for(lambda: _state(routed)["approved"] != before["approved"], "routes are approved", seconds=90)
    playing = int(json.loads(record.read_text(encoding="utf-8"))[0]["drill"][0])
    for pid in (*_below(playing), playing, *_below(process.pid), process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(timeout=60)
    assert record.exists()
    routed.play("up.yml").succeeded()
    assert not record.exists()
    assert _state(routed) == before
