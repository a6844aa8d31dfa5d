# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the names of a policy that mean nothing on the server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ...module_utils._errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .nodes import Node


def unknown_names(document: Any, *, users: Iterable[Mapping[str, Any]], tags: Iterable[str]) -> list[str]:  # noqa: ANN401
    """Return the users and tags that a policy names and that do not exist; Headscale accepts them silently."""
    names = {str(user.get(key)) for user in users for key in ("name", "email", "provider_id") if user.get(key)}
    owned = set((document or {}).get("tagOwners") or {}) | set(tags)
    found = list(dict.fromkeys(_every_name(document)))
    return [
        name
        for name in found
        # As Headscale does, which takes one `@` from the end of a name.
        if ("@" in name and name.removesuffix("@") not in names) or (name.startswith("tag:") and name not in owned)
    ]


def unmatched_tags(document: Any, nodes: Iterable[Node]) -> str:  # noqa: ANN401
    """Return which of these nodes no rule names because they have tags, in words; empty if there is none."""
    known = {str(key).lower(): value for key, value in document.items()} if isinstance(document, dict) else {}
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


def _every_name(document: Any) -> Iterator[str]:  # noqa: ANN401
    policy = document if isinstance(document, dict) else {}
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
        yield from (str(name) for name in owners if isinstance(owners, list))
    for rule in [*(policy.get("acls") or []), *(policy.get("grants") or []), *(policy.get("ssh") or [])]:
        if isinstance(rule, dict):
            yield from (str(name) for name in rule.get("src") or [])
            for name in rule.get("dst") or []:
                # `tag:web:443` of a rule has a port, `tag:web` of a grant has none.
                bare = str(name)
                yield (
                    bare.rpartition(":")[0]
                    if bare.count(":") > bare.startswith(("tag:", "group:", "autogroup:"))
                    else bare
                )
