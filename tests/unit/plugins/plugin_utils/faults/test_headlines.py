# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is expected of the doctor's headline for each fault of the catalogue."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults import catalogue
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.actors import Actors
from project import ROOT


@pytest.fixture
def headlines(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "bench"))
    return importlib.import_module("headlines")


def test_every_fault_has_an_expected_headline_or_a_reason_for_none(headlines: Any) -> None:
    seen, unseen = headlines.expectations()
    faults = catalogue.load()
    assert set(seen) | set(unseen) == set(faults)
    assert all(reason for reason in unseen.values())
    for name, expected in seen.items():
        assert bool(expected.says) == (faults[name].verdict == "red"), name
        assert re.compile(expected.says)
        assert expected.about in ("", *Actors.__dataclass_fields__), name


@pytest.mark.parametrize(
    ("headline", "right"),
    [
        ("two: its key has expired (doctor.expiry)", True),
        ("all 3 clients: its key has expired", True),
        ("one: its key has expired (doctor.expiry)", False),
        ("two: tailscaled is stopped (doctor.client)", False),
        ("", False),
    ],
)
def test_a_headline_names_the_cause_and_the_host(headlines: Any, headline: str, right: bool) -> None:
    expected = headlines.Expected(says="has expired", about="b")
    assert headlines.is_right(expected, headline, {"a": "one", "b": "two"}) is right


def test_a_headline_is_alone_if_nothing_stands_beside_it(headlines: Any) -> None:
    assert headlines.is_only("two: its key has expired (doctor.expiry)")
    assert not headlines.is_only("two: its key has expired (doctor.expiry); and 1 more: doctor.names (one)")


def test_what_harms_nothing_has_no_headline(headlines: Any) -> None:
    assert headlines.is_right(headlines.Expected(), "", {})
    assert not headlines.is_right(headlines.Expected(), "one: something", {})


def test_the_longest_look_is_named(headlines: Any) -> None:
    said = headlines.durations({"client-down": 4.0, "control-hung": 18.26, "load": 6.0})
    assert said == "the doctor took 6.0 s in the median, and at most 18.3 s (control-hung)"
    assert headlines.durations({}) == "no duration was measured"
