# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assertions on a real mesh in which one thing was broken: what they fail, what they do not, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from .lab_driver import PROJECT, LabDriver, Machine, standing

pytestmark = pytest.mark.integration

NODES = ("client-node-1", "client-node-2", "client-node-3")
ONE, TWO, THREE = NODES
Checks = dict[tuple[str, str, str | None], dict[str, Any]]


@pytest.fixture(scope="module")
def driver(machine: Machine) -> Iterator[LabDriver]:
    """Return a mesh that the tests of this file break and repair."""
    with standing(LabDriver(machine)) as driver:
        driver.play("up.yml").succeeded()
        yield driver


@pytest.fixture
def broken(driver: LabDriver) -> Callable[..., Checks]:
    """Return what breaks a host with shell commands, makes an assertion, repairs the host and returns the checks."""

    def run(assertion: str, *, on: str, breaks: tuple[str, str, str] | None = None, **options: Any) -> Checks:
        host, fault, repair = breaks or (ONE, "true", "true")
        begin = [{"name": "Begin", "ansible.builtin.import_tasks": str(PROJECT / "playbooks/tasks/begin.yml")}]
        listen = {"meshctl.headscale.serve": {"required": False}, "when": "inventory_hostname in groups.clients"}
        action = {f"meshctl.headscale.{assertion}": {"story": "t", **options}}
        asserted = {"name": "Assert", **action, "ignore_errors": True}
        plays = [
            {"hosts": "clients:headscale", "tasks": [*begin, {"name": "Listen", **listen}]},
            {"hosts": host, "tasks": [{"name": "Break", "ansible.builtin.raw": fault}]},
            {"hosts": on, "tasks": [asserted]},
            {"hosts": host, "tasks": [{"name": "Repair", "ansible.builtin.raw": repair}]},
        ]
        path = driver.machine.home / f"{driver.name}-fault.yml"
        document = [{"gather_facts": False, **play} for play in plays]
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        driver.machine.give(path)
        results = driver.play(path).succeeded().of("Assert")
        checks = [check for result in results.values() for check in result["checks"]]
        return {(check["id"], check["source"], check["target"]): check for check in checks}

    return run


def bad(checks: Checks) -> dict[tuple[str, str, str | None], str]:
    return {key: check["verdict"] for key, check in checks.items() if check["verdict"] != "passed"}


def table(rule: str) -> tuple[str, str]:
    """Return the commands that add an nftables rule (chain and rule) and take it away again."""
    chain, _colon, what = rule.partition(": ")
    added = (
        f"nft add table inet fault && nft 'add chain inet fault c {{ type filter hook {chain} priority -10; }}' && "
        f"nft 'add rule inet fault c {what}'"
    )
    return added, "nft delete table inet fault"


DROPS_PINGS = (TWO, *table("input: iifname tailscale0 meta l4proto icmp drop"))
BLOCKS_UDP = (TWO, *table("output: meta l4proto udp udp dport 1000-65000 drop"))
STOPPED = (
    THREE,
    "/opt/meshctl/bin/tailscale down",
    "/opt/meshctl/bin/tailscale up --login-server=https://headscale.lab.test --hostname=client-node-3",
)
FROZEN = (THREE, "pkill -STOP -x tailscaled", "pkill -CONT -x tailscaled")


def test_a_healthy_mesh_is_found_healthy(broken: Callable[..., Checks]) -> None:
    for assertion in ("assert_connected", "assert_reachable", "assert_path", "assert_encrypted", "assert_isolated"):
        checks = broken(assertion, on="clients")
        assert checks
        assert bad(checks) == {}


def test_a_firewall_on_the_peer_is_told_from_a_broken_tunnel(broken: Callable[..., Checks]) -> None:
    # What is asked here is who answers, not how quickly on a busy machine.
    checks = broken("assert_reachable", on=f"{ONE},{THREE}", breaks=DROPS_PINGS, deadline=1, latency_budget_ms=1000)
    assert set(bad(checks)) == {("t.reachable.ipv4", ONE, TWO), ("t.reachable.ipv4", THREE, TWO)}
    assert "answers WireGuard pings" in checks["t.reachable.ipv4", ONE, TWO]["hint"]
    assert checks["t.reachable.ipv4", ONE, TWO]["reproduce"].startswith("meshctl exec --lab ")
    assert f" {ONE} -- ping " in checks["t.reachable.ipv4", ONE, TWO]["reproduce"]


def test_a_relayed_path_fails_and_an_encrypted_payload_is_still_found(broken: Callable[..., Checks]) -> None:
    # The path that was found before is trusted for some seconds: the deadline is for it to be given up.
    checks = broken("assert_path", on=ONE, breaks=BLOCKS_UDP, path="relay", peers=[TWO], deadline=30)
    assert bad(checks) == {}
    assert checks["t.path", ONE, TWO]["observed"] == {"path": "relay", "derp": "lab"}


def test_a_stopped_client_is_seen_by_itself_its_peers_and_the_server(broken: Callable[..., Checks]) -> None:
    own = broken("assert_connected", on=THREE, breaks=STOPPED, deadline=0)
    assert own["t.connected.self", THREE, None]["verdict"] == "failed"
    assert "tailscale up" in own["t.connected.self", THREE, None]["hint"]
    peers = broken("assert_connected", on=f"{ONE},{TWO}", breaks=STOPPED, offline=[THREE])
    assert bad(peers) == {}
    server = broken("assert_registered", on="headscale", breaks=STOPPED, nodes=[THREE], online="false")
    assert bad(server) == {}
    back = broken("assert_connected", on="clients")
    assert bad(back) == {}


def test_a_frozen_tailscaled_is_an_error_and_no_verdict(broken: Callable[..., Checks]) -> None:
    checks = broken("assert_connected", on=THREE, breaks=FROZEN, deadline=0)
    assert {check["verdict"] for check in checks.values()} == {"error"}
    assert all("did not answer" in check["hint"] for check in checks.values())
    wire = broken("assert_encrypted", on=ONE, breaks=FROZEN, peers=[THREE], deadline=0)
    assert wire["t.encrypted", ONE, THREE]["verdict"] in ("error", "failed")


def test_an_endpoint_that_is_not_the_peers_fails(broken: Callable[..., Checks]) -> None:
    checks = broken("assert_path", on=ONE, peers=[TWO], endpoints={TWO: ["198.51.100.1"]}, path="direct", deadline=1)
    assert bad(checks) == {("t.path", ONE, TWO): "failed"}


def test_a_system_that_does_not_ask_tailscaled_is_told_from_the_wire(broken: Callable[..., Checks]) -> None:
    program = "/opt/meshctl/bin/tailscale set --accept-dns"
    breaks = (TWO, f"{program}=false", f"{program}=true")
    checks = broken("assert_resolves", on=TWO, breaks=breaks, peers=[ONE], deadline=0)
    assert checks["t.resolves.name", TWO, ONE]["verdict"] == "failed"
    assert "the system queries 203.0.113.10: --accept-dns is off" in checks["t.resolves.name", TWO, ONE]["hint"]
    assert checks["t.resolves.dns", TWO, ONE]["verdict"] == "passed"
    wire = checks["t.resolves.wire", TWO, None]
    assert (wire["verdict"], wire["observed"]["asked"]) == ("failed", ["203.0.113.10"])
    assert "203.0.113.10 is queried for names of the mesh" in wire["hint"]
    assert bad(broken("assert_resolves", on=TWO, peers=[ONE])) == {}
