# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What US5 and US6 change in a mesh is taken back, also by the next `up` after the story was killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
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
    found["nodes"] = sorted(node["name"] for node in nodes)
    users = json.loads(driver.shell("headscale-server", "headscale users list -o json"))
    found["users"] = sorted(user["name"] for user in users)
    found["spare"] = driver.shell("client-node-4", "ls /etc/service /var/lib/tailscale 2>/dev/null || true")
    return found


def _start(driver: LabDriver, story: str) -> subprocess.Popen[bytes]:
    """Start a story as users do."""
    words = ["run", story, "--no-deploy", "--lab", driver.name, "-i", str(driver.path)]
    return subprocess.Popen(
        [sys.executable, "-m", "meshctl_headscale", *words],
        cwd=driver.machine.home,
        env=driver.machine.env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _kill(process: subprocess.Popen[bytes], *others: int) -> None:
    """Kill a story with everything below it."""
    for pid in (*(below for other in others for below in (*_below(other), other)), *_below(process.pid), process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(timeout=60)


def _below(pid: int) -> list[int]:
    """Return the processes below one, the lowest first, so that none can undo anything."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return [pid for child in map(int, found) for pid in (*_below(child), child)]


def _routes(driver: LabDriver, number: int) -> dict[str, list[str]]:
    """Return what the server says of a client's routes."""
    nodes = json.loads(driver.shell("headscale-server", "headscale nodes list -o json"))
    record = next(node for node in nodes if node["given_name"] == f"client-node-{number}")
    return {name: record.get(f"{name}_routes") or [] for name in ("approved", "available", "subnet")}


def _approved(driver: LabDriver) -> bool:
    return bool(_routes(driver, 1)["approved"])


def _cut_off(driver: LabDriver) -> bool:
    tables = driver.shell("client-node-2", "nft list tables")
    return "meshctl-cut" in tables and _routes(driver, 3)["subnet"] == ["10.0.0.0/24"]


def _carrier(driver: LabDriver, number: int) -> str:
    return driver.shell(f"client-node-{number}", "cat /sys/class/net/eth0/carrier 2>/dev/null || echo 0").strip()


@pytest.mark.parametrize(
    ("moment", "what"),
    [
        (_approved, "routes are approved"),
        (_cut_off, "the second router serves, and the first is cut off from the server"),
    ],
    ids=["approved", "cut-off"],
)
def test_the_next_up_takes_back_what_a_killed_story_changed(
    routed: LabDriver, moment: Callable[[LabDriver], bool], what: str
) -> None:
    before = _state(routed)
    record = routed.directory / "faults.json"
    process = _start(routed, "us6")
    wait_for(record.exists, "the story keeps what it changes", seconds=90)
    wait_for(lambda: moment(routed), what, seconds=300)
    playing = int(json.loads(record.read_text(encoding="utf-8"))[0]["drill"][0])
    _kill(process, playing)
    assert record.exists()
    routed.play("up.yml").succeeded()
    assert not record.exists()
    assert _state(routed) == before
    for number in (2, 3):
        assert "meshctl-cut" not in routed.shell(f"client-node-{number}", "nft list tables")
        assert _carrier(routed, number) == "1"
    # Preferences that only a client knows would not say whether the server hears it again.
    routed.play("stories/us1.yml").succeeded()


def _narrowed(driver: LabDriver) -> bool:
    # Of all policies of the story, only narrowed ones have no grant for the guests.
    policy = json.loads(driver.shell("headscale-server", "headscale policy get"))
    return "group:meshctl-staff" in policy.get("groups", {}) and len(policy["grants"]) == 1


def _tagged(driver: LabDriver) -> bool:
    return "tag:meshctl-extra" in driver.shell("headscale-server", "headscale nodes list -o json")


@pytest.mark.parametrize(
    ("moment", "deployed"),
    [(_narrowed, False), (_tagged, True)],
    ids=["narrowed-not-deployed", "tagged"],
)
def test_what_a_killed_story_did_to_the_policy_is_taken_back(
    routed: LabDriver, moment: Callable[[LabDriver], bool], deployed: bool
) -> None:
    before = _state(routed)
    process = _start(routed, "us5")
    wait_for(lambda: moment(routed), moment.__name__, seconds=300)
    assert process.poll() is None
    _kill(process)
    assert _state(routed) != before
    if deployed:
        routed.play("up.yml").succeeded()
        assert _state(routed) == before
    # Without `up`, the story itself restores what was before.
    routed.play("stories/us5.yml").succeeded()
    assert _state(routed) == before
