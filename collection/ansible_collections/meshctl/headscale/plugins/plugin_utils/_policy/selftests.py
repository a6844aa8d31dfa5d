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
from .ports import DEFAULT_PROTOCOLS, Ports, read_ports, read_protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .addresses import AddressSet
    from .document import Policy
    from .nodes import Node

_KEYS = ("src", "proto", "accept", "deny")


@dataclass(frozen=True)
class FailedTest:
    """A test that fails: its number, the key and the element of it, and why."""

    number: int
    key: str
    element: int
    reason: str


def failed_tests(policy: Policy, tests: Any, nodes: Sequence[Node]) -> list[FailedTest]:  # noqa: ANN401 - HuJSON
    """Return the tests that fail with these nodes; raise `BadInput` if they cannot be read."""
    if not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
        raise BadInput("tests of the policy is not a list of tests")
    running = _Running(policy, nodes)
    return [failed for number, test in enumerate(tests) for failed in running.run(number, test)]


class _Running:
    def __init__(self, policy: Policy, nodes: Sequence[Node]) -> None:
        self._names, self._resolver = policy.names, Resolver(policy.names, nodes)
        self._entries = Filters(policy, nodes).common

    def run(self, number: int, test: dict[str, Any]) -> Iterator[FailedTest]:
        """Return what fails of a test."""
        known = {str(key).lower(): value for key, value in test.items()}
        if unknown := sorted(set(known) - set(_KEYS)):
            raise BadInput(f"test {number + 1} of the policy has the key {unknown[0]!r}, which Headscale does not know")
        try:
            refuse_source(str(known.get("src") or ""), self._names)
            sources = self._resolver.resolve(str(known["src"]))
            proto = str(known.get("proto") or "").lower()
            protocols = frozenset({read_protocol(proto)}) if proto else DEFAULT_PROTOCOLS
        except (BadInput, KeyError) as exc:
            yield FailedTest(number, "src", 0, f"its source cannot be read: {exc}")
            return
        if not sources:
            yield FailedTest(number, "src", 0, f"its source {known['src']} matches no address")
            return
        for key, wanted in (("accept", True), ("deny", False)):
            targets = known.get(key) or []
            if not isinstance(targets, list):
                raise BadInput(f"{key} of test {number + 1} of the policy is not a list")
            for element, target in enumerate(targets):
                if reason := self._target(sources, str(target), protocols, wanted=wanted):
                    yield FailedTest(number, key, element, f"{known['src']} to {target}: {reason}")

    def _target(self, sources: AddressSet, target: str, protocols: frozenset[int], *, wanted: bool) -> str:
        try:
            name, ports = split_target(target)
            refuse_source(name, self._names)
            found, asked = self._resolver.resolve(name), read_ports(ports)
        except BadInput as exc:
            return f"the target cannot be read: {exc}"
        if not found:
            return "the target matches no address"
        opening = [entry for entry in self._entries if _opens(entry, found, asked, protocols)]
        passes = all(any(entry.sources.overlaps(source) for entry in opening) for source in sources.prefixes())
        if passes == wanted:
            return ""
        labels = "; ".join(dict.fromkeys(entry.label for entry in opening))
        return "no rule lets it pass" if wanted else f"it passes ({labels})"


def _opens(entry: Entry, targets: AddressSet, asked: Ports, protocols: frozenset[int]) -> bool:
    """Whether an entry lets a packet pass to any of the targets on any of the port ranges."""
    if not entry.service.protocols & protocols or not entry.targets.overlaps(targets):
        return False
    return any(first <= wanted[0] and wanted[1] <= last for wanted in asked for first, last in entry.service.ports)
