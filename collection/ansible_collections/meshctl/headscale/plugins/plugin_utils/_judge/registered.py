# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge whether nodes are registered on the control server as expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .answer import Answer, Json, addresses, items, mapping, moment, text
from .context import CheckContext
from .observations import NODES
from .quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .check import Check


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A node that should be registered; without `key` it is found by name."""

    name: str
    key: str = ""
    previous_id: str = ""
    label: str = ""
    """The node's name on the server, if it is not the host's."""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """The expected content of the server's list of nodes."""

    nodes: tuple[Wanted, ...]
    online: bool | None = True
    user: str = ""
    tags: tuple[str, ...] | None = None


def records(answer: Json, expect: Registered) -> dict[str, dict[str, Any]]:
    """Return `mesh_nodes`: the server's record of each wanted node that it knows."""
    listed, contested = _listed(Answer(answer)), rivals(expect)
    return {
        wanted.name: _record(found)
        for wanted in expect.nodes
        if listed and wanted.name not in contested and (found := _find(listed, wanted))
    }


def rivals(expect: Registered) -> dict[str, list[str]]:
    """Return all hosts that state the same key, for each host that shares its key: the node may be any of them."""
    owners: dict[str, list[str]] = {}
    for key, name in dict.fromkeys((wanted.key, wanted.name) for wanted in expect.nodes if wanted.key):
        owners.setdefault(key, []).append(name)
    return {name: names for names in owners.values() if len(names) > 1 for name in names}


def outsiders(answer: Json, expect: Registered) -> dict[str, dict[str, Any]]:
    """Return the server's records of all other nodes whose keys have not expired, by the names that the server gave them."""
    seen = Answer(answer)
    listed = _listed(seen) or []
    wanted = [_find(listed, one) for one in expect.nodes]
    taken = {one.name for one in expect.nodes}
    found = {
        text(node.get("givenName")): _record(node) for node in listed if node not in wanted and not _expired(seen, node)
    }
    return {name: record for name, record in found.items() if name and name not in taken and record["addresses"]}


def _expired(seen: Answer, node: Mapping[str, Any]) -> bool:
    expiry = moment(node.get("expiry"))
    return expiry is not None and (seen.now is None or expiry <= seen.now)


