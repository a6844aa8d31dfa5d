# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the one node that somebody means."""

from __future__ import annotations

import typing as t

from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import Record

# How people name a node: option -> field of the node.
SELECTORS = {"id": "id", "name": "given_name", "hostname": "name", "node_key": "node_key"}

# What Ansible means by itself: a phone that calls itself localhost must not be taken for the controller.
_TAKEN = frozenset({"localhost", "all", "ungrouped"})


def host_name(name: str, taken: Iterable[str] = ()) -> str:
    """Return the name of a node's host in an inventory: its own, unless that stands for something else there."""
    return f"{name}-node" if name in _TAKEN or name in taken else name


def owner(node: Record) -> str:
    """Return the name of the user that a node belongs to; a tagged node belongs to nobody."""
    return "" if node["tags"] or not node["user"] else str(node["user"]["name"])


def matching(nodes: Iterable[Record], wanted: Mapping[str, t.Any]) -> list[Record]:
    """Return the nodes that have every property that is asked for; what is None is not asked for."""
    asked = {option: value for option, value in wanted.items() if value is not None}
    return [node for node in nodes if all(_has(node, option, value) for option, value in asked.items())]


def _has(node: Record, option: str, value: str | bool) -> bool:
    if option == "user":
        return bool(owner(node) == value)
    if option == "tag":
        return bool(value in node["tags"])
    if option == "online":
        return bool(node["online"]) == value
    if option == "node_key":
        return str(node["node_key"]) == f"nodekey:{str(value).rsplit(':', maxsplit=1)[-1]}"
    return bool(node[SELECTORS[option]] == value)


def the_one(nodes: Iterable[Record], wanted: Mapping[str, t.Any]) -> Record | None:
    """Return the node that is meant, None when there is none; refuse to choose between several."""
    found = matching(nodes, wanted)
    if len(found) > 1:
        listed = ", ".join(f"id {node['id']} ({node['given_name']}, user {owner(node) or 'none'})" for node in found)
        raise BadInput(f"Several nodes have {describe(wanted)}: {listed}. Name one of them by id.")
    return found[0] if found else None


def describe(wanted: Mapping[str, t.Any]) -> str:
    """Return in words how a node was named."""
    return " and ".join(f"{option} {value!r}" for option, value in wanted.items() if value is not None)
