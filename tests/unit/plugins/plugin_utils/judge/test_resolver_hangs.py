# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DNS over TCP, and a resolver that stops answering."""

from __future__ import annotations

from typing import Any

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.options import unpacked
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.resolves import Names, judge_resolves

EXPECT = Names(present=mesh.NAMES, absent=("gone.mesh.internal",))
FIRST = mesh.NAMES[0]


def judged(**changes: Any) -> dict[tuple[str, str | None], Check]:
    answer, _judge = mesh.CASES["resolves"]
    found = judge_resolves(
        {**answer, "observations": {**answer["observations"], **changes}}, mesh.context("resolves"), EXPECT
    )
    return {(check.aspect, check.target): check for check in found}


def over_tcp(**row: Any) -> Check:
    rows = [mesh.asked(name.fqdn, "A", name.addresses[0]) for name in mesh.NAMES]
    return judged(dns_tcp=mesh.seen([{**rows[0], **row}, *rows[1:]]))["tcp", FIRST.node]


def test_tailscaled_answers_over_tcp() -> None:
    assert over_tcp().verdict == "passed"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"outcome": "timeout", "answers": []}, "over TCP it does not accept a connection"),
        ({"outcome": "timeout", "answers": [], "connected": True}, "accepts the connection and does not answer"),
        ({"outcome": "refused", "answers": []}, "over TCP it refuses the connection"),
        ({"outcome": "closed", "answers": []}, "over TCP it closes the connection without an answer"),
        ({"outcome": "reset", "answers": [], "connected": True}, "over TCP it resets the connection"),
        (
            {"answers": [{"type": "A", "value": "192.0.2.1"}]},
            "answers correctly over UDP, but over TCP with 192.0.2.1: another program answers TCP port 53",
        ),
        (
            {"answers": [], "rcode": "NXDOMAIN"},
            "answers correctly over UDP, but over TCP with NXDOMAIN: another program",
        ),
        (
            {"answers": [], "rcode": "SERVFAIL"},
            "answers correctly over UDP, but over TCP with SERVFAIL: another program",
        ),
        ({"duration_ms": 5000.0}, "answers correctly over TCP, but too late, and over UDP after "),
    ],
)
def test_what_is_wrong_over_tcp_only(row: dict[str, Any], said: str) -> None:
    check = over_tcp(**row)
    assert check.verdict == "failed"
    assert said in check.hint


def test_an_answer_that_is_wrong_over_both_is_not_blamed_on_tcp() -> None:
    rows = [{**mesh.asked(FIRST.fqdn, "A"), "answers": [{"type": "A", "value": "192.0.2.1"}]}]
    hint = judged(dns=mesh.seen(rows), dns_tcp=mesh.seen(rows))["tcp", FIRST.node].hint
    assert "192.0.2.1 is not an address of" in hint
    assert "over TCP" not in hint


def test_a_resolver_that_is_silent_over_both_is_not_blamed_on_tcp() -> None:
    silent = {"outcome": "timeout", "answers": [], "duration_ms": 2000.0}
    rows = [{**mesh.asked(FIRST.fqdn, "A"), **silent}]
    check = judged(dns=mesh.seen(rows), dns_tcp=mesh.seen(rows))["tcp", FIRST.node]
    assert "neither over UDP nor over TCP" in check.hint


def hung(*, answered: int, direct: str = "") -> dict[tuple[str, str | None], Check]:
    """Return the checks where the system's resolver answered some names, then stopped."""
    names = [word for name in mesh.NAMES for word in (name.fqdn, name.short)]
    rows = [mesh.looked_up(word, *mesh.NAMES[0].addresses[:1]) for word in names[:answered]]
    rows += [{"name": word, "outcome": "timeout", "addresses": [], "waited_ms": 3000.0} for word in names[answered:]]
    lookups = mesh.seen({"flows": [], "dropped": 0, "during": {"getaddrinfo": mesh.seen(rows)}})
    later = [{"name": "gone.mesh.internal", "outcome": "timeout", "addresses": [], "waited_ms": 3000.0}]
    asked = [{**mesh.asked(FIRST.fqdn, "A"), "server": "127.0.0.1", "outcome": direct}] if direct else []
    return judged(
        lookups=lookups,
        getaddrinfo=mesh.seen(later),
        resolv_conf=mesh.seen({"nameservers": ["127.0.0.1"], "search": ["mesh.internal"]}),
        resolver=mesh.seen(asked),
    )


def test_a_resolver_that_answers_once_and_then_hangs_is_named() -> None:
    found = hung(answered=1, direct="timeout")
    assert found["name", FIRST.node].verdict == "passed"
    last = found["short", mesh.NAMES[-1].node]
    assert last.verdict == "failed", "it was given more than the budget"
    assert last.observed == {"outcome": "no answer", "ms": {"more_than": 3000}}
    assert last.hint == (
        "the system's resolver (127.0.0.1 in /etc/resolv.conf) answered only 1 of 5 names within 3.0 s; "
        "asked directly, 127.0.0.1 does not answer either"
    )
    for key in (("absent", "gone.mesh.internal"), ("reverse", FIRST.node)):
        assert found[key].verdict == "error"
        assert "answered only" in found[key].hint


def test_a_resolver_that_never_answers_is_named_and_a_direct_answer_is_told() -> None:
    found = hung(answered=0, direct="answered")["name", FIRST.node]
    assert "answered none of 5 names within 3.0 s; asked directly, 127.0.0.1 answers" in found.hint


def test_what_was_not_waited_for_longer_than_the_budget_is_no_failure() -> None:
    row = {"name": FIRST.fqdn, "outcome": "timeout", "addresses": [], "waited_ms": 900.0}
    lookups = mesh.seen({"flows": [], "dropped": 0, "during": {"getaddrinfo": mesh.seen([row])}})
    check = judged(lookups=lookups)["name", FIRST.node]
    assert check.verdict == "error"
    assert "within 0.9 s" in check.hint


def test_steps_that_were_not_made_have_the_reason_of_their_sequence() -> None:
    answer = {"observations": {"steps": mesh.unseen("deadline", "no answer within the deadline")}}
    found = judge_resolves(unpacked(answer, "steps", ("dns", "getaddrinfo")), mesh.context("resolves"), EXPECT)
    assert {check.hint for check in found if check.aspect in ("dns", "name")} == {"no answer within the deadline"}
