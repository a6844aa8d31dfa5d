# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the names of a policy that mean nothing on the server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ...module_utils._errors import BadInput
from .keys import canonical, folded, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .nodes import Node


def unknown_names(document: Any, *, users: Iterable[Mapping[str, Any]], tags: Iterable[str]) -> list[str]:  # noqa: ANN401
    """Return the users and tags that a policy names and that do not exist; the users are the API's. Raise `BadInput`."""
    policy = canonical(document)
    names = {str(user.get(key)) for user in users for key in ("name", "email", "providerId") if user.get(key)}
    owned = set(policy.get("tagOwners") or {}) | set(tags)
    found = dict.fromkeys([*_every_name(policy), *(name for _where, name in _required_names(policy))])
    return [
        name
        for name in found
        # As Headscale does, which takes one `@` from the end of a name.
        if ("@" in name and name.removesuffix("@") not in names) or (name.startswith("tag:") and name not in owned)
    ]


def refused_users(document: Any, unknown: Iterable[str]) -> dict[str, str]:  # noqa: ANN401
    """Return those of the unknown users for which Headscale refuses the policy, and where it names them; elsewhere it accepts them.

    For `nodeAttrs` it does not start either; `tests` and `sshTests` run only when the policy is installed.
    """
    policy, missing = canonical(document), {name for name in unknown if "@" in name}
    groups = policy.get("groups") or {}
    found: dict[str, str] = {}
    for where, name in _required_names(policy):
        for user in listed(groups.get(name)) if name.startswith("group:") else [name]:
            if user in missing:
                found.setdefault(user, where)
    return found


def unmatched_tags(document: Any, nodes: Iterable[Node]) -> str:  # noqa: ANN401
    """Return which of these nodes no rule names because they have tags, in words; empty if there is none."""
    known = {folded(str(key)): value for key, value in document.items()} if isinstance(document, dict) else {}
    rules = json.dumps([known.get("acls"), known.get("grants")])
    if "autogroup:tagged" in rules:
        return ""
    found = [
        f"{node.name} ({', '.join(node.tags)})"
        for node in nodes
        if node.tags and not any(f'"{tag}' in rules for tag in node.tags)
    ]
    return (
        f"rules for users do not match nodes with tags, and no rule names those of {', '.join(found)}" if found else ""
    )


def _every_name(policy: dict[str, Any]) -> Iterator[str]:
    approvers = policy.get("autoApprovers") or {}
    if not isinstance(approvers, dict) or not isinstance(approvers.get("routes") or {}, dict):
        raise BadInput("autoApprovers of the policy is not an object")
    named = [
        policy.get("groups"),
        policy.get("tagOwners"),
        approvers.get("routes"),
        {"": approvers.get("exitNode") or []},
    ]
    for owners in (owners for names in named for owners in (names or {}).values()):
        yield from map(str, listed(owners))
    for rule in (rule for part in ("acls", "grants", "ssh") for rule in _objects(policy.get(part))):
        yield from (str(name).strip() for name in listed(rule.get("src")))
        yield from (_without_ports(str(name).strip()) for name in listed(rule.get("dst")))


def _required_names(policy: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Return each name that Headscale has to know to accept the policy, and the part that has it."""
    for entry in _objects(policy.get("nodeAttrs")):
        # Headscale passes over an entry without attributes.
        if listed(entry.get("attr")):
            yield from (("nodeAttrs", str(name).strip()) for name in listed(entry.get("target")))
    for test in _objects(policy.get("tests")):
        yield "tests", str(test.get("src") or "")
        for key in ("accept", "deny"):
            yield from (("tests", _without_ports(str(name))) for name in listed(test.get(key)))
    for test in _objects(policy.get("sshTests")):
        yield from (("sshTests", str(name).strip()) for name in [test.get("src") or "", *listed(test.get("dst"))])


def _without_ports(name: str) -> str:
    """Return a target's name: `tag:web:443` of a rule has a port, `tag:web` of a grant has none."""
    return name.rpartition(":")[0] if name.count(":") > name.startswith(("tag:", "group:", "autogroup:")) else name


def _objects(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    return (entry for entry in listed(value) if isinstance(entry, dict))
