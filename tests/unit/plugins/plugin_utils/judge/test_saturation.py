# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What checks say of a machine that had too few cores while it was measured."""

from __future__ import annotations

from typing import Any

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import Node
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.held import Held, judge_held
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.reachable import Reachable, judge_reachable
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.reason import late
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.saturation import Load, blame_load, load_of

_IDLE = {"cores": 2, "ran_s": 0.1, "waited_s": 0.01, "load": 0.3}
_BUSY = {"cores": 2, "ran_s": 0.1, "waited_s": 0.9, "load": 16.2}
_PEER = Node(name="node-2", addresses=("100.64.0.2",))


def _answer(load: Any, replies: list[float], *, sent: int = 0) -> dict[str, Any]:
    data = {"100.64.0.2": {"sent": sent or len(replies), "received": len(replies), "rtt_ms": replies, "errors": []}}
    return {
        "host": {"load": load},
        "observations": {
            "icmp": {"ok": True, "data": data},
            "addresses": {"ok": True, "data": []},
            "watched": {"ok": True, "data": {"flows": []}},
        },
    }


def _latency(load: Any, replies: list[float]) -> Any:
    expect = Reachable(peers=(_PEER,), families=(4,))
    return judge_reachable(_answer(load, replies), mesh.context("reachable"), expect)[-1]


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        (_IDLE, ""),
        (_BUSY, "the probe waited 0.9 s for a core to compute for 0.1 s, load 16.2 on 2 cores"),
        ({"cores": 1, "load": 0.5, "stolen": 0.4}, "load 0.5 on 1 core, the hypervisor took 40 % of their time"),
        # Some milliseconds are no evidence, and a busy machine that gave the probe its time is no cause.
        ({"ran_s": 0.01, "waited_s": 0.04}, ""),
        ({"ran_s": 0.5, "waited_s": 0.1, "load": 30}, ""),
        (None, ""),
        ({"ran_s": "x", "waited_s": -1, "stolen": float("nan")}, ""),
    ],
)
def test_only_what_the_probe_observed_is_evidence(figures: Any, said: str) -> None:
    assert load_of({"host": {"load": figures}}).said == said


def test_a_saturated_machine_is_judged_by_its_fastest_reply() -> None:
    late = [4.0, 180.0, 240.0]
    assert _latency(_IDLE, late).verdict == "failed"
    check = _latency(_BUSY, late)
    assert check.verdict == "passed"
    assert check.evidence["judged_ms"] == 4.0
    assert "load 16.2" in check.evidence["saturated"]


def test_a_slow_path_fails_on_a_saturated_machine_as_well_and_the_check_says_both() -> None:
    check = _latency(_BUSY, [120.0, 180.0, 240.0])
    assert check.verdict == "failed"
    blame_load(check, load_of({"host": {"load": _BUSY}}))
    assert check.hint.startswith("the machine was saturated, and that alone may explain this; if the check also")
    assert "the path is slow or busy" in check.hint
    assert check.evidence["saturated"].startswith("the machine was saturated: the probe waited 0.9 s")


@pytest.mark.parametrize(
    ("four", "six", "verdict"), [(2.0, 900.0, "failed"), (2.0, 60.0, "passed"), (60.0, 60.0, "failed")]
)
def test_a_family_that_is_slow_alone_gets_more_time_on_a_saturated_machine(
    four: float, six: float, verdict: str
) -> None:
    both = Node(name="node-2", addresses=("100.64.0.2", "fd7a:115c:a1e0::2"))
    answer = _answer({"ran_s": 0.2, "waited_s": 0.5}, [four, four, 300.0])
    answer["observations"]["icmp"]["data"][both.addresses[1]] = {"sent": 3, "received": 3, "rtt_ms": [six] * 3}
    check = judge_reachable(answer, mesh.context("reachable"), Reachable(peers=(both,)))[-1]
    assert (check.aspect, check.verdict) == ("latency", verdict)


def test_the_load_is_blamed_for_silence_after_an_outage_as_before_it() -> None:
    for aspect in ("tcp", "tcp.rejoined"):
        check = mesh.context("reachable").check(
            False, aspect=aspect, expected={}, observed={"outcome": "timeout"}, hint="h"
        )
        blame_load(check, load_of({"host": {"load": _BUSY}}))
        assert check.hint.startswith("the machine was saturated")


