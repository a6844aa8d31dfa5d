# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Relate findings of one host to those of another, once all hosts have been examined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._judge.answer import items, mapping
from .._judge.check import BAD
from .cause import Cause, because_of
from .elsewhere import answered_elsewhere

_STORY = "doctor"
# What keeps a node from answering anybody, as its own host has it.
_CUT_OFF = tuple(f"{_STORY}.{name}" for name in ("client", "network", "relay.https", "relay.upgrade"))
# What keeps a node from learning where others can send to it.
_HIDDEN = (*_CUT_OFF, *(f"{_STORY}.{name}" for name in ("relay.stun", "derp_map", "derp_map.stun")))
_SERVER, _NETWORK = f"{_STORY}.server", f"{_STORY}.network"
_PATH = f"{_STORY}.path"
_REPLACED = f"{_STORY}.identity"
_Check = dict[str, Any]


def relate(checks: Sequence[_Check]) -> list[_Check]:
    """Return the checks, where one refers to what another host found: the host of a peer, or all clients of the server."""
    # Without a network, a host answers no other, whatever took that away.
    roots = {
        (check["id"], check["source"])
        for check in checks
        if _is_root(check) or (check["id"] == _NETWORK and check["verdict"] in BAD)
    }
    lost = next((check for check in checks if check["id"] == _REPLACED and _is_root(check)), None)
    proxies = {check["source"]: _proxy(check) for check in checks if check["id"] == _SERVER and _is_root(check)}
    related = [
        _marked(check, Cause(id=_SERVER, source=check["source"])) if _asks_in_vain(check, proxies)
        else _because(check, roots, _causes(check))
        for check in answered_elsewhere(checks)
    ]  # fmt: skip
    if lost:
        cause = Cause(id=_REPLACED, source=lost["source"])
        return [_marked(check, cause) if _is_lost(check, lost) else check for check in related]
    unserved = _unserved(related)
    related = _by_common_host(related)
    return [_marked(check, unserved) if unserved and _is_unread(check) else check for check in related]


def _proxy(check: _Check) -> str:
    """Return the HTTP proxy through which a page was asked for, empty if there was none."""
    return str(mapping(check.get("evidence")).get("proxy") or "")


def _asks_in_vain(check: _Check, proxies: dict[str, str]) -> bool:
    """Whether a relay was asked through the same HTTP proxy through which the server does not answer either."""
    same = bool(_proxy(check)) and proxies.get(check["source"]) == _proxy(check)
    return check["id"] == f"{_STORY}.relay.https" and _is_root(check) and same


def _unserved(checks: Sequence[_Check]) -> Cause | None:
    """Return why no client is served, if that is so."""
    seen = [check for check in checks if check["id"] == _SERVER and check["verdict"] in ("passed", *BAD)]
    if not seen or any(check["verdict"] not in BAD for check in seen):
        return None
    known = because_of(seen[0]) or (_SERVER, seen[0]["source"])
    return Cause(id=known[0], source=known[1])


def _is_unread(check: _Check) -> bool:
    """Whether the API could not be asked."""
    return check["id"] == f"{_STORY}.api" and check["verdict"] == "error" and not because_of(check)


def _is_root(check: _Check) -> bool:
    return check["story"] == _STORY and check["verdict"] in BAD and not because_of(check)


def _is_lost(check: _Check, lost: _Check) -> bool:
    """Whether a finding says that a server which was replaced knows neither a client nor the API key."""
    seen = mapping(lost["observed"])
    cut_off = check["id"] == f"{_STORY}.client" and check["source"] in items(seen.get("cannot_authenticate"))
    return _is_root(check) and (cut_off or (check["id"] == f"{_STORY}.api" and seen.get("api_key") == "refused"))


def _by_common_host(checks: Sequence[_Check]) -> list[_Check]:
    """Return the checks, where relayed paths that share one host, and nothing else, refer to the first one that this host tells."""
    paths = [
        check
        for check in checks
        if check["id"] == _PATH and _is_root(check) and mapping(check["observed"]).get("path") == "relay"
    ]
    pairs = {frozenset((check["source"], str(check["target"]))) for check in paths}
    common = frozenset.intersection(*pairs) if len(pairs) > 1 else frozenset()
    first = next((check for check in paths if check["source"] in common), None)
    if first is None or all(check["source"] == first["source"] for check in paths):
        return list(checks)
    cause = Cause(id=_PATH, source=first["source"])
    return [_marked(check, cause) if check in paths and check is not first else check for check in checks]


def _causes(check: _Check) -> tuple[str, ...]:
    """Return which findings of the peer's own host would explain a bad path to it, or an exit node that passes nothing on."""
    if check["verdict"] not in BAD or because_of(check):
        return ()
    if check["id"] == f"{_STORY}.exit_node" and mapping(check["observed"]).get("online") is True:
        return (f"{_STORY}.network", f"{_STORY}.routes.forwarding")
    if check["id"] != _PATH:
        return ()
    return {"none": _CUT_OFF, "relay": _HIDDEN}.get(str(mapping(check["observed"]).get("path")), ())


def _because(check: _Check, roots: set[tuple[str, str]], causes: tuple[str, ...]) -> _Check:
    found = next((name for name in causes if (name, check["target"]) in roots), None)
    if found is None:
        return check
    return _marked(check, Cause(id=found, source=check["target"]))


def _marked(check: _Check, cause: Cause) -> _Check:
    evidence = {**check["evidence"], "because": {"id": cause.id, "source": cause.source}}
    return {**check, "hint": cause.seen_from(check["source"]), "evidence": evidence}
