# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell a server or a relay that is down from one that answers other clients, and only not this one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from .._judge.answer import mapping, text
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
    outcome = text(mapping(check.get("observed")).get("outcome"))
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
    outcome, here = text(mapping(check.get("observed")).get("outcome")), _address(check)
    same = [other for other in well if not here or _address(other) in ("", here)]
    if same and outcome == "handshake":
        hint = (
            f"{_subject(check)} answers {same[0]['source']}, but another program answers this host{f' at {here}' if here else ''}, as a "
            f"captive portal, an HTTPS inspection or a NAT rule does ({check['hint'].partition(': ')[0]})"
        )
    elif same:
        who = ", ".join(dict.fromkeys(other["source"] for other in same))
        hint = (
            f"{_subject(check)} does not answer this host{f' at {here}' if here else ''} ({outcome}), but answers {who}: look at the "
            "firewall of this host, at those of its network and its router, and at that of "
            f"{'the relay' if check['target'] else 'the server'}, which may ban the address that it sees (fail2ban, an allow list)"
        )
    else:
        hint = (
            f"{_subject(check)} is at {here} for this host, where nothing answers ({outcome}), and at {_address(well[0])} for "
            f"{well[0]['source']}, which it answers: correct /etc/hosts or the resolver of this host"
        )
    return {**check, "hint": hint}


def _address(check: _Check) -> str:
    return text(mapping(check.get("evidence")).get("address"))


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