def still_listed(answer: Json, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was known of nodes before, without those that the server no longer has."""
    listed = _listed(Answer(answer))
    if listed is None:
        return dict(known)
    ids = {text(node.get("id")) for node in listed}
    return {name: record for name, record in known.items() if text(mapping(record).get("id")) in ids}


def judge_registered(answer: Json, context: CheckContext, expect: Registered) -> list[Check]:
    """Return a check of each wanted node, and one of each node's name."""
    seen = Answer(answer)
    listed = _listed(seen)
    if listed is None or not expect.nodes:
        why = seen.why(NODES) if listed is None else "no node is expected: pass nodes"
        targets: list[str | None] = [wanted.name for wanted in expect.nodes] or [None]
        evidence = {"error": seen.error(NODES)}
        return [
            context.check(None, target=name, expected="registered", observed=None, hint=why, evidence=evidence)
            for name in targets
        ]
    contested = rivals(expect)
    checks = [
        _contested(context, expect, wanted, found, contested[wanted.name])
        if wanted.name in contested and (found := _find(listed, wanted))
        else _one(seen, context, expect, wanted, listed)
        for wanted in expect.nodes
    ]
    return checks + _duplicates(context, [one for one in expect.nodes if one.name not in contested], listed)


def _listed(seen: Answer) -> list[dict[str, Any]] | None:
    data = seen.data(NODES)
    if not isinstance(data, dict) or "nodes" not in data:
        return None
    return [mapping(node) for node in items(data["nodes"])]


def _find(listed: list[dict[str, Any]], wanted: Wanted) -> dict[str, Any]:
    if wanted.key:
        return next((node for node in listed if text(node.get("nodeKey")) == wanted.key), {})
    label = _label(wanted.label or wanted.name)
    by_given = [node for node in listed if text(node.get("givenName")).lower() == label]
    return next(iter(by_given or [node for node in listed if _label(text(node.get("name"))) == label]), {})


def _label(name: str) -> str:
    return name.partition(".")[0].lower()


def _record(node: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": text(node.get("id")),
        "key": text(node.get("nodeKey")),
        "name": text(node.get("name")),
        "given_name": text(node.get("givenName")),
        "user": text(mapping(node.get("user")).get("name")),
        "addresses": addresses(node.get("ipAddresses")),
        "online": node.get("online") is True,
        "expiry": None if moment(node.get("expiry")) is None else text(node.get("expiry")),
        "last_seen": None if moment(node.get("lastSeen")) is None else text(node.get("lastSeen")),
        "tags": [text(tag) for tag in items(node.get("tags"))],
    }


def _expected(expect: Registered) -> dict[str, Any]:
    expected: dict[str, Any] = {"registered": True, "expired": False}
    if expect.online is not None:
        expected["online"] = expect.online
    if expect.user:
        expected["user"] = expect.user
    if expect.tags is not None:
        expected["tags"] = sorted(expect.tags)
    return expected


def _one(
    seen: Answer, context: CheckContext, expect: Registered, wanted: Wanted, listed: list[dict[str, Any]]
) -> Check:
    expected = _expected(expect)
    found = _find(listed, wanted)
    if not found:
        return context.check(
            False, target=wanted.name, expected=expected, observed={"registered": False},
            evidence={"key": wanted.key, "listed": sorted(text(node.get("givenName")) for node in listed)},
            hint=_missing(wanted, listed), command="headscale nodes list",
        )  # fmt: skip
    record = _record(found)
    has = {
        "registered": bool(record["id"] and record["addresses"]),
        "expired": _expired(seen, found),
        "online": record["online"],
        "user": record["user"],
        "tags": sorted(record["tags"]),
    }
    observed = {key: has[key] for key in expected}
    if wanted.previous_id and wanted.previous_id != record["id"]:
        record["registered_before_as"] = wanted.previous_id
    return context.check(
        observed == expected, target=wanted.name, expected=expected, observed=observed, evidence=record,
        hint=_hint(observed, expected, record), command="headscale nodes list",
    )  # fmt: skip


def _contested(
    context: CheckContext, expect: Registered, wanted: Wanted, found: dict[str, Any], names: list[str]
) -> Check:
    """Return that a node may be any of several hosts: what a host says of itself must not decide about another."""
    number, name = text(found.get("id")), text(found.get("givenName"))
    return context.check(
        None,
        target=wanted.name,
        expected=_expected(expect),
        observed={"same_key": names},
        evidence={"key": wanted.key, "node": number},
        hint=f"{' and '.join(names)} state the same key, that of node {number} ({name}), so it is unknown which of them is this node: one "
        "is a clone of the other with tailscaled's state, or one states a key that is not its own; compare `tailscale status --json` on "
        "them, and join the wrong one again with an empty state directory",
        command="headscale nodes list",
    )


def _missing(wanted: Wanted, listed: list[dict[str, Any]]) -> str:
    label = _label(wanted.name)
    same = [node for node in listed if label in (text(node.get("givenName")), _label(text(node.get("name"))))]
    if wanted.key and same:
        ids = ", ".join(text(node.get("id")) for node in same)
        return (
            f"the server has the name {wanted.name} (node {ids}) under another key: the node registered again; run "
            "client_info again"
        )
    return (
        f"{wanted.name} is not on this server: it joined another server, it was deleted, or its preauthkey was refused (see its "
        "log)"
    )


def _hint(observed: dict[str, Any], expected: dict[str, Any], record: dict[str, Any]) -> str:
    if not observed["registered"]:
        return "the server's record has no id or no address"
    if observed["expired"]:
        return (
            f"its key expired at {record['expiry']}: join it again, or `headscale nodes expire --disable -i "
            f"{quoted(record['id'])}`"
        )
    if observed.get("online") != expected.get("online"):
        state = "offline" if expected["online"] else "still online"
        return (
            f"the server reports it as {state} (last seen {record['last_seen']}): check that tailscaled runs and "
            "reaches the server"
        )
    wrong = [key for key in ("user", "tags") if observed.get(key) != expected.get(key)]
    return f"it was registered with another {' and other '.join(wrong)}: check which preauthkey was used"


def _duplicates(context: CheckContext, nodes: list[Wanted], listed: list[dict[str, Any]]) -> list[Check]:
    checks = []
    for wanted in nodes:
        name = text(_find(listed, wanted).get("name")).lower()
        claims = [node for node in listed if name and text(node.get("name")).lower() == name]
        if not claims:
            continue
        checks.append(_unique(context, wanted, name, claims))
    return checks


def _unique(context: CheckContext, wanted: Wanted, name: str, claims: list[dict[str, Any]]) -> Check:
    ids = [f"{text(node.get('id'))} ({text(node.get('givenName'))})" for node in claims]
    return context.check(
        len(claims) == 1,
        aspect="unique",
        target=wanted.name,
        expected=1,
        observed=len(claims),
        evidence={"name": name, "nodes": ids},
        hint=f"the nodes {', '.join(ids)} all use the name {name}, but only one can have it: delete the stale ones",
        command="headscale nodes list",
    )
