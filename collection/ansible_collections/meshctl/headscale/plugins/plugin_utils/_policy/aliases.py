# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names of a policy: what they may be, and the addresses that they stand for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...module_utils._errors import BadInput
from .addresses import EVERYTHING, INTERNET, TAILNET, AddressSet, read_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .nodes import Node, User

_SOURCE_AUTOGROUPS = ("autogroup:member", "autogroup:tagged", "autogroup:danger-all")
_TARGET_AUTOGROUPS = ("autogroup:member", "autogroup:tagged", "autogroup:internet", "autogroup:self")


@dataclass(frozen=True, kw_only=True)
class Names:
    """The groups, hosts and tags that a policy defines."""

    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    owners: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The owners of each tag."""

    @classmethod
    def read(cls, groups: Any, hosts: Any, tag_owners: Any) -> Names:  # noqa: ANN401 - what came out of HuJSON
        """Return the definitions of a policy. Raise `BadInput`."""
        owners = _lists("tagOwners", tag_owners)
        names = cls(groups=_lists("groups", groups), hosts=_hosts(hosts), owners=owners)
        for group, users in names.groups.items():
            _refuse_group(group, users)
        for tag in owners:
            if not tag.startswith("tag:") or not tag[4:5].isascii() or not tag[4:5].isalpha():
                raise BadInput(f"tagOwners of the policy names {tag!r}: a tag looks like tag:web")
        for owner in (owner for each in owners.values() for owner in each):
            if "@" not in owner and not owner.startswith(("group:", "tag:")):
                raise BadInput(f"tagOwners of the policy names {owner!r}: an owner is a user, a group or a tag")
            names.refuse_undefined(owner)
        return names

    def refuse_undefined(self, name: str) -> None:
        """Refuse a group, tag or host that the policy does not define."""
        if "@" in name:
            return
        if name.startswith("group:") and name not in self.groups:
            raise BadInput(f"the policy names {name}, which its groups do not define: add it to groups")
        if name.startswith("tag:") and name not in self.owners:
            raise BadInput(f"the policy names {name}, which its tagOwners do not define: add it to tagOwners")
        if ":" not in name and name != "*" and not is_prefix(name) and name not in self.hosts:
            raise BadInput(f"the policy names {name!r}, which is not a user, group, tag, host or address")


def _lists(what: str, value: Any) -> dict[str, tuple[str, ...]]:  # noqa: ANN401
    read = {str(name): entries for name, entries in _mapping(what, value).items()}
    if what == "tagOwners":  # Headscale takes null for a tag without owners, but not for a group without users.
        read = {name: [] if entries is None else entries for name, entries in read.items()}
    for name, entries in read.items():
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise BadInput(f"{what} of the policy: {name} is not a list of names")
    return {name: tuple(entries) for name, entries in read.items()}


def _hosts(value: Any) -> dict[str, str]:  # noqa: ANN401
    hosts = {str(name): str(address) for name, address in _mapping("hosts", value).items()}
    for name, address in hosts.items():
        if not is_prefix(address) or "@" in name or ":" in name:
            raise BadInput(f"hosts of the policy: {name!r} is {address!r}: write a name without : or @, and an address")
    return hosts


def _mapping(what: str, value: Any) -> dict[str, Any]:  # noqa: ANN401
    if not isinstance(value or {}, dict):
        raise BadInput(f"{what} of the policy is not an object")
    return value or {}


def _refuse_group(group: str, users: Iterable[str]) -> None:
    if not group.startswith("group:"):
        raise BadInput(f"groups of the policy names {group!r}: a group looks like group:staff")
    for user in users:
        if user.startswith("group:"):
            raise BadInput(f"{group} of the policy contains the group {user}: list its users instead")
        if "@" not in user:
            raise BadInput(f"{group} of the policy contains {user!r}: a user's name contains @, as in alice@")


def is_prefix(text: str) -> bool:
    """Whether a name is an address or a prefix."""
    try:
        read_prefix(text)
    except ValueError:
        return False
    return True


def _is_autogroup(name: str) -> bool:
    return name.startswith("autogroup:") and "@" not in name


def refuse_source(name: str, names: Names) -> None:
    """Refuse what may not be a source."""
    if _is_autogroup(name) and name not in _SOURCE_AUTOGROUPS:
        raise BadInput(f"the policy has the source {name}: it can be one of {', '.join(_SOURCE_AUTOGROUPS)}")
    _refuse_unreadable(name)
    names.refuse_undefined(name)


def refuse_target(name: str, names: Names, *, grant: bool, capabilities: bool) -> None:
    """Refuse what may not be a target."""
    if _is_autogroup(name) and name not in _TARGET_AUTOGROUPS:
        raise BadInput(f"the policy has the target {name}: it can be one of {', '.join(_TARGET_AUTOGROUPS)}")
    if capabilities and name == "autogroup:internet":
        raise BadInput("a grant of the policy has app and the target autogroup:internet: it can only have ip")
    if grant and is_prefix(name) and not read_prefix(name).prefixlen:
        raise BadInput(f"a grant of the policy has the target {name}: write autogroup:internet or *")
    _refuse_unreadable(name)
    names.refuse_undefined(name)


def _refuse_unreadable(name: str) -> None:
    known = "@" in name or name.startswith(("group:", "tag:", "autogroup:")) or is_prefix(name)
    if ":" in name and not known:
        raise BadInput(f"the policy names {name!r}, which is not a user, group, tag, host or address")


class Resolver:
    """Find the addresses that the names of a policy stand for among these nodes."""

    def __init__(self, names: Names, nodes: Sequence[Node], users: Iterable[User] = ()) -> None:
        """Keep the nodes. The users are the server's, with their present names; without them, the nodes' records name the owners."""
        self.names, self.nodes = names, nodes
        known = tuple(users)
        numbers = {user.number for user in known if user.number}
        owners = (node.user for node in nodes if node.user and node.user.number not in numbers)
        self._users = tuple(dict.fromkeys((*known, *owners)))
        self._known: dict[str, tuple[AddressSet, bool]] = {}

    def resolve(self, name: str) -> AddressSet:
        """Return the addresses of a name; unknown users have none."""
        return self._resolved(name)[0]

    def is_complete(self, name: str) -> bool:
        """Whether the name resolves without an unknown user."""
        return self._resolved(name)[1]

    def _resolved(self, name: str) -> tuple[AddressSet, bool]:
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def _find(self, name: str) -> tuple[AddressSet, bool]:
        if is_prefix(name):
            return AddressSet.of(name), True
        if "@" in name:
            user = self.user(name)
            return self._of(lambda node: user is not None and user.is_same(node.user)), user is not None
        if name.startswith("group:"):
            found = [self._resolved(user) for user in self.names.groups[name]]
            return AddressSet.union(part for part, _complete in found), all(complete for _part, complete in found)
        if name.startswith("tag:"):
            return self._of(lambda node: name in node.tags), True
        fixed = {"*": TAILNET, "autogroup:danger-all": EVERYTHING, "autogroup:internet": INTERNET}
        if name.startswith("autogroup:") and name not in fixed:
            return self._of(lambda node: bool(node.tags) == (name == "autogroup:tagged")), True
        return fixed[name] if name in fixed else AddressSet.of(self.names.hosts[name]), True

    def user(self, name: str) -> User | None:
        """Return the user that a name means, if it is one only: by the provider's identifier, else by address or name."""
        wanted = name.removesuffix("@")
        if known := next((user for user in self._users if user.provider and user.provider == wanted), None):
            return known
        found = [user for user in self._users if wanted in (user.email, user.name)]
        return found[0] if len(found) == 1 else None

    def owns(self, user: User, tag: str) -> bool:
        """Whether a node of a user may request a tag. The owners of a tag that is itself an owner count as well."""
        named: list[str] = []
        tags = [tag]
        for one in tags:
            for owner in self.names.owners.get(one, ()):
                if owner.startswith("tag:") and "@" not in owner:
                    tags += [owner] if owner not in tags else []
                else:
                    named += self.names.groups.get(owner, (owner,))
        return any(user.is_same(self.user(name)) for name in named)

    def _of(self, chosen: Callable[[Node], bool]) -> AddressSet:
        return AddressSet.of(*(address for node in self.nodes if chosen(node) for address in node.addresses))
