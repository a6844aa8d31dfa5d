# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every judge, on a healthy answer, on none, and on whatever a broken host may send."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import healthy_mesh as mesh
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import examples

JUDGES = sorted(mesh.CASES)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20)
    | st.sampled_from(["Running", "100.64.0.2", "0001-01-01T00:00:00Z", "2026-11-22T22:03:42.806268124Z", "::1:1"])
)  # fmt: skip
NAMES = ["observations", "status", "icmp", "data", "ok", "Self", "Peer", "nodes", "error"]
KEYS = st.sampled_from(NAMES) | st.text(max_size=5)
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, entry in inner for found in places(entry, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = deepcopy(value)
    where = copy
    for key in path[:-1]:
        where = where[key]
    where[path[-1]] = new
    return copy


@pytest.mark.parametrize("name", JUDGES)
def test_a_healthy_answer_passes(name: str) -> None:
    answer, judge = mesh.CASES[name]
    checks = judge(answer)
    assert checks
    assert [(check.id, check.target, check.hint) for check in checks if check.verdict != "passed"] == []


@pytest.mark.parametrize("name", JUDGES)
def test_every_check_names_story_source_and_a_command_for_people(name: str) -> None:
    answer, judge = mesh.CASES[name]
    for check in judge(answer):
        assert check.id.startswith(f"us1.{name}")
        assert check.source == "one"
        assert not check.reproduce or check.reproduce.startswith("meshctl exec one -- ")
        json.dumps(check.as_dict(), allow_nan=False)


@pytest.mark.parametrize("name", JUDGES)
@pytest.mark.parametrize(
    "nothing",
    [{}, None, {"observations": {}}, {"observations": None}, {"failure": {"type": "timeout", "message": "too late"}}],
)
def test_no_observation_is_an_error_with_a_reason(name: str, nothing: Any) -> None:
    _answer, judge = mesh.CASES[name]
    checks = judge(nothing)
    assert checks
    assert {check.verdict for check in checks} <= {"error", "skipped"}
    assert all(check.hint for check in checks)


@pytest.mark.parametrize("name", JUDGES)
def test_what_the_host_says_of_its_failure_is_in_the_hint(name: str) -> None:
    answer, judge = mesh.CASES[name]
    broken = {
        **answer,
        "observations": dict.fromkeys(answer["observations"], mesh.unseen("not_permitted", "use become: true")),
    }
    assert any("use become: true" in check.hint for check in judge(broken))
    assert not any(check.verdict == "passed" for check in judge(broken))


@pytest.mark.parametrize("name", JUDGES)
@given(junk=ANY_JSON)
@examples(60)
def test_no_answer_of_any_shape_raises_or_passes(name: str, junk: Any) -> None:
    _answer, judge = mesh.CASES[name]
    for found in (junk, {"observations": junk}):
        checks = judge(found)
        assert checks
        assert not any(check.verdict == "passed" for check in checks)


@pytest.mark.parametrize("name", JUDGES)
@given(data=st.data())
@examples(150)
def test_one_broken_field_never_raises(name: str, data: st.DataObject) -> None:
    answer, judge = mesh.CASES[name]
    where = data.draw(st.sampled_from(places(answer)))
    assert judge(replaced(answer, where, data.draw(ANY_JSON)))


@pytest.mark.parametrize("name", JUDGES)
def test_a_lost_observation_never_leaves_all_checks_passed(name: str) -> None:
    answer, judge = mesh.CASES[name]
    for key in answer["observations"]:
        if key in ("resolv_conf",) or (name == "unreachable" and key == "status"):
            continue  # evidence only
        left = {**answer, "observations": {k: v for k, v in answer["observations"].items() if k != key}}
        assert any(check.verdict != "passed" for check in judge(left)), key
