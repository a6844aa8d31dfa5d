# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A large mesh of which a sample of pairs is checked: no false alarm, and ten faults at once are all caught."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._expectations.pairs import Sample
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.handed import handed_over

from .lab_driver import LabDriver, Machine, standing

pytestmark = [pytest.mark.integration, pytest.mark.slow]

COUNT = int(os.environ.get("MESHCTL_LARGE_LAB", "50"))
_SEED, _PER_NODE = 3, 6
NODES = tuple(f"node-{number:03}" for number in range(1, COUNT + 1))
SUBNETS = {node: ("subnet-a", "subnet-b")[at % 2] for at, node in enumerate(NODES)}
SAMPLE = Sample(nodes=NODES, per_node=_PER_NODE, seed=_SEED, subnets=SUBNETS)


def _rule(match: str) -> str:
    """Return a command that adds a rule for what a node receives."""
    chain = "add table inet fault; add chain inet fault in { type filter hook input priority -300; }"
    return f"nft '{chain}; add rule inet fault in {match}'"


_MESH = "iifname tailscale0"
_PAIR = (min(source for source, target in SAMPLE.pairs if target == NODES[-1]), NODES[-1])


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is done to a node, and the check of a pair with it that must fail, with its cause."""

    command: str
    check: str
    cause: str


FAULTS = (
    Fault(command=_rule(f"{_MESH} meta l4proto icmp drop"), check="us1.reachable.ipv4", cause="."),
    Fault(command=_rule(f"{_MESH} meta l4proto icmpv6 drop"), check="us1.reachable.ipv6", cause="."),
    Fault(
        command=_rule(f"{_MESH} meta l4proto {{ icmp, icmpv6 }} numgen random mod 100 < 30 drop"),
        check="us1.reachable.loss",
        cause="packets are lost",
    ),
    Fault(command=_rule(f"{_MESH} meta length > 1100 drop"), check="us1.reachable.large", cause="large ones do not"),
    Fault(command="tailscale down", check="us1.connected", cause="."),
    Fault(command=_rule(f"{_MESH} tcp flags syn / syn,ack drop"), check="us1.reachable.tcp", cause="."),
    Fault(command=_rule(f"{_MESH} meta l4proto udp drop"), check="us1.reachable.udp", cause="."),
    Fault(
        command=_rule(f"{_MESH} meta l4proto tcp limit rate over 20 kbytes/second burst 200 kbytes drop"),
        check="us1.reachable.bulk",
        cause=".",
    ),
    # Every client of a lab has its own port in this range.
    Fault(command=_rule("iifname eth0 udp dport 41000-43999 drop"), check="us1.path", cause="."),
)


@pytest.fixture(scope="module")
def large(machine: Machine) -> Iterator[LabDriver]:
    """Bring up the lab and the mesh."""
    driver = LabDriver(machine)
    del driver.inventory["all"]["children"]["spare"]
    del driver.vars["mesh_routes"], driver.vars["mesh_exit_nodes"]
    driver.vars["mesh_allow_disruptive"] = False
    driver.vars["mesh_pairs"] = {"per_node": _PER_NODE, "seed": _SEED}
    driver.inventory["all"]["children"]["clients"] = {
        "hosts": {node: {"mesh_subnet": subnet} for node, subnet in SUBNETS.items()}
    }
    with standing(driver):
        driver.play("up.yml", seconds=10 * COUNT + 120).succeeded()
        yield driver


def _checks(driver: LabDriver) -> list[dict[str, Any]]:
    played = driver.play("stories/us1.yml", seconds=10 * COUNT + 300)
    return [check for result in played.results for check in handed_over(result["result"])]


def test_a_healthy_mesh_passes(large: LabDriver) -> None:
    checks = _checks(large)
    assert [check for check in checks if check["verdict"] in ("failed", "error")] == []
    pairs = {(check["source"], check["target"]) for check in checks if check["id"] == "us1.reachable.ipv4"}
    assert pairs == SAMPLE.pairs


def _broken(large: LabDriver) -> dict[str, Fault]:
    """Break nine nodes and one pair; return the nodes with their faults."""
    step = COUNT // (len(FAULTS) + 1)
    nodes = {NODES[step * turn]: fault for turn, fault in enumerate(FAULTS)}
    known = {node["given_name"]: node["ip_addresses"] for node in json.loads(
        large.shell("headscale-server", "headscale nodes list --output json")
    )}  # fmt: skip
    four, six = sorted(known[_PAIR[0]], key=lambda address: ":" in address)
    silent = f"{_rule(f'{_MESH} ip saddr {four} drop')}; {_rule(f'{_MESH} ip6 saddr {six} drop')}"
    nodes[_PAIR[1]] = Fault(command=silent, check="us1.reachable.ipv4", cause=".")
    for node, fault in nodes.items():
        large.shell(node, fault.command)
    return nodes


def test_ten_faults_are_caught_and_nothing_else_fails(large: LabDriver) -> None:
    broken = _broken(large)
    bad = [check for check in _checks(large) if check["verdict"] in ("failed", "error")]
    assert [check for check in bad if not {check["source"], check["target"]} & set(broken)] == []
    for node, fault in broken.items():
        ends = {_PAIR} if node == _PAIR[1] else {pair for pair in SAMPLE.pairs if node in pair} | {(node, None)}
        found = [
            check for check in bad
            if check["id"].startswith(fault.check) and (check["source"], check["target"]) in ends
        ]  # fmt: skip
        assert found, (node, fault)
        assert any(re.search(fault.cause, check["hint"]) for check in found), (fault, found[0]["hint"])
