# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide from a policy whether an echo request from one node to another passes, without asking the server.

It knows the names that Headscale knows: users, groups, tags, host aliases, addresses, and the autogroups `self`, `member`
and `tagged`. A rule that names a port lets an echo request pass as well, because Tailscale's filter ignores ports for ICMP.
A rule that cannot be read is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from ...module_utils._errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

# Addresses outside the mesh: it names no node.
_OUTSIDE = ("autogroup:internet",)


@dataclass(frozen=True, kw_only=True)
class Member:
    """A node with everything that a policy can name it by."""

    name: str
    user: str = ""
    email: str = ""
    tags: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()

    @classmethod
    def read(cls, name: str, node: Mapping[str, Any]) -> Member:
        """Return a node from its record of the API client."""
        user = node.get("user") or {}
        tags = tuple(node.get("tags") or ())
        return cls(
            name=name,
            # A tagged node belongs to its tags, and to no user.
            user="" if tags else str(user.get("name") or ""),
            email="" if tags else str(user.get("email") or ""),
            tags=tags,
            addresses=tuple(node.get("ip_addresses") or ()),
            routes=tuple(node.get("subnet_routes") or ()),
        )


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The parts of a policy that decide which nodes reach each other."""

    rules: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    groups: dict[str, list[str]] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    unrestricted: bool = False
    """Whether every node reaches every other node: no policy, or one without rules."""

    @classmethod
    def read(cls, document: Any) -> Policy:  # noqa: ANN401 - what came out of HuJSON
        """Return a policy from its document, or from None for no policy. Raise `BadInput`."""
        if document is None or document == {}:
            return cls(rules=(), unrestricted=True)
        if not isinstance(document, dict):
            raise BadInput("the policy is not an object: write one with acls or grants")
        acls, grants = document.get("acls"), document.get("grants")
        return cls(
            rules=(*_acls(acls or []), *_grants(grants or [])),
            groups={name: _texts(f"group {name!r}", users) for name, users in _mapping("groups", document).items()},
            hosts={name: str(address) for name, address in _mapping("hosts", document).items()},
            unrestricted=acls is None and grants is None,
        )

    @property
    def size(self) -> int:
        """Return how many names have to be compared, at the most, to decide about one pair."""
        largest = max(map(len, self.groups.values()), default=1)
        return sum(
            largest if name.startswith("group:") else 1 for rule in self.rules for names in rule for name in names
        )

    def reaches(self, source: Member, target: Member) -> bool:
        """Whether an echo request passes from one node to another."""
        return self.unrestricted or any(
            self._is_source(source, sources) and self._is_target(source, target, targets)
            for sources, targets in self.rules
        )

    def _is_source(self, node: Member, names: Iterable[str]) -> bool:
        return any(self._means(name, node) for name in names)

    def _is_target(self, source: Member, node: Member, names: Iterable[str]) -> bool:
        for name in names:
            if name == "autogroup:self":
                if node.user and source.user == node.user:
                    return True
            elif name not in _OUTSIDE and self._means(name, node):
                return True
        return False

    def _means(self, name: str, node: Member) -> bool:  # noqa: PLR0911 - one line for each kind of name
        if name in ("*", "autogroup:danger-all"):
            return True
        if name.startswith("group:"):
            if name not in self.groups:
                raise BadInput(f"the policy names {name}, which its groups do not define: add it to groups")
            if nested := next((user for user in self.groups[name] if user.startswith("group:")), None):
                raise BadInput(f"{name} of the policy contains the group {nested}: list its users instead")
            return any(self._means(user, node) for user in self.groups[name])
        if name.startswith("tag:"):
            return name in node.tags
        if name == "autogroup:member":
            return not node.tags
        if name == "autogroup:tagged":
            return bool(node.tags)
        if name.startswith("autogroup:"):
            raise BadInput(f"the policy names {name}, which meshctl does not know")
        if "@" in name:
            # `alice@` is the user alice; a full address comes from the identity provider.
            return bool(node.user) and (name in (f"{node.user}@", node.email) or name == node.user)
        return self._has_address(node, self.hosts.get(name, name))

    def _has_address(self, node: Member, text: str) -> bool:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            raise BadInput(f"the policy names {text!r}, which is not a user, group, tag, host or address") from None
        return any(ip_address(address) in network for address in node.addresses)


def _acls(rules: Any) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:  # noqa: ANN401
    for rule in _objects("acls", rules):
        if rule.get("action", "accept") != "accept":
            raise BadInput(f"a rule of the policy has the action {rule.get('action')!r}")
        yield _names(rule, "src"), tuple(_without_port(name) for name in _names(rule, "dst"))


def _grants(rules: Any) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:  # noqa: ANN401
    for rule in _objects("grants", rules):
        # A grant of capabilities alone lets no packets pass.
        if rule.get("ip"):
            yield _names(rule, "src"), _names(rule, "dst")


def _objects(what: str, rules: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise BadInput(f"{what} of the policy is not a list of rules")
    return rules


def _mapping(what: str, document: dict[str, Any]) -> dict[str, Any]:
    value = document.get(what) or {}
    if not isinstance(value, dict):
        raise BadInput(f"{what} of the policy is not an object")
    return value


def _texts(what: str, value: Any) -> list[str]:  # noqa: ANN401
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadInput(f"{what} of the policy is not a list of names")
    return value


def _names(rule: dict[str, Any], key: str) -> tuple[str, ...]:
    names = rule.get(key)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadInput(f"a rule of the policy has no list {key}")
    return tuple(names)


def _without_port(target: str) -> str:
    name, colon, _ports = target.rpartition(":")
    if not colon:
        raise BadInput(f"the policy has the target {target!r} without a port")
    return name.strip("[]")


def forbidden(policy: Policy, members: Sequence[Member]) -> list[tuple[str, str]]:
    """Return the pairs whose first node does not reach the second."""
    return [
        (source.name, target.name)
        for source in members
        for target in members
        if source.name != target.name and not policy.reaches(source, target)
    ]


def unknown_names(document: Any, *, users: Iterable[Mapping[str, Any]], tags: Iterable[str]) -> list[str]:  # noqa: ANN401
    """Return the users and tags that a policy names and that do not exist; Headscale accepts them silently."""
    names = {f"{user.get('name')}@" for user in users} | {str(user.get("email") or "") for user in users}
    owned = set((document or {}).get("tagOwners") or {}) | set(tags)
    found = list(dict.fromkeys(_every_name(document)))
    return [
        name for name in found if ("@" in name and name not in names) or (name.startswith("tag:") and name not in owned)
    ]


def _every_name(document: Any) -> Iterator[str]:  # noqa: ANN401
    policy = document if isinstance(document, dict) else {}
    for owners in [*(policy.get("groups") or {}).values(), *(policy.get("tagOwners") or {}).values()]:
        yield from (str(name) for name in owners)
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
