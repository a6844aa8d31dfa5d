# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of figures in the documentation: brought up to date row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.verdict import Outcome
from meshctl_headscale import faults
from meshctl_headscale._exit import BadInputError


def outcome(name: str, **more: Any) -> Outcome:
    good = {"caught": True, "named": True, "recovered": True, "seconds": 12.4, **more}
    return Outcome(id=name, family="x", story="us1", verdict="red", **good)


def test_rows_come_in_the_catalogues_order_and_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "faults.md"
    page.write_text(f"before\n\n{faults._BEGIN}\n{faults._END}\n\nafter\n", encoding="utf-8")
    faults._write(page, [outcome("loss-30"), outcome("client-stopped", named=False, false_alarms=["a", "b"])])
    faults._write(page, [outcome("client-hung", caught=False, recovered=False)])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n\n")
    assert text.endswith("\n\nafter\n")
    assert "3 faults: 2 caught, 2 causes named (67 %), 2 false alarms, 2 recovered" in text
    names = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert names == ["client-stopped", "client-hung", "loss-30"]
    faults._write(page, [outcome("client-hung")])
    assert "3 faults: 3 caught" in page.read_text(encoding="utf-8")


def test_a_page_without_marks_is_not_touched(tmp_path: Path) -> None:
    page = tmp_path / "faults.md"
    page.write_text("nothing\n", encoding="utf-8")
    with pytest.raises(BadInputError, match="has no lines"):
        faults._write(page, [outcome("loss-30")])
    assert page.read_text(encoding="utf-8") == "nothing\n"
