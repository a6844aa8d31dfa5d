# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of both ends of a path, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.answer import Answer
from ansible_collections.meshctl.headscale.plugins.plugin_utils._why import asking
from ansible_collections.meshctl.headscale.plugins.plugin_utils._why.question import End, Question, Service

_QUESTION = Question(
    source=End(name="one", host="one", addresses=("100.64.0.1",)),
    target=End(name="two", host="two", addresses=("100.64.0.2", "fd7a:115c:a1e0::2")),
    service=Service.read("tcp/443"),
)


def _seen(**data: Any) -> dict[str, Any]:
    return {"observations": {name: {"ok": True, "data": value} for name, value in data.items()}}


def _longest(request: dict[str, Any]) -> float:
    if request["kind"] == "sequence":
        return sum(map(_longest, request["steps"]))
    tries = request.get("tries", 1)
    return float(tries * request["try_timeout_s"] + (tries - 1) * request.get("interval_s", 0.0))


@pytest.mark.parametrize("through", [True, False])
@pytest.mark.parametrize("service", ["icmp", "udp/53", "tcp/443"])
def test_an_attempt_that_nothing_answers_ends_by_itself_and_in_time(service: str, *, through: bool) -> None:
    question = Question(source=_QUESTION.source, target=_QUESTION.target, service=Service.read(service))
    assert all(_longest(request) < asking.ATTEMPT_S <= 10 for request in asking.attempt(question, through=through))


def test_the_path_is_found_while_the_tunnel_is_set_up_and_the_connection_is_tried() -> None:
    pings = {"100.64.0.2": {"answered": True}}
    rows = [{"host": "100.64.0.2", "outcome": "connected"}]
    steps = _seen(tsmp=pings, **{"try": rows})["observations"]
    found = asking.tried(_seen(disco=pings, all=steps))
    assert (found.data("disco"), found.data("tsmp"), found.data("try")) == (pings, pings, rows)
    assert asking.tried(_seen(**{"try": rows})).data("try") == rows


def test_a_tailscaled_that_does_not_tell_its_status_is_not_asked_for_its_counters() -> None:
    watch = {"token": "1"}
    assert [request["id"] for request in asking.last(Answer(_seen(watch=watch)))] == ["watched"]
    assert [request["id"] for request in asking.last(Answer(_seen(status={"Self": {}}, watch=watch)))] == [
        "metrics",
        "watched",
    ]
