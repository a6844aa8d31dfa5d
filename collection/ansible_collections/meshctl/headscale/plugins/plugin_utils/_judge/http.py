# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge what a URL answers, or that it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import causes
from .answer import Answer, Json, address, items, mapping, number, text
from .context import CheckContext
from .interfaces import device_to, mesh_address
from .observations import HTTP, STATUS
from .quoting import quoted
from .reason import late

if TYPE_CHECKING:
    from .check import Check

_UNREACHABLE = ("net-unreachable", "host-unreachable", "net-unknown", "host-unknown", "net-prohibited",
                "host-prohibited", "prohibited", "port-unreachable", "net-rejected")  # fmt: skip
_REFUSING = {
    "refused": ("refused",),
    "unreachable": ("refused", *_UNREACHABLE),
    "unanswered": ("refused", "reset", "timeout", *_UNREACHABLE),
}
_EXCERPT = 200


@dataclass(frozen=True, kw_only=True)
class Http:
    """The expected answer of URLs."""

    urls: tuple[str, ...]
    outcome: str = "answered"
    status: int = 200
    body: str = ""
    addresses: tuple[str, ...] = ()
    """Addresses that the URL's name may lead to; any if empty."""
    target: str | None = None
    aspect: str = ""


def judge_http(answer: Json, context: CheckContext, expect: Http) -> list[Check]:
    """Return a check of each URL."""
    seen = Answer(answer)
    return [_one(seen, context, expect, url) for url in expect.urls]


def _one(seen: Answer, context: CheckContext, expect: Http, url: str) -> Check:
    found = next((entry for entry in map(mapping, items(seen.data(HTTP))) if entry.get("url") == url), {})
    outcome = text(found.get("outcome"))
    expected = _expected(expect, url)
    target = expect.target or url
    command = f"curl -sS -m 5 {quoted(url)}"
    if not outcome:
        why = seen.why(HTTP) if seen.data(HTTP) is None else late("the URL was not fetched in time")
        return context.check(
            None, aspect=expect.aspect, target=target, expected=expected, observed=None, hint=why, command=command
        )
    observed: dict[str, Any] = {"url": url, "outcome": outcome}
    if expect.outcome == "answered":
        body = text(found.get("body"))
        observed |= {"status": number(found.get("status")), "address": address(found.get("address"))}
        right = outcome == "answered" and found.get("status") == expect.status and expect.body in body
        right = right and _rightly_led(expect, observed["address"])
        evidence = {"timings": found.get("timings"), "body": body[:_EXCERPT], "error": text(found.get("error"))}
    else:
        observed["from"] = text(found.get("from"))
        # A firewall on the target itself may refuse with any ICMP error.
        itself = observed["from"] not in ("", "local") and observed["from"] == address(found.get("address"))
        right = outcome in _REFUSING[expect.outcome] or (itself and outcome in _UNREACHABLE)
        evidence = {"timings": found.get("timings"), "error": text(found.get("error"))}
    return context.check(
        right, aspect=expect.aspect, target=target, expected=expected, observed=observed, evidence=evidence,
        hint=_hint(seen, expect, found, outcome), command=command,
    )  # fmt: skip


def _rightly_led(expect: Http, known: str) -> bool:
    return not expect.addresses or known in expect.addresses


def _expected(expect: Http, url: str) -> dict[str, Any]:
    expected: dict[str, Any] = {"url": url, "outcome": expect.outcome}
    if expect.outcome == "answered":
        expected["status"] = expect.status
        expected |= {"body": expect.body} if expect.body else {}
        expected |= {"address": expect.addresses[0]} if len(expect.addresses) == 1 else {}
        expected |= {"address": {"one_of": list(expect.addresses)}} if len(expect.addresses) > 1 else {}
    return expected


def _hint(seen: Answer, expect: Http, found: dict[str, Any], outcome: str) -> str:
    if expect.outcome != "answered":
        return _no_refusal(seen, expect, found, outcome)
    if outcome == "answered" and found.get("status") != expect.status:
        return f"the service answers with a status other than {expect.status}: read its log"
    if outcome == "answered" and not _rightly_led(expect, address(found.get("address"))):
        return f"the name resolves to {text(found.get('address'))}, not to {' or '.join(expect.addresses)}"
    if outcome == "answered":
        return "the body differs from the expected one: another service answers, or its content changed"
    client = causes.client(seen) if seen.data(STATUS) is not None else ""
    if outcome == "timeout" and not client and found.get("connected") is True:
        return (
            "it accepts the connection, but the answer is incomplete: the service hangs, or larger packets are lost on "
            "the way (see the check reachable.large)"
        )
    return client or _no_answer(outcome)


def _no_refusal(seen: Answer, expect: Http, found: dict[str, Any], outcome: str) -> str:
    known = text(found.get("address"))
    if device_to(seen, known).startswith("tailscale") and not mesh_address(known):
        return causes.through_mesh(known)
    if outcome == "answered" and expect.outcome == "unanswered" and not mesh_address(known):
        return (
            f"{known} leads to the service: the router or the node has a port-forward (`nft list ruleset` on both); remove it, or "
            "declare that port in mesh_publish"
        )
    if outcome == "answered" and expect.outcome == "unanswered":
        return (
            "a host outside the mesh gets an answer: a route leads it to the node's physical interface (`ip route get` here and "
            "on the router); have the node drop packets to that address unless they arrive on the mesh interface"
        )
    if outcome == "answered":
        return "the service answers there, so it can be reached without the mesh: bind it to its mesh address only"
    if outcome == "timeout":
        return "silence does not prove a refusal: a firewall drops the packets, or the host is down"
    return f"expected a refusal, but the outcome is {outcome}: {text(found.get('error'))}".rstrip(": ")


def _no_answer(outcome: str) -> str:
    return {
        "refused": "nothing listens there: check that the service runs on its mesh address",
        "no-name": "the name does not resolve: see the resolves checks",
        "timeout": "no answer: check that the node is reachable over the mesh, and that no policy or firewall drops this port",
    }.get(outcome, f"the connection ended with {outcome}")
