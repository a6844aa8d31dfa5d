# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make up the mesh of a policy from the file alone, and separate the tests that depend on the real one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..._judge.answer import items, mapping, text
from ..._policy import Node, Policy, canonical, failed_tests, sample, unknown_names
from ..._policy.addresses import AddressSet
from ..._policy.aliases import is_prefix
from ..._policy.possible import is_of_mesh
from ..._policy.sample import PREFIXES


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """What is known of the mesh that a policy is for."""

    users: Sequence[str] | None = None
    """The server's users, None if they are not known."""
    prefixes: Mapping[str, str] = field(default_factory=PREFIXES.copy)

    def unknown_users(self, document: Any) -> list[str]:  # noqa: ANN401 - HuJSON
        """Return the users that a policy names and the server does not have."""
        if self._names is None:
            return []
        known = [{"name": name} for name in self._names]
        return [name for name in unknown_names(document, users=known, tags=()) if "@" in name]

    def nodes(self, document: Any) -> list[Node]:  # noqa: ANN401
        """Return made-up nodes of the users that exist, and of the tags."""
        return sample(document, self.prefixes, self._names)

    @property
    def _names(self) -> frozenset[str] | None:
        """Return the users with and without an `@` at the end."""
        if self.users is None:
            return None
        return frozenset(each for name in self.users for each in (name, name.removesuffix("@")))


def addresses_in_ssh_tests(policy: Policy, parts: dict[str, Any]) -> Iterator[tuple[int, list[str]]]:
    """Return the number of each ssh test that names addresses of nodes, and those names: only users and tags have made-up nodes."""
    for number, test in enumerate(map(mapping, items(parts.get("sshTests")))):
        named = [text(name).strip() for name in (test.get("src"), *items(test.get("dst")))]
        if found := [name for name in named if _is_of_mesh(policy, name)]:
            yield number, found


def _is_of_mesh(policy: Policy, name: str) -> bool:
    address = policy.names.hosts.get(name, name)
    return is_prefix(address) and is_of_mesh(AddressSet.of(address))


def decidable(document: Any, nodes: Sequence[Node]) -> dict[str, Any]:  # noqa: ANN401
    """Return a policy without the tests that depend on the addresses of the real nodes. Raise `BadInput`."""
    parts = canonical(document)
    policy = Policy.read(parts)
    tests = items(parts.get("tests"))
    open_questions = {
        (one.number, one.key, one.element) for one in failed_tests(policy, tests, nodes) if not one.certain
    }
    parts["tests"] = [
        kept
        for number, test in enumerate(tests)
        if (kept := _kept(test, number, open_questions)).get("accept") or kept.get("deny") or test == kept
    ]
    named = dict(addresses_in_ssh_tests(policy, parts))
    parts["sshTests"] = [
        kept
        for number, test in enumerate(items(parts.get("sshTests")))
        if (kept := _without(test, named.get(number, []))) is not None
    ]
    return parts


def _kept(test: dict[str, Any], number: int, open_questions: set[tuple[int, str, int]]) -> dict[str, Any]:
    lists = {key: value for key, value in test.items() if key in ("accept", "deny") and isinstance(value, list)}
    return {
        **test,
        **{
            key: [target for at, target in enumerate(targets) if (number, key, at) not in open_questions]
            for key, targets in lists.items()
        },
    }


def _without(test: Any, named: list[str]) -> Any:  # noqa: ANN401
    """Return an ssh test without these targets, None if nothing is left of it."""
    if not named:
        return test
    targets = [name for name in items(test.get("dst")) if text(name).strip() not in named]
    return {**test, "dst": targets} if targets and text(test.get("src")).strip() not in named else None
