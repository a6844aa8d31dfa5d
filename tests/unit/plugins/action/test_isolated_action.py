# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the isolation check tries, look after look."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.action.assert_isolated import ActionModule
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.isolated import Isolated, Wall
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.observations import ICMP, KNOCK, STEPS

HOST = "10.0.0.10"
WALL = replace(mesh.WALLS[0], tcp=(22,), udp=(53, 123))


def acting(*walls: Wall, hostvars: dict[str, Any] | None = None) -> ActionModule:
    action = ActionModule.__new__(ActionModule)
    action.options, action.context = {"noted": False}, mesh.context("isolated")
    action._expect = Isolated(walls=walls, protocols=("sctp", "gre"))
    action._nonce, action.known = "n0nce", {"hostvars": hostvars or {}, "mesh_client": {"id": "1"}}
    action._templar = SimpleNamespace(template=lambda value: value)
    return action


def looked(action: ActionModule, **outcomes: tuple[str, str]) -> str:
    """Return the verdict on UDP of a look in which the router refuses everything but these UDP ports."""
    action.observe(None)
    given = {int(name[1:]): mesh.knocked("udp", int(name[1:]), *outcome) for name, outcome in outcomes.items()}
    rows = [mesh.knocked("tcp", 22), *(given.get(port) or mesh.knocked("udp", port) for port in WALL.udp)]
    steps: dict[str, Any] = {
        ICMP: mesh.seen({HOST: mesh.refused(), **mesh.echoed(WALL.mesh)}),
        KNOCK: mesh.seen([{**row, "host": HOST} for row in rows]),
    }
    answer = mesh.answer(**{STEPS: mesh.seen(steps)})
    return next(check.verdict for check in action.judge(answer) if check.aspect == "udp")


@pytest.mark.parametrize(
    ("wall", "protocols"),
    [
        (WALL, {"tcp", "udp", "sctp", "gre"}),
        (replace(WALL, address="fd02::10", other="ipv6"), {"tcp", "udp", "sctp"}),
        (replace(WALL, address="203.0.113.3", other="public", drops=True), {"tcp", "udp"}),
    ],
)
def test_only_what_is_judged_is_sent(wall: Wall, protocols: set[str]) -> None:
    knock = acting(wall).observe(None)[0]["steps"][1]
    assert knock["sparing"] is True
    assert {target["protocol"] for target in knock["targets"]} == protocols


def test_a_leak_that_was_seen_once_stays_although_the_host_refuses_no_more() -> None:
    action = acting(WALL)
    assert looked(action, _123=("port-unreachable", HOST)) == "failed"
    assert looked(action, _123=("timeout", "")) == "failed"
    assert looked(action, _53=("port-unreachable", HOST), _123=("untried", "")) == "failed"


def test_silent_udp_gets_a_second_look() -> None:
    action = acting(WALL)
    assert [looked(action, _53=("timeout", "")) for _look in range(2)] == ["error", "passed"]


def test_silent_udp_is_judged_at_the_deadline_whatever_was_seen() -> None:
    action = acting(WALL)
    action.elapsed_s = 60.0
    assert looked(action, _53=("timeout", "")) == "passed"


def test_the_host_is_asked_over_the_mesh_what_has_arrived() -> None:
    listens = {"token": "t0ken", "ports": {WALL.mesh: {"tcp": {"port": 4711}, "udp": {"port": 4712}}}}
    for serving, wanted in [
        ({**listens, "witness": True}, {"host": WALL.mesh, "port": 4711, "token": "t0ken"}),
        (listens, None),
        ({"error": "in use"}, None),
        ({}, None),
    ]:
        action = acting(WALL, hostvars={WALL.name: {"mesh_serving": serving}})
        knock = action.observe(None)[0]["steps"][1]
        assert {target["protocol"]: target.get("witness") for target in knock["targets"]} == {
            **dict.fromkeys(("tcp", "udp", "sctp", "gre"), wanted), **({"icmp": wanted} if wanted else {}),
        }  # fmt: skip
        assert knock["nonce"] == ("n0nce" if wanted else "")


def test_a_host_outside_the_mesh_asks_nobody_and_judges_afterwards_what_was_noted() -> None:
    serving = {"token": "t0ken", "ports": {WALL.mesh: {"tcp": {"port": 4711}}}, "witness": True}
    action = acting(WALL, hostvars={WALL.name: {"mesh_serving": serving, "mesh_noted": {"n0nce": [[HOST, "123"]]}}})
    assert action.facts([]) == {}
    del action.known["mesh_client"]
    knock = action.observe(None)[0]["steps"][1]
    assert (knock["nonce"], [target for target in knock["targets"] if "witness" in target]) == ("n0nce", [])
    assert action.facts([]) == {"ansible_facts": {"mesh_knocked": "n0nce"}}
    action.options["noted"] = True
    action.known["mesh_knocked"] = "n0nce"
    assert action.observe(None) == []
    assert [(check.aspect, check.verdict) for check in action.judge({})] == [("arrived", "failed")]
