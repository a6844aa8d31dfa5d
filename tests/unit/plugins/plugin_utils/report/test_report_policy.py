# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The picture of the policy: what is allowed, what is denied, and what is wrong."""

from __future__ import annotations

from typing import Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import html, model, policy, text


def _check(aspect: str, source: str, target: str, opened: str, answered: str, **more: Any) -> model.Check:
    closed = {"": "80-82", "80": "81-82", "80-81": "82"}[opened]
    data = {
        "id": f"us5.policy.{aspect}", "assertion": "policy", "aspect": aspect, "source": source, "target": target,
        "family": "ipv4", "verdict": "passed", "expected": {"address": "100.64.0.1", "open": opened, "closed": closed},
        "observed": {"open": answered, "closed": ""}, **more,
    }  # fmt: skip
    return model.check(data, story="us5")


def _report(*checks: model.Check) -> model.Report:
    story = model.Story(id="us5", title="US5 policy", verdict="failed")
    inventory = {"backend": "", "lab_name": "", "source": []}
    return model.Report(
        run_id="r", started="2026-01-31T12:00:00Z", stories=[story], checks=list(checks), inventory=inventory
    )


HIDDEN = {"expected": {"peer": False, "answered": ""}, "observed": {"peer": False}, "family": None}
REPORT = _report(
    _check("installed.tcp", "one", "two", "80", "80"),
    _check("installed.tcp", "two", "one", "", ""),
    _check("installed.hidden", "one", "three", "", "", **HIDDEN),
    _check("widened.tcp", "one", "two", "80-81", "80,82", verdict="failed", hint="an old filter"),
)


def test_ports_are_counted_by_what_they_should_do_and_did() -> None:
    found = policy.tried(REPORT.checks)
    assert found == policy.Tried(allowed=2, denied=5, wrong=2, hidden=1)
    assert found.text == "2 allowed and answered, 5 denied and silent, 2 wrong, 1 pairs hidden"
    assert policy.tried([]) is None


def test_a_packet_that_only_a_firewall_stops_is_wrong() -> None:
    leak = _check(
        "tcp", "one", "two", "80", "80", verdict="failed", observed={"open": "80", "closed": "81-82", "let_in": "82"}
    )
    assert policy.tried([leak]) == policy.Tried(allowed=1, denied=1, wrong=1)


def test_every_cell_says_in_text_what_its_colour_says() -> None:
    installed, widened = policy.pictures(REPORT)
    squares = {(name, installed.names[at]): square for name, row in installed.rows for at, square in enumerate(row)}
    assert (squares["one", "two"].text, squares["one", "two"].style) == ("1/3", "some")
    assert (squares["two", "one"].text, squares["two", "one"].style) == ("0/3", "denied")
    assert (squares["one", "three"].text, squares["one", "three"].style) == ("-", "hidden")
    assert "no rule joins them" in squares["one", "three"].title
    wrong = widened.rows[0][1][1]
    assert (wrong.text, wrong.style) == ("✕ 2", "failed")


def test_a_policy_that_means_the_same_is_not_drawn_again() -> None:
    again = _report(_check("tcp", "one", "two", "80", "80"), _check("refused.tcp", "one", "two", "80", "80"))
    assert [picture.title for picture in policy.pictures(again)] == ["as it was"]


def test_rubbish_in_a_report_is_no_port() -> None:
    for opened in (None, 7, "x-y", "80-", "-", "1-99999999999", ["80"]):
        check = _check("tcp", "one", "two", "80", "80", expected={"open": opened, "closed": opened})
        found = policy.tried([check])
        assert found is not None
        assert found.allowed <= 65536


def test_page_and_terminal_show_it() -> None:
    page = html.render(REPORT)
    assert "Which node may reach which" in page
    assert '<td class="failed" title="one → two: tcp ipv4 open: 80-81">✕ 2</td>' in page
    assert "policy   2 allowed and answered" in text.as_text(REPORT)
    assert "Which node may reach which" not in html.render(_report())
