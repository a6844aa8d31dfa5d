# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the `tests` that a policy contains, as Headscale 0.29 does when a policy is set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...module_utils._errors import BadInput
from .aliases import Resolver, refuse_source
from .document import split_target
from .filters import Entry, Filters
from .keys import PARTS, by_folded_key
from .ports import DEFAULT_PROTOCOLS, Ports, read_ports, read_protocol
from .possible import Possible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .addresses import AddressSet
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
        source, proto = str(known.get("src") or ""), str(known.get("proto") or "").lower()
        try:
            refuse_source(source, self._names)
            protocols = frozenset({read_protocol(proto)}) if proto else DEFAULT_PROTOCOLS
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
            name, ports = split_target(target)
            refuse_source(name, self._names)
            asked = read_ports(ports)
        except BadInput as exc:
            return f"the target cannot be read: {exc}", True
        if why := self._unresolved(name):
            return f"the target {why}", True
        sources, found = list(self._resolver.resolve(source).prefixes()), self._resolver.resolve(name)
        entries = [entry for entry in self._entries if _opens(entry, asked, protocols)]
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


def _opens(entry: Entry, asked: Ports, protocols: frozenset[int]) -> bool:
    """Whether an entry lets packets of any of the protocols pass on any of the port ranges."""
    return bool(entry.service.protocols & protocols) and any(
        first <= wanted[0] and wanted[1] <= last for wanted in asked for first, last in entry.service.ports
    )


def _labels(entries: Iterable[Entry]) -> str:
    return "; ".join(dict.fromkeys(entry.label for entry in entries))
