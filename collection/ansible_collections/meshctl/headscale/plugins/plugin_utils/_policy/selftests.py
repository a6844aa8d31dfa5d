# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the `tests` that a policy contains, as Headscale 0.29 does when a policy is set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...module_utils._errors import BadInput
from .addresses import read_prefix
from .aliases import Resolver, is_prefix, refuse_source
from .document import split_target
from .filters import Entry, Filters
from .keys import PARTS, by_folded_key
from .ports import DEFAULT_PROTOCOLS, WITH_PORTS, read_acl_protocols, read_ports
from .possible import Possible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .addresses import AddressSet
    from .aliases import Names
    from .document import Policy
    from .nodes import Node

# Not a node's addresses, whatever nodes there are.
_FIXED = ("*", "autogroup:danger-all")


@dataclass(frozen=True)
class FailedTest:
    """A test that fails, or may fail: its number, the key and the element of it, and why."""

    number: int
    key: str
    element: int
    reason: str
    certain: bool = True
    """Whether it fails whatever the addresses of the nodes are."""


def failed_tests(policy: Policy, tests: Any, nodes: Sequence[Node]) -> list[FailedTest]:  # noqa: ANN401 - HuJSON
    """Return the tests that fail, or may fail, with these made-up nodes; raise `BadInput` if they cannot be read."""
    if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
        raise BadInput("tests of the policy is not a list of tests")
    running = _Running(policy, nodes)
    return [failed for number, test in enumerate(tests) for failed in running.run(number, test)]


class _Running:
    def __init__(self, policy: Policy, nodes: Sequence[Node]) -> None:
        self._names, self._resolver = policy.names, Resolver(policy.names, nodes)
        self._entries = Filters(policy, nodes, self._resolver).common
        self._possible = Possible(nodes)

    def run(self, number: int, test: dict[str, Any]) -> Iterator[FailedTest]:
        """Return what fails of a test."""
        known = by_folded_key(test, f"test {number + 1} of the policy")
        if unknown := sorted(set(known) - set(PARTS["tests"])):
            raise BadInput(f"test {number + 1} of the policy has the key {unknown[0]!r}, which Headscale does not know")
        source = str(known.get("src") or "")
        try:
            protocols = _protocols(known)
        except BadInput as exc:
            yield FailedTest(number, "proto", 0, str(exc))
            return
        if not known.get("accept") and not known.get("deny"):
            yield FailedTest(number, "src", 0, "test entry must have at least one of accept or deny")
        try:
            refuse_source(source, self._names)
        except BadInput as exc:
            yield FailedTest(number, "src", 0, f"its source cannot be read: {exc}")
            return
        if why := self._unresolved(source):
            yield FailedTest(number, "src", 0, f"its source {source} {why}")
            return
        for key, wanted in (("accept", True), ("deny", False)):
            targets = known.get(key) or []
            if not isinstance(targets, list):
                raise BadInput(f"{key} of test {number + 1} of the policy is not a list")
            for element, target in enumerate(targets):
                reason, certain = self._target(source, str(target), protocols, wanted=wanted)
                if reason:
                    yield FailedTest(number, key, element, f"{source} to {target}: {reason}", certain)

    def _unresolved(self, name: str) -> str:
        """Return why Headscale does not resolve a name, empty if it does."""
        if not self._resolver.is_complete(name):
            return "names a user that does not exist"
        return "" if self._resolver.resolve(name) else "matches no address"

    def _target(self, source: str, target: str, protocols: frozenset[int], *, wanted: bool) -> tuple[str, bool]:
        """Return why a target fails, empty if it does not, and whether that is certain."""
        try:
            name, port = _read_target(target, self._names)
        except BadInput as exc:
            return f"Headscale refuses the target: {exc}", True
        if why := self._unresolved(name):
            return f"the target {why}", True
        sources, found = list(self._resolver.resolve(source).prefixes()), self._resolver.resolve(name)
        entries = [entry for entry in self._entries if _opens(entry, port, protocols)]
        opening = [entry for entry in entries if entry.targets.overlaps(found)]
        if all(any(entry.sources.overlaps(one) for entry in opening) for one in sources):
            return ("" if wanted else f"the packet is allowed ({_labels(opening)})"), True
        maybe = [entry for entry in entries if self._may_be(name, found, entry.targets)]
        deciding = [[entry for entry in maybe if self._may_be(source, one, entry.sources)] for one in sources]
        if all(deciding):
            rules = _labels(entry for some in deciding for entry in some)
            return f"whether the packet is allowed depends on which node has which address ({rules})", False
        return ("no rule allows the packet" if wanted else ""), True

    def _may_be(self, name: str, addresses: AddressSet, ruled: AddressSet) -> bool:
        """Whether a rule may be about any of a name's addresses."""
        return addresses.overlaps(ruled) if name in _FIXED else self._possible.overlap(addresses, ruled)


def _protocols(test: dict[str, Any]) -> frozenset[int]:
    """Return the protocols that a test is about. Raise `BadInput`, with Headscale's reason."""
    proto = str(test.get("proto") or "")
    protocols = read_acl_protocols(proto)
    if proto and not protocols <= WITH_PORTS:
        raise BadInput(f"test protocol must be tcp, udp, sctp, or empty: {proto}")
    return protocols


def _read_target(target: str, names: Names) -> tuple[str, int]:
    """Return the name and the port of a test's target. Raise `BadInput`, with Headscale's reason where only tests have it."""
    name, ports = split_target(target)
    if name == "autogroup:internet":
        raise BadInput(f"{name} not valid as a test destination")
    refuse_source(name, names)
    (first, last), *more = read_ports(ports)
    if more or first != last:
        raise BadInput("test destination port must be a single port")
    if _is_network(name, names):
        raise BadInput("test destination must be a single host, not a CIDR range")
    return name, first


def _is_network(name: str, names: Names) -> bool:
    """Whether a target is a network to Headscale: any that is written as a prefix, or a host with more than one address."""
    if is_prefix(name):
        return "/" in name
    host = read_prefix(names.hosts[name]) if name in names.hosts else None
    return host is not None and host.prefixlen < host.max_prefixlen


def _opens(entry: Entry, port: int, protocols: frozenset[int]) -> bool:
    """Whether an entry lets packets of any of the protocols pass on a port."""
    # In tests, but not in the filters of nodes, a rule that states no protocol covers each of them.
    covered = entry.service.protocols == DEFAULT_PROTOCOLS or bool(entry.service.protocols & protocols)
    return covered and any(first <= port <= last for first, last in entry.service.ports)


def _labels(entries: Iterable[Entry]) -> str:
    return "; ".join(dict.fromkeys(entry.label for entry in entries))
