# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figures of drills: counted, kept in a data file, and shown in the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults import catalogue, figures
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.verdict import Outcome
from project import ROOT

KNOWN = ("client-stopped", "client-hung", "loss-30")


def outcome(name: str, **more: Any) -> dict[str, Any]:
    good = {"caught": True, "named": True, "recovered": True, "seconds": 12.4, **more}
    return Outcome(id=name, family="x", story="us1", verdict="red", **good).as_dict()


def test_figures_count_what_went_well() -> None:
    bad = outcome("b", caught=False, named=False, recovered=False, false_alarms=["one", "two"], seconds=1.5)
    total = figures.total([outcome("a", seconds=2.0), bad])
    assert total == {
        "faults": 2, "caught": 1, "named": 1, "false_alarms": 2, "recovered": 1, "good": 1, "seconds": 3.5,
    }  # fmt: skip
    assert figures.sentence(total) == (
        "2 faults: 1 caught, 1 causes named (50 %), 2 false alarms, 1 recovered, 0 min."
    )  # fmt: skip
    assert figures.marks(bad) == ["NO", "NO", "2", "NO", "2 s"]


def test_the_data_file_keeps_other_faults_in_the_catalogues_order(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    figures.update(path, [outcome("loss-30"), outcome("client-stopped", false_alarms=["a", "b"])], KNOWN)
    figures.update(path, [outcome("client-hung", caught=False), outcome("gone")], KNOWN)
    found = figures.read(path)
    assert list(found) == list(KNOWN)
    assert found["client-stopped"]["false_alarms"] == 2
    assert not found["client-hung"]["caught"]
    figures.update(path, [outcome("client-hung")], KNOWN)
    assert figures.read(path)["client-hung"]["good"]


@pytest.mark.parametrize("text", ["{", "[]", '{"loss-30": {}}', '{"loss-30": 1}'])
def test_another_file_is_not_overwritten(tmp_path: Path, text: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match="is not a file of a drill's figures"):
        figures.update(path, [outcome("loss-30")], KNOWN)
    assert path.read_text(encoding="utf-8") == text


def test_the_page_has_a_row_for_each_fault_drilled_or_not() -> None:
    faults = catalogue.load()
    lines = list(figures.page(faults.values(), catalogue.families(), {"loss-30": outcome("loss-30")}))
    assert f"The last drill of 1 of the {len(faults)} faults: 1 faults: 1 caught, 1 causes named (100 %)" in lines[2]
    assert f"the other {len(faults) - 1} faults" in lines[4]
    rows = {line.split("`")[1]: line for line in lines if line.startswith("| `")}
    assert set(rows) == set(faults)
    assert rows["loss-30"].endswith("| us1 | red | yes | yes | none | yes | 12 s |")
    assert rows["client-down"].count("|") == rows["loss-30"].count("|")
    assert rows["client-down"].endswith("| - | - | - | - | - |")


def test_the_page_says_nothing_of_missing_figures_where_none_is_missing() -> None:
    faults = catalogue.load()
    lines = list(figures.page(faults.values(), catalogue.families(), {name: outcome(name) for name in faults}))
    assert "The last drill of each fault: " in lines[2]
    assert not [line for line in lines if "No figures" in line or line.endswith("| - |")]


def test_the_figures_in_the_documentation_are_of_faults_that_exist() -> None:
    assert set(figures.read(ROOT / "docs" / "reference" / "faults.json")) <= set(catalogue.load())