def test_the_load_is_not_blamed_for_what_it_cannot_cause() -> None:
    load = load_of({"host": {"load": _BUSY}})
    context = mesh.context("reachable")
    refused = context.check(
        False, aspect="tcp", expected={}, observed={"outcome": "refused"}, evidence={"refused_by": "x"}, hint="h"
    )
    other = context.check(False, aspect="ipv4", expected={}, observed={"answered_by": "192.0.2.9"}, hint="h")
    config = mesh.context("addressed").check(False, expected={}, observed={"address": "192.0.2.9"}, hint="h")
    passed = context.check(True, aspect="latency", expected={}, observed={})
    for check in (refused, other, config, passed):
        before = check.as_dict()
        blame_load(check, load)
        assert check.as_dict() == before
    error = mesh.context("addressed").check(None, expected={}, observed=None, hint=late("no answer"))
    blame_load(error, Load())
    assert error.hint == "no answer"
    blame_load(error, load)
    assert error.hint.endswith("no answer")
    assert error.hint != "no answer"


@pytest.mark.parametrize(
    ("kind", "blamed"),
    [("deadline", True), ("hung", True), ("not_permitted", False), ("no_tailscaled", False), ("bad_response", False)],
)
def test_what_kept_an_observation_from_being_made_decides_and_not_its_words(kind: str, blamed: bool) -> None:
    error = {"type": kind, "message": "no answer within the deadline: use become: true"}
    answer = {"host": {"load": _BUSY}, "observations": {"icmp": {"ok": False, "error": error}}}
    check = judge_reachable(answer, mesh.context("reachable"), Reachable(peers=(_PEER,), families=(4,)))[0]
    assert check.verdict == "error"
    blame_load(check, load_of(answer))
    assert check.hint.startswith("the machine was saturated") is blamed
    assert "late" not in check.as_dict()


def _silent(status: Any, errors: list[Any]) -> Any:
    answer = _answer(_BUSY, [], sent=3)
    answer["observations"]["icmp"]["data"]["100.64.0.2"]["errors"] = errors
    answer["observations"]["status"] = {"ok": True, "data": status}
    check = judge_reachable(answer, mesh.context("reachable"), Reachable(peers=(_PEER,), families=(4,)))[0]
    blame_load(check, load_of(answer))
    return check


_RUNNING = {"BackendState": "Running", "Peer": {"x": {"TailscaleIPs": ["100.64.0.2"], "Online": True}}}


@pytest.mark.parametrize(
    ("status", "errors", "blamed"),
    [
        (_RUNNING, [], True),
        ({"BackendState": "Starting"}, [], True),
        ({**_RUNNING, "Self": {"Online": False}}, [], True),
        ({"BackendState": "Stopped"}, [], False),
        ({"BackendState": "NeedsLogin"}, [], False),
        ({**_RUNNING, "Self": {"Expired": True}}, [], False),
        ({"BackendState": "Running", "Peer": {}}, [], False),
        (_RUNNING, [{"error": "prohibited", "from": "local"}], False),
        (_RUNNING, [{"error": "host-prohibited", "from": "192.0.2.1"}], False),
    ],
)
def test_the_load_is_blamed_for_silence_only_if_no_other_cause_was_seen(status: Any, errors: Any, blamed: bool) -> None:
    check = _silent(status, errors)
    assert check.verdict == "failed"
    assert check.hint.startswith("the machine was saturated") is blamed, check.hint


def test_the_load_is_not_blamed_for_an_address_that_the_server_did_not_give() -> None:
    nowhere = Reachable(peers=(Node(name="node-2"),), families=(4,))
    check = judge_reachable(_answer(_BUSY, []), mesh.context("reachable"), nowhere)[0]
    before = check.as_dict()
    blame_load(check, load_of({"host": {"load": _BUSY}}))
    assert check.as_dict() == before
    assert before["hint"].startswith("the server gave node-2 no IPv4 address")


def test_checks_take_longer_on_a_saturated_machine_but_not_for_ever() -> None:
    assert load_of({"host": {"load": _IDLE}}).patience == 1.0
    assert load_of({"host": {"load": _BUSY}}).patience == 3.0
    assert load_of({"host": {"load": {"ran_s": 0.1, "waited_s": 0.2}}}).patience == pytest.approx(1.5)


def _held(load: Any, outages: list[dict[str, float]], *, ticks: int = 3000, during: Any = None) -> Any:
    line = {"sent": ticks, "lost": 10, "first": 1.0, "outages": outages, "errors": {}}
    data = {"ticks": ticks, "interval_s": 0.1, "lines": {"100.64.0.2": line}, "streams": [], "load": during}
    expect = Held(peers=(_PEER,), families=(4,), hold_s=10, silence_budget_s=0.5, stall_budget_s=3, no_streams="none")
    answer = {"host": {"load": load}, "observations": {"held": {"ok": True, "data": data}}}
    return judge_held(answer, mesh.context("reachable"), expect)[0]


