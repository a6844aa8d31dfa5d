# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a service's page must not be found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.private import Place, Private, judge_private

OWN = ("100.64.0.1", 80)
PLACES = (
    Place(name="one", tried=(("100.64.0.1", "tcp", 8080), ("100.64.0.1", "udp", 8080))),
    Place(name="three", tried=(("10.0.0.11", "tcp", 80), ("10.0.0.11", "tcp", 8080), ("10.0.0.11", "udp", 53))),
    Place(name="router-a", tried=(("203.0.113.2", "tcp", 22), ("203.0.113.2", "udp", 22))),
)
EXPECT = Private(service="one", places=PLACES, own=OWN, routers=frozenset({"router-a"}))


def row(host: str, protocol: str, port: int, outcome: str = "refused", *, found: bool = False) -> dict[str, Any]:
    return {"host": host, "protocol": protocol, "port": port, "outcome": outcome, "found": found}


def judged(
    *rows: dict[str, Any], service: bool = True, expect: Private = EXPECT, data: bool = True
) -> dict[tuple[str, str | None], Check]:
    """Return the checks where every attempt that is not given was refused."""
    given = {(one["host"], one["protocol"], one["port"]): one for one in rows}
    tried = [key for place in expect.places for key in place.tried]
    found = [given.get(key) or row(*key) for key in tried]
    found.append(row(OWN[0], "tcp", OWN[1], "connected", found=service))
    answer = mesh.answer(knock=mesh.seen(found) if data else mesh.unseen("deadline", "no answer in time"))
    return {(check.aspect, check.target): check for check in judge_private(answer, mesh.context("private"), expect)}


def test_a_page_that_is_nowhere_else_passes() -> None:
    found = judged()
    assert set(found) == {(protocol, place.name) for place in PLACES for protocol in ("tcp", "udp")}
    assert {check.verdict for check in found.values()} == {"passed"}
    assert found["tcp", "three"].expected == {"addresses": ["10.0.0.11"], "ports": [80, 8080], "page": "absent"}


def test_other_services_may_answer() -> None:
    assert judged(row("10.0.0.11", "tcp", 80, "connected"))["tcp", "three"].verdict == "passed"
    assert judged(row("10.0.0.11", "udp", 53, "answered"))["udp", "three"].verdict == "passed"


@pytest.mark.parametrize(
    ("where", "target", "said"),
    [
        (("100.64.0.1", "tcp", 8080), "one", "also found at 100.64.0.1 port 8080 over TCP: a second listener"),
        (
            ("10.0.0.11", "tcp", 8080),
            "three",
            "three serves the service's page at 10.0.0.11 port 8080 over TCP: a proxy",
        ),
        (("10.0.0.11", "udp", 53), "three", "three serves the service's page at 10.0.0.11 port 53 over UDP"),
        (("203.0.113.2", "tcp", 22), "router-a", "router-a has a port-forward that leads to it"),
    ],
)
def test_a_page_in_another_place_fails_there_only(where: tuple[str, str, int], target: str, said: str) -> None:
    found = judged(row(*where, "connected", found=True))
    assert {key for key, check in found.items() if check.verdict != "passed"} == {(where[1], target)}
    check = found[where[1], target]
    assert check.verdict == "failed"
    assert said in check.hint
    assert check.observed == {"page": [f"{where[0]} port {where[2]}"]}


def test_absence_proves_nothing_while_the_service_is_absent_as_well() -> None:
    found = judged(row("10.0.0.11", "tcp", 80, "connected", found=True), service=False)
    assert found["tcp", "three"].verdict == "failed", "it was found"
    assert found["udp", "three"].verdict == "skipped", "http fails"
    assert "where it should be" in found["udp", "three"].hint
    assert judged(service=False, expect=replace(EXPECT, patient=True))["udp", "three"].verdict == "error"


def test_a_host_outside_the_mesh_cannot_ask_the_service() -> None:
    stranger = Private(service="one", places=PLACES)
    assert judged(service=False, expect=stranger)["tcp", "three"].verdict == "passed"


@pytest.mark.parametrize("outcome", ["deadline", ""])
def test_a_port_that_was_not_asked_proves_nothing(outcome: str) -> None:
    check = judged(row("10.0.0.11", "tcp", 80, outcome))["tcp", "three"]
    assert (check.verdict, check.hint) == ("error", "there was not enough time to try all ports")


def test_an_observation_that_was_not_made_is_an_error_with_its_reason() -> None:
    found = judged(data=False)
    assert {(check.verdict, check.hint) for check in found.values()} == {("error", "no answer in time")}


def test_a_port_chosen_at_random_is_no_part_of_the_expectation() -> None:
    chosen = Private(service="one", places=PLACES, own=OWN, chosen=8080)
    check = judged(expect=chosen)["tcp", "three"]
    assert check.expected["ports"] == [80]
    assert check.evidence["random_port"] == 8080


def test_the_ports_on_which_a_host_listens_itself_are_judged_apart() -> None:
    context, here = replace(mesh.context("private"), source="four"), "four"
    expect = Private(service="one", places=PLACES[:1], own=OWN, listeners=True)
    own = {**row("10.0.0.11", "tcp", 18443, "connected", found=True), "own": True}
    service = row(OWN[0], "tcp", OWN[1], "connected", found=True)
    rows = [*(row(*key) for key in PLACES[0].tried), service]
    for more, verdict in (([own], "failed"), ([{**own, "found": False}], "passed"), ([], "passed")):
        checks = judge_private(mesh.answer(knock=mesh.seen([*rows, *more])), context, expect)
        found = {(check.aspect, check.target): check for check in checks}
        assert set(found) == {(protocol, name) for protocol in ("tcp", "udp") for name in ("one", here)}
        assert found["tcp", here].verdict == verdict
        assert found["tcp", "one"].verdict == found["udp", here].verdict == "passed"
    assert found["tcp", here].expected == {"listeners": "all", "page": "absent"}
    unseen = mesh.answer(knock=mesh.unseen("deadline", "no answer in time"))
    assert {check.verdict for check in judge_private(unseen, context, expect)} == {"error"}
