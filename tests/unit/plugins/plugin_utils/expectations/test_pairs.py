# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a sample of pairs guarantees."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._expectations.pairs import (
    Sample,
    chosen,
    sample_of,
    sentence,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.variables import declared
from hypothesis import given
from hypothesis import strategies as st


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Return a sample of any mesh, with nodes in few subnets or in many."""
    count = draw(st.integers(2, 40))
    most = draw(st.sampled_from([1, 2, 3, count]))
    nodes = tuple(f"n{number}" for number in range(count))
    subnets = {node: f"s{draw(st.integers(1, most))}" for node in nodes}
    return Sample(nodes=nodes, per_node=draw(st.integers(1, 45)), seed=draw(st.integers(0, 10**6)), subnets=subnets)


def _at(sample: Sample, seed: int) -> Sample:
    return Sample(nodes=sample.nodes, per_node=sample.per_node, seed=seed, subnets=sample.subnets)


def _everything(sample: Sample) -> set[tuple[str, str]]:
    return {(source, target) for source in sample.nodes for target in sample.nodes if source != target}


@given(samples())
def test_every_node_is_a_source_and_a_target_at_least_so_often(sample: Sample) -> None:
    least = min(sample.per_node, len(sample.nodes) - 1)
    sources, targets = (Counter(pair[end] for pair in sample.pairs) for end in (0, 1))
    assert all(sources[node] >= least and targets[node] >= least for node in sample.nodes)
    assert sample.pairs <= _everything(sample)


@given(samples())
def test_every_pair_of_subnets_is_covered_where_they_are_not_more_than_the_pairs(sample: Sample) -> None:
    wanted = {(sample.subnets[source], sample.subnets[target]) for source, target in _everything(sample)}
    found = {(sample.subnets[source], sample.subnets[target]) for source, target in sample.pairs}
    least = len(sample.nodes) * min(sample.per_node, len(sample.nodes) - 1)
    assert found == wanted or (len(wanted) > least and len(found) >= least)
    assert sample.coverage()["subnet_pairs"] == {"checked": len(found), "of": len(wanted)}


@given(samples())
def test_runs_in_a_row_check_every_pair(sample: Sample) -> None:
    found = set().union(*(_at(sample, sample.seed + turn).pairs for turn in range(sample.runs)))
    assert found == _everything(sample)


@given(samples())
def test_a_sample_is_not_much_larger_than_it_was_asked_to_be(sample: Sample) -> None:
    asked = len(sample.nodes) * min(sample.per_node, len(sample.nodes) - 1)
    subnets = len(set(sample.subnets.values()))
    assert asked <= len(sample.pairs) <= asked + min(asked, subnets**2)
    coverage = sample.coverage()
    assert coverage["checked"] == len(sample.pairs) <= coverage["of"] == len(_everything(sample))


@given(samples())
def test_a_sample_follows_from_the_seed_alone(sample: Sample) -> None:
    assert _at(sample, sample.seed).pairs == sample.pairs
    assert all(sample.includes(*pair) for pair in sample.pairs)
    if len(sample.pairs) < len(_everything(sample)):
        assert any(_at(sample, sample.seed + turn).pairs != sample.pairs for turn in range(1, sample.runs + 1))


@given(samples(), st.lists(st.integers(0, 39), min_size=1, unique=True))
def test_a_node_is_never_left_without_a_target(sample: Sample, numbers: list[int]) -> None:
    targets = [f"n{number}" for number in numbers]
    found = sample.targets("n0", targets)
    assert found
    assert set(found) <= set(targets)
    assert sample.targets("n0", []) == []


def test_a_node_that_came_later_is_paired_with_all() -> None:
    sample = Sample(nodes=tuple("abcdefgh"), per_node=1, seed=0, subnets={})
    assert sample.targets("new", list("abcdefgh")) == list("abcdefgh")
    assert all("new" in sample.targets(node, [*"abcdefgh", "new"]) for node in "abcdefgh")


def _view(pairs: Any, count: int = 10, **more: Any) -> Any:
    settings = {"pairs": pairs}
    known = {"mesh_nodes": {f"n{number}": {} for number in range(count)}, **more}
    return SimpleNamespace(
        host="n0", setting=settings.get, shared=known.get, group=lambda _name: list(known["mesh_nodes"]),
        topology=lambda: {f"n{number}": {"subnet": "ab"[number % 2]} for number in range(count)},
    )  # fmt: skip


def test_small_meshes_and_all_have_no_sample() -> None:
    assert sample_of(_view("all")) is None
    assert sample_of(_view({"per_node": 9})) is None
    assert chosen(_view("all"), ["n1", "n2"]) == ["n1", "n2"]
    assert len(chosen(_view({"per_node": 2}), [f"n{number}" for number in range(1, 10)])) in (2, 3)


def test_the_seed_is_the_number_of_the_run_unless_it_is_given() -> None:
    assert sample_of(_view({"per_node": 2}, mesh_pairs_run=5)).seed == 5  # type: ignore[union-attr]
    assert sample_of(_view({"per_node": 2, "seed": 7}, mesh_pairs_run=5)).seed == 7  # type: ignore[union-attr]
    assert sample_of(_view({"per_node": "2", "seed": "7"})).seed == 7  # type: ignore[union-attr]


def test_the_coverage_is_said_in_one_line() -> None:
    nodes = tuple(f"n{number}" for number in range(100))
    sample = Sample(nodes=nodes, per_node=12, seed=7, subnets={node: "ab"[at % 2] for at, node in enumerate(nodes)})
    assert sentence(sample.coverage()) == (
        "1,200 of 9,900 pairs (mesh_pairs): every node at least 12 times as source and as target, every pair of subnets; "
        "seed 7, all pairs after 9 runs in a row"
    )


@pytest.mark.parametrize(
    "value",
    [
        "some", 12, None, True, [], {}, {"per_node": 0}, {"per_node": -1}, {"per_node": 1.5}, {"per_node": True},
        {"per_node": "x"}, {"seed": 1}, {"per_node": 1, "seed": -1}, {"per_node": 1, "sead": 1}, {"per_node": None},
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_one_sentence(value: Any) -> None:
    with pytest.raises(BadInput) as caught:
        declared()["mesh_pairs"].read(value)
    assert str(caught.value).startswith("mesh_pairs is ")
    assert "write all, or {per_node: 12}" in str(caught.value)
    assert "\n" not in str(caught.value)