def test_a_rare_silence_on_a_saturated_machine_proves_nothing() -> None:
    rare = [{"at": 50.0, "s": 3.0, "lost": 12}]
    assert _held(_IDLE, rare).verdict == "failed"
    check = _held(_BUSY, rare)
    assert check.verdict == "skipped"
    assert "silent for 3 s at most, and the machine was saturated (the probe waited 0.9 s" in check.hint
    # A node that comes and goes all the time fails nevertheless.
    assert _held(_BUSY, [{"at": 5.0 * turn, "s": 1.0, "lost": 4} for turn in range(20)]).verdict == "failed"
    assert _held(_BUSY, rare, ticks=150).verdict == "failed"


@pytest.mark.parametrize(
    ("lost", "silences", "load", "verdict"),
    [
        (60, 0, _IDLE, "failed"),
        (60, 0, _BUSY, "skipped"),
        # More than the budget, as much longer as a saturated machine takes.
        (60, 12, _BUSY, "skipped"),
        (110, 12, _BUSY, "failed"),
        (110, 12, _IDLE, "failed"),
        (110, 1, _BUSY, "failed"),
        (110, 0, _BUSY, "failed"),
        (20, 0, _BUSY, "passed"),
    ],
)
def test_single_losses_on_a_saturated_machine_prove_nothing(lost: int, silences: int, load: Any, verdict: str) -> None:
    outages = [{"at": 1.0 + 2 * turn, "s": 0.4, "lost": 4} for turn in range(silences)]
    line = {"sent": 300, "answered": 300 - lost, "lost": lost, "first": 1.0, "outages": outages, "errors": {}}
    data = {"ticks": 300, "interval_s": 0.1, "lines": {"100.64.0.2": line}, "streams": []}
    expect = Held(peers=(_PEER,), families=(4,), hold_s=10, silence_budget_s=0.5, stall_budget_s=3, no_streams="none")
    answer = {"host": {"load": load}, "observations": {"held": {"ok": True, "data": data}}}
    check = judge_held(answer, mesh.context("reachable"), expect)[0]
    assert check.verdict == verdict
    assert ("pings, and the machine was saturated" in check.hint) is (verdict == "skipped")


def test_the_machine_may_have_been_busy_only_while_the_watch_went_on() -> None:
    rare = [{"at": 50.0, "s": 3.0, "lost": 12}]
    check = _held(_IDLE, rare, during={**_BUSY, "waited_s": 0.5})
    assert check.verdict == "skipped"
    assert "the probe waited 0.5 s for a core to compute for 0.1 s" in check.hint
    assert _held(_IDLE, rare, during=_IDLE).verdict == "failed"


def test_a_stall_is_judged_in_the_same_way() -> None:
    stalled = {"host": "100.64.0.2", "outcome": "open", "open_s": 300.0, "waits": [{"at": 50.0, "s": 4.0}]}
    broken = {**stalled, "outcome": "reset", "opened": 1.0, "broke": 60.0}
    expect = Held(
        peers=(_PEER,), families=(4,), hold_s=10, silence_budget_s=0.5, stall_budget_s=3, stream_peers=frozenset({"node-2"})
    )  # fmt: skip

    def verdict(load: Any, stream: Any) -> str:
        data = {"ticks": 3000, "interval_s": 0.1, "lines": {}, "streams": [stream]}
        answer = {"host": {"load": load}, "observations": {"held": {"ok": True, "data": data}}}
        return {check.aspect: check for check in judge_held(answer, mesh.context("reachable"), expect)}[
            "stream"
        ].verdict

    assert (verdict(_IDLE, stalled), verdict(_BUSY, stalled), verdict(_BUSY, broken)) == ("failed", "skipped", "failed")
    # In a shorter time, one that is not much longer than allowed is still explained, but neither a long one nor two.
    for waits, expected in (([4.0], "skipped"), ([4.0, 0.6], "skipped"), ([10.0], "failed"), ([4.0, 4.0], "failed")):
        short = {**stalled, "open_s": 60.0, "waits": [{"at": 10.0 * turn, "s": s} for turn, s in enumerate(waits)]}
        assert (verdict(_IDLE, short), verdict(_BUSY, short)) == ("failed", expected)
