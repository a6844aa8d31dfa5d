# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the drill makes of a story's report: it must be as hard to please as the judges that it judges."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.actors import Actors, assign_actors
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.catalogue import Fault
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.drill import declared_nat
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.verdict import Outcome, StoryRun, judge, matches

ACTORS = Actors(
    a="one", b="two", c="three", server="control", relay="relay", router_a="ra", router_b="rb", spare="four"
)
RED = Fault(
    id="f", family="x", title="F", story="us1", verdict="red", red=("reachable.ipv?: {a} -> {b}",),
    tolerated=("path: * -> {b}",), green=("reachable.*: {a} -> {c}",), cause="key .*expired",
)  # fmt: skip


def check(
    name: str, source: str = "one", target: str | None = "two", verdict: str = "passed", hint: str = ""
) -> dict[str, Any]:
    assertion, _dot, aspect = name.partition(".")
    made = {"id": f"us1.{name}", "assertion": assertion, "aspect": aspect}
    return {**made, "source": source, "target": target, "verdict": verdict, "hint": hint}


def seen(*checks: dict[str, Any], code: int = 1, reasons: tuple[str, ...] = ()) -> StoryRun:
    return StoryRun(exit_code=code, checks=checks, reasons=reasons)


CAUGHT = (
    check("reachable.ipv4", verdict="failed", hint="the key of two has expired"),
    check("reachable.ipv6", verdict="error", hint="?"),
    check("reachable.ipv4", target="three"),
)


def test_a_fault_that_is_red_named_and_alone_is_good_once_it_has_recovered() -> None:
    outcome = judge(RED, seen(*CAUGHT), ACTORS)
    assert (outcome.caught, outcome.named, outcome.false_alarms, outcome.good) == (True, True, [], False)
    outcome.recovered = True
    assert outcome.good


def test_one_check_that_passes_where_all_must_be_red_is_a_miss() -> None:
    passing = (CAUGHT[0], check("reachable.ipv6"), CAUGHT[2])
    outcome = judge(RED, seen(*passing), ACTORS)
    assert not outcome.caught
    assert outcome.problems == ["1 of 2 reachable.ipv?: one -> two passed"]


@pytest.mark.parametrize("verdict", ["skipped", None])
def test_a_check_that_was_not_made_is_a_miss(verdict: str | None) -> None:
    made = [check("reachable.ipv4", verdict=verdict)] if verdict else []
    outcome = judge(RED, seen(*made, CAUGHT[2]), ACTORS)
    assert not outcome.caught
    assert outcome.problems == ["reachable.ipv?: one -> two was not made"]


def test_red_checks_in_a_run_that_ends_well_are_a_miss() -> None:
    assert not judge(RED, seen(*CAUGHT, code=0), ACTORS).caught


def test_another_cause_is_not_named() -> None:
    other = ({**CAUGHT[0], "hint": "no cause was found"}, *CAUGHT[1:])
    outcome = judge(RED, seen(*other), ACTORS)
    assert (outcome.caught, outcome.named) == (True, False)
    assert "no cause was found" in outcome.hints


def test_a_cause_that_another_check_names_does_not_count() -> None:
    other = ({**CAUGHT[0], "hint": "?"}, *CAUGHT[1:], check("path", verdict="failed", hint="key has expired"))
    assert not judge(RED, seen(*other), ACTORS).named


def test_a_consequence_is_no_false_alarm_and_anything_else_is() -> None:
    known = check("path", verdict="failed")
    alarm = check("path", target="three", verdict="error", hint="no")
    assert judge(RED, seen(*CAUGHT, known), ACTORS).false_alarms == []
    assert judge(RED, seen(*CAUGHT, alarm), ACTORS).false_alarms == ["us1.path: one -> three: no"]


def test_what_must_stay_green_must_have_been_made() -> None:
    assert judge(RED, seen(*CAUGHT[:2]), ACTORS).false_alarms == ["reachable.*: one -> three did not pass"]


GREEN = Fault(id="g", family="x", title="G", story="us1", verdict="green")


def test_a_harmless_fault_must_leave_a_story_green() -> None:
    assert judge(GREEN, seen(check("path"), code=0), ACTORS).caught
    assert not judge(GREEN, seen(code=0), ACTORS).caught
    outcome = judge(GREEN, seen(check("path", verdict="failed"), code=1), ACTORS)
    assert (outcome.caught, len(outcome.false_alarms)) == (False, 1)


