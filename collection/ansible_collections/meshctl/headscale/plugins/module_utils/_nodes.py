# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the node that an option names, and give nodes names and addresses that an inventory can trust."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import Record

# How people name a node: option -> field of the node.
SELECTORS = {"id": "id", "name": "given_name", "hostname": "name", "node_key": "node_key"}

# Names with a meaning in an inventory: Ansible's own, the groups that playbooks name, and the host that represents the API.
RESERVED = frozenset(
    (
        "all", "clients", "expired", "headscale", "headscale-api", "lan", "localhost", "offline", "online", "relays", "routers",
        "spare", "ungrouped",
    )
)  # fmt: skip
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)


def host_name(name: str, *, hosts: Collection[str] = (), groups: Collection[str] = ()) -> str | None:
    """Return the inventory name of a node; None when its own is another host's, or no DNS name.

    A node that has the name of a group, or one with another meaning, gets the suffix `-node`. Case makes no difference:
    `hosts` and `groups` are in lower case.
    """
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):  # noqa: PLR2004
        return None
    if name.lower() in RESERVED or name.lower() in groups or _is_address(name):
        name = f"{name}-node"
    return None if name.lower() in hosts or name.lower() in groups else name


def _is_address(text: str) -> bool:
    """Return whether a resolver takes a text for an IPv4 address."""
    return re.fullmatch(r"[0-9.]+|0x[0-9a-f]+", text.lower()) is not None


def host_address(addresses: Iterable[str]) -> str | None:
    """Return the first address at which a node of a mesh can be; None where there is none."""
    for text in addresses:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        special = address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local
        if not special and "%" not in text:
            return str(address)
    return None


def owner(node: Record) -> str:
    """Return the name of the user that a node belongs to, empty for a tagged node."""
    return "" if node["tags"] or not node["user"] else str(node["user"]["name"])


def the_user(users: Iterable[Record], name: str) -> Record | None:
    """Return the user of a name, None when there is none; refuse to choose between several.

    Headscale keeps names unique for each identity provider, so an OIDC user may have the name of a local one.
    """
    found = [user for user in users if user["name"] == name]
    if len(found) > 1:
        listed = ", ".join(f"id {user['id']} ({user['provider'] or 'local'})" for user in found)
        raise BadInput(f"Several users are called {name!r}: {listed}. Name one of them by id.")
    return found[0] if found else None


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
