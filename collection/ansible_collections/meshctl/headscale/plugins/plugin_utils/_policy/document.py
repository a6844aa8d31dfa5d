# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a policy. What Headscale refuses is an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

from ...module_utils._errors import BadInput
from .aliases import Names, refuse_source, refuse_target
from .keys import PARTS, by_folded_key, listed
from .ports import Service, read_acl_service, read_grant_service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_OWN_SOURCES = ("group:", "autogroup:member")
_ATTRIBUTE_AUTOGROUPS = ("autogroup:member", "autogroup:tagged")
_DISABLE_IPV4 = "disable-ipv4"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A grant, or an ACL's part about one target."""

    label: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    services: tuple[Service, ...] = ()
    via: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The parts of a policy that decide which packets pass."""

    rules: tuple[Rule, ...] = ()
    names: Names = field(default_factory=Names)
    unrestricted: bool = False
    """Whether all packets pass: no policy, or one without rules."""
    without_ipv4: tuple[str, ...] = ()
    """What `nodeAttrs` gives `disable-ipv4`: such nodes have no IPv4 address in the mesh, though the server lists one."""

    @classmethod
    def read(cls, document: Any) -> Policy:  # noqa: ANN401 - what came out of HuJSON
        """Return a policy from its document, or from None for no policy. Raise `BadInput`."""
        if document is None:
            return cls(unrestricted=True)
        if not isinstance(document, dict):
            raise BadInput("the policy is not an object: write one with acls or grants")
        parts = by_folded_key(document)
        acls, grants = parts.get("acls"), parts.get("grants")
        names = Names.read(parts.get("groups"), parts.get("hosts"), parts.get("tagowners"))
        rules = (*_grants(grants), *_acls(acls))
        for rule in rules:
            _refuse(rule, names)
        disabled = tuple(_without_ipv4(parts.get("nodeattrs"), names))
        return cls(rules=rules, names=names, unrestricted=acls is None and grants is None, without_ipv4=disabled)

    @property
    def size(self) -> int:
        """Return how many names have to be resolved, at the most."""
        largest = max(map(len, self.names.groups.values()), default=1)
        named = (name for rule in self.rules for name in (*rule.sources, *rule.targets))
        return sum(largest if name.startswith("group:") else 1 for name in (*named, *self.without_ipv4))


def _objects(what: str, rules: Any, keys: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401
    if what == "acl":  # Headscale takes null for an ACL without keys.
        rules = [{} if rule is None else rule for rule in rules] if isinstance(rules, list) else rules
    if not isinstance(rules or [], list) or not all(isinstance(rule, dict) for rule in rules or ()):
        raise BadInput(f"{what}s of the policy is not a list of rules")
    for number, rule in enumerate(rules or (), start=1):
        read = {key: value for key, value in rule.items() if what != "acl" or not str(key).startswith("#")}
        known = by_folded_key(read, f"{what} {number} of the policy")
        if unknown := sorted(set(known) - set(keys)):
            raise BadInput(f"{what} {number} of the policy has the key {unknown[0]!r}, which Headscale does not know")
        yield f"{what} {number}", known


def _acls(rules: Any) -> Iterator[Rule]:  # noqa: ANN401
    for label, rule in _objects("acl", rules, PARTS["acls"]):
        if rule.get("action", "accept") != "accept":
            raise BadInput(f"{label} of the policy has the action {rule['action']!r}: the only one is accept")
        protocol = str(rule.get("proto") or "")
        sources, targets = _stripped(label, rule, "src"), _texts(label, rule, "dst")
        if any(target.startswith("autogroup:self:") for target in targets):
            _refuse_own(label, sources, wildcard=True)
        for target in targets:
            name, ports = split_target(target)
            service = read_acl_service(protocol, ports)
            text = f"{label}: {', '.join(sources)} -> {target}" + (f" ({protocol})" if protocol else "")
            yield Rule(label=text, sources=sources, targets=(name,), services=(service,))


def _grants(rules: Any) -> Iterator[Rule]:  # noqa: ANN401
    for label, rule in _objects("grant", rules, PARTS["grants"]):
        sources, targets = _stripped(label, rule, "src"), _stripped(label, rule, "dst")
        services, via = _texts(label, rule, "ip"), _texts(label, rule, "via")
        capabilities = rule.get("app") or {}
        if not isinstance(capabilities, dict):
            raise BadInput(f"app of {label} of the policy is not an object")
        if not services and not capabilities:
            raise BadInput(f"{label} of the policy grants nothing: write ip or app")
        if "autogroup:self" in targets:
            _refuse_own(label, sources, wildcard=False)
        yield Rule(
            label=f"{label}: {', '.join(sources)} -> {', '.join(targets)} ({', '.join((*services, *capabilities))})"
            + (f" via {', '.join(via)}" if via else ""),
            sources=sources,
            targets=targets,
            services=tuple(read_grant_service(text) for text in services),
            via=via,
            capabilities=tuple(map(str, capabilities)),
        )


def _texts(label: str, rule: dict[str, Any], key: str) -> tuple[str, ...]:
    values = rule.get(key) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise BadInput(f"{key} of {label} of the policy is not a list of texts")
    return tuple(values)


def _stripped(label: str, rule: dict[str, Any], key: str) -> tuple[str, ...]:
    return tuple(value.strip() for value in _texts(label, rule, key))


def split_target(target: str) -> tuple[str, str]:
    """Return the name and the ports of an ACL's target."""
    text = target
    if target.startswith("["):
        address, bracket, rest = target[1:].partition("]")
        if not bracket or not rest.startswith((":", "/")) or not _is_ipv6(address):
            raise BadInput(f"the policy has the target {target!r}: write brackets around IPv6 addresses only")
        text = address + rest
    name, colon, ports = text.rpartition(":")
    if not colon or not name or not ports:
        raise BadInput(f"the policy has the target {target!r} without a port")
    return name, ports


def _is_ipv6(text: str) -> bool:
    try:
        return bool(IPv6Address(text))
    except ValueError:
        return False


def _without_ipv4(attributes: Any, names: Names) -> Iterator[str]:  # noqa: ANN401
    """Return the targets of `disable-ipv4`, without any that cannot be resolved: Headscale refuses them."""
    for entry in (by_folded_key(entry) for entry in listed(attributes) if isinstance(entry, dict)):
        if _DISABLE_IPV4 in listed(entry.get("attr")):
            yield from (
                name
                for name in (name.strip() for name in listed(entry.get("target")) if isinstance(name, str))
                if _is_target(name, names)
            )


def _is_target(name: str, names: Names) -> bool:
    if name.startswith("autogroup:") and "@" not in name:
        return name in _ATTRIBUTE_AUTOGROUPS
    try:
        refuse_source(name, names)
    except BadInput:
        return False
    return True


def _refuse(rule: Rule, names: Names) -> None:
    for name in rule.sources:
        refuse_source(name, names)
    for name in rule.targets:
        refuse_target(name, names, grant=rule.label.startswith("grant"), capabilities=bool(rule.capabilities))
    for tag in rule.via:
        if not tag.startswith("tag:"):
            raise BadInput(f"{rule.label} of the policy leads via {tag!r}, which is not a tag")
        names.refuse_undefined(tag)


def _refuse_own(label: str, sources: Iterable[str], *, wildcard: bool) -> None:
    """Refuse what may not be a source of the target `autogroup:self`."""
    for name in sources:
        if "@" not in name and not name.startswith(_OWN_SOURCES) and not (wildcard and name == "*"):
            raise BadInput(f"{label} of the policy leads from {name} to autogroup:self: only users and groups may")