REFUSED = Fault(id="r", family="x", title="R", story="us1", verdict="refused", cause="disk")


@pytest.mark.parametrize(
    ("code", "reason", "caught", "named"),
    [(3, "the disk is full", True, True), (2, "no", True, False), (0, "disk", False, True), (1, "disk", False, True)],
)
def test_a_run_that_cannot_be_made_must_say_so(code: int, reason: str, caught: bool, named: bool) -> None:
    outcome = judge(REFUSED, seen(code=code, reasons=(reason,)), ACTORS)
    assert (outcome.caught, outcome.named) == (caught, named)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("reachable.ipv4: {a} -> {b}", True),
        ("reachable.*", True),
        ("*: * -> {b}", True),
        ("*: {a}", True),
        ("reachable", False),
        ("reachable.ipv4: {b} -> {a}", False),
        ("*: {b}", False),
        ("reachable.ipv4/ipv4: {a}", True),
        ("reachable.*/ipv6: {a} -> {b}", False),
    ],
)
def test_selectors(selector: str, expected: bool) -> None:
    assert matches(selector, {**check("reachable.ipv4"), "family": "ipv4"}, ACTORS) is expected


def topology() -> dict[str, Any]:
    def fact(group: str, subnet: str) -> dict[str, str]:
        return {"group": group, "subnet": subnet, "router": f"router-{subnet}", "gateway": "g", "cidr": "c"}

    facts = {
        "control": fact("headscale", "s1"), "relay": fact("relays", "wan"), "n1": fact("clients", "s1"),
        "n2": fact("clients", "s2"), "n3": fact("clients", "s3"), "n4": fact("clients", "s3"),
    }  # fmt: skip
    machines = {name: {"address": f"10.0.0.{number}", "public_address": "p"} for number, name in enumerate(facts)}
    subnets = {"s1": {"cidr": "c1", "nat": "easy", "wan_address": "w1", "gateway": "g1", "router": "r", "link": {}}}
    return {
        "facts": facts,
        "machines": machines,
        "ports": {"n1": "p1"},
        "subnets": {**subnets, "s3": {**subnets["s1"]}},
    }


def test_parts_go_to_a_client_and_a_pair_elsewhere() -> None:
    actors = assign_actors(topology())
    assert (actors.a, actors.b, actors.c, actors.router_b) == ("n1", "n3", "n4", "router-s3")
    known = actors.variables(topology())
    assert (known["A"], known["A_PORT"], known["B_ADDRESS"]) == ("n1", "p1", "10.0.0.4")
    assert "SPARE" not in known


@pytest.mark.parametrize("without", ["n4", "relay", "control"])
def test_a_lab_that_is_too_small_is_refused_in_a_sentence(without: str) -> None:
    small = topology()
    del small["facts"][without]
    with pytest.raises(BadInput, match="as in the seed lab"):
        assign_actors(small)


def test_only_the_kind_of_nat_is_declared_otherwise() -> None:
    found = declared_nat(topology(), {"b": "hard"}, vars(assign_actors(topology())))
    assert found["s1"] == {"cidr": "c1", "gateway": "g1", "nat": "easy", "wan_address": "w1"}
    assert found["s3"]["nat"] == "hard"


@pytest.mark.parametrize(
    ("change", "hasty"),
    [
        ({}, False),
        ({"false_alarms": ["x"]}, True),
        ({"named": False}, True),
        ({"caught": False, "false_alarms": ["x"]}, False),
        ({"caught": False, "problems": ["reachable.loss: one -> two was not made"]}, True),
        ({"caught": False, "problems": ["x was not made", "1 of 2 y passed"]}, False),
        ({"verdict": "green", "problems": ["x was not made"]}, False),
        ({"verdict": "green", "false_alarms": ["x"]}, False),
    ],
)
def test_more_time_is_only_for_faults_that_were_caught_or_not_measured(change: dict[str, Any], hasty: bool) -> None:
    outcome = Outcome.of(RED, caught=True, named=True)
    for name, value in change.items():
        setattr(outcome, name, value)
    assert outcome.hasty is hasty
