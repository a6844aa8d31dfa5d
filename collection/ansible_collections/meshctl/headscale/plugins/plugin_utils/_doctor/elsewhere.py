# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell a server or a relay that is down from one that answers other clients, and only not this one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from .._host.probe.wire import MOST_ADDRESSES
from .._judge.answer import address, addresses, items, mapping, text
from .._judge.check import BAD
from .cause import because_of

_IDS: Final = ("doctor.server", "doctor.relay.https", "doctor.relay.stun")
# What may happen on the way as well; with any other answer, a host has come to a server.
_ON_THE_WAY: Final = ("refused", "timeout", "host-unreachable", "net-unreachable", "handshake")
_Check = dict[str, Any]


def answered_elsewhere(checks: Sequence[_Check]) -> list[_Check]:
    """Return the checks, where one without an answer says which host was answered meanwhile."""
    well: dict[tuple[str, str | None], list[_Check]] = {}
    for check in checks:
        if check["id"] in _IDS and check["verdict"] == "passed":
            well.setdefault(_what(check), []).append(check)
    return [_told(check, well.get(_what(check), [])) if _unanswered(check) else check for check in checks]


def _what(check: _Check) -> tuple[str, str | None]:
    """Return what a check asked, which is the same server only under the same URL."""
    return check["id"], check["target"] or text(mapping(check.get("expected")).get("url"))


def _unanswered(check: _Check) -> bool:
    outcome = _outcome(check)
    # What asks through an HTTP proxy was answered by that, or not.
    proxied = mapping(check.get("evidence")).get("proxy")
    return (
        check["id"] in _IDS
        and check["verdict"] in BAD
        and not because_of(check)
        and outcome in _ON_THE_WAY
        and not proxied
    )


def _told(check: _Check, well: list[_Check]) -> _Check:
    if not well:
        return check
    # What is served in the other address family alone proves nothing about the address here.
    near = [other for other in well if _alike(_address(check), _address(other))]
    if not near:
        return {**check, "hint": f"{check['hint']}; it answers {_who(well)} at {_address(well[0])}"}
    known = _known(check)
    same = [other for other in near if not known or _address(other) in ("", *known)]
    if not same:
        return {**check, "hint": _led_astray(check, known, near[0])}
    return {**check, "hint": _not_here(check, same)}


def _not_here(check: _Check, same: list[_Check]) -> str:
    """Return what a host that is not answered may look at, if others are answered at an address that it has tried."""
    here, there, outcome = _address(check), _address(same[0]), _outcome(check)
    at = f" at {here}" if here else ""
    elsewhere = f" at {there}" if there != here and there else ""
    if outcome == "handshake":
        return (
            f"{_subject(check)} answers {_who(same)}{elsewhere}, but the TLS handshake fails on this host{at}{_reason(check)}; nothing else was "
            "seen of what answers here: compare the TLS versions of this host's OpenSSL with those that the other side accepts, and look for "
            "a captive portal, an HTTPS inspection or a NAT rule on the way"
        )
    routes = "routes and the " if outcome == "net-unreachable" else ""
    return (
        f"{_subject(check)} does not answer this host{at} ({outcome}), but answers {_who(same)}{elsewhere}: look at the {routes}"
        "firewall of this host, at those of its network and its router, and at that of "
        f"{'the relay' if check['target'] else 'the server'}, which may ban the address that it sees (fail2ban, an allow list)"
    )


def _led_astray(check: _Check, known: list[str], other: _Check) -> str:
    outcome = _outcome(check)
    here = ", ".join(entry for entry in known if _alike(entry, _address(check)))
    what = f"the TLS handshake fails{_reason(check)}" if outcome == "handshake" else f"nothing answers ({outcome})"
    there, who, remedy = _address(other), other["source"], "/etc/hosts or the resolver of this host"
    if check["target"]:
        remedy = f"its DERP map (doctor.derp_map.same), {remedy}"
    elif not mapping(other.get("evidence")).get("proxy"):
        return (
            f"this host resolves {_subject(check)} to {here}, where {what}; {who} resolves the same name to {there} and gets an answer: "
            f"correct {remedy}"
        )
    # The DERP map, or an HTTP proxy, may have given the address in place of the name.
    return f"{_subject(check)} is at {here} for this host, where {what}, and at {there} for {who}, which gets an answer there: correct {remedy}"


def _who(checks: list[_Check]) -> str:
    return ", ".join(dict.fromkeys(check["source"] for check in checks))


def _reason(check: _Check) -> str:
    said = text(mapping(check.get("evidence")).get("error"))
    return f" ({said})" if said else ""


def _outcome(check: _Check) -> str:
    return text(mapping(check.get("observed")).get("outcome"))


def _address(check: _Check) -> str:
    return address(mapping(check.get("evidence")).get("address"))


def _known(check: _Check) -> list[str]:
    """Return every address that the name has on the host of a check."""
    several = addresses(items(mapping(check.get("evidence")).get("addresses"))[:MOST_ADDRESSES])
    return several or list(filter(None, [_address(check)]))


def _alike(one: str, other: str) -> bool:
    """Whether two addresses are of one family, as far as both are known."""
    return not one or not other or (":" in one) == (":" in other)


def _subject(check: _Check) -> str:
    expected = mapping(check.get("expected"))
    if check["id"] == "doctor.relay.stun":
        return (
            f"UDP port {text(expected.get('udp')).rpartition(':')[2]} of the relay {check['target']}, which STUN needs,"
        )
    return (
        f"the relay {check['target']}"
        if check["target"]
        else f"the server {text(expected.get('url')).removesuffix('/health')}"
    )
