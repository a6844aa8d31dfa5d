# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which pairs of nodes are checked: all, or a sample with guarantees.

Nodes form a ring in which those of one subnet are far apart. In each run every node is paired with those at some distances
in the ring, the same distances for all nodes. So each node is as often a target as a source, and each distance, which is to
say each pair, has its turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from .._inventory.pairs import read_pairs
from .._judge.answer import mapping, number
from .view import subnet

if TYPE_CHECKING:
    from .view import View

Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The pairs of one run."""

    nodes: tuple[str, ...]
    per_node: int
    seed: int
    subnets: Mapping[str, str]
    """The subnet of each node, as far as it is known."""

    @property
    def runs(self) -> int:
        """Return after how many runs in a row every pair was checked."""
        return max(1, -(-(len(self.nodes) - 1) // self.per_node))

    @cached_property
    def pairs(self) -> frozenset[Pair]:
        """Return the pairs, each a source and a target."""
        ring = self._ring
        others = len(ring) - 1
        if others < 1:
            return frozenset()
        first = self.seed % self.runs * self.per_node
        steps = {1 + (first + turn) % others for turn in range(min(self.per_node, others))}
        found = {(node, ring[(at + step) % len(ring)]) for at, node in enumerate(ring) for step in steps}
        return frozenset(found | self._between_subnets(found))

    def includes(self, source: str, target: str) -> bool:
        """Whether a pair is checked; one of nodes that came later always is."""
        return (source, target) in self.pairs or not {source, target} <= set(self.nodes)

    def targets(self, source: str, targets: Sequence[str]) -> list[str]:
        """Return those of the targets that are checked from a node: at least one, whatever the sample."""
        found = [target for target in targets if self.includes(source, target)]
        return found or ([targets[self.seed % len(targets)]] if targets else [])

    @cached_property
    def _members(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for node in self.nodes:
            found.setdefault(self.subnets.get(node, ""), []).append(node)
        return found

    @cached_property
    def _ring(self) -> list[str]:
        """Return the nodes, with those of each subnet spread evenly."""
        turns = [
            ((at + 0.5) / len(members), subnet, node)
            for subnet, members in self._members.items()
            for at, node in enumerate(members)
        ]
        return [node for _turn, _subnet, node in sorted(turns, key=lambda entry: entry[:2])]

    def _between_subnets(self, found: set[Pair]) -> set[Pair]:
        """Return a pair for each pair of subnets that has none yet.

        Where hardly two nodes share a subnet, that would be all pairs: then as many as the sample has get a turn.
        """
        known = {(self.subnets.get(source, ""), self.subnets.get(target, "")) for source, target in found}
        missing = [
            (near, far)
            for near, one in self._members.items()
            for far, other in self._members.items()
            if (near, far) not in known and (near != far or len(one) > 1) and one and other
        ]
        most = len(found)
        start = self.seed * most % len(missing) if len(missing) > most else 0
        return {self._pair(near, far) for near, far in [*missing[start:], *missing[:start]][:most]}

    def _pair(self, near: str, far: str) -> Pair:
        sources, targets = self._members[near], self._members[far]
        source = sources[self.seed % len(sources)]
        others = [target for target in targets if target != source]
        return source, others[self.seed // len(sources) % len(others)]

    def coverage(self) -> dict[str, Any]:
        """Return in figures what the sample covers."""
        count = len(self.nodes)
        subnets = {(self.subnets.get(source, ""), self.subnets.get(target, "")) for source, target in self.pairs}
        between = {
            (near, far) for near, one in self._members.items() for far in self._members if near != far or len(one) > 1
        }
        return {
            "checked": len(self.pairs),
            "of": count * (count - 1),
            "per_node": min(self.per_node, max(0, count - 1)),
            "seed": self.seed,
            "runs": self.runs,
            "subnet_pairs": {"checked": len(subnets), "of": len(between)},
        }


def sample_of(view: View) -> Sample | None:
    """Return the sample of this run, None if all pairs are checked."""
    asked = read_pairs(view.setting("pairs"))
    if asked is None:
        return None
    known, clients = mapping(view.shared("mesh_nodes")), view.group("clients")
    nodes = tuple(name for name in clients if name in known or not known) or tuple(known)
    if len(nodes) - 1 <= asked["per_node"]:
        return None
    seed = asked.get("seed", int(number(view.shared("mesh_pairs_run")) or 0))
    return _sample(nodes, asked["per_node"], seed, tuple(subnet(view, name) for name in nodes))


@lru_cache(maxsize=4)
def _sample(nodes: tuple[str, ...], per_node: int, seed: int, subnets: tuple[str, ...]) -> Sample:
    """Return a sample, of which all hosts of a process share the pairs."""
    return Sample(nodes=nodes, per_node=per_node, seed=seed, subnets=dict(zip(nodes, subnets, strict=True)))


def chosen(view: View, hosts: Sequence[str]) -> list[str]:
    """Return those of the hosts that this host is paired with."""
    sample = sample_of(view)
    return list(hosts) if sample is None else sample.targets(view.host, hosts)


def sentence(coverage: Mapping[str, Any]) -> str:
    """Say in a line what a sample covers."""
    between = mapping(coverage.get("subnet_pairs"))
    figures = [number(coverage.get(key)) or 0 for key in ("checked", "of", "per_node", "seed", "runs")]
    checked, total, per_node, seed, runs = (int(figure) for figure in figures)
    here, there = (int(number(between.get(key)) or 0) for key in ("checked", "of"))
    subnets = "every pair of subnets" if here == there else f"{here:,} of {there:,} pairs of subnets"
    often = "once" if per_node == 1 else f"{per_node} times"
    last = "this run" if runs == 1 else f"{runs} runs in a row"
    return (
        f"{checked:,} of {total:,} pairs (mesh_pairs): every node at least {often} as source and as target, {subnets}; "
        f"seed {seed}, all pairs after {last}"
    )
