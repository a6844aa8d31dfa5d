# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The prose linter finds odd wording where people read, and only there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from project import ROOT


@pytest.fixture(scope="module")
def prose() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prose", ROOT / "docs" / ".site" / "prose.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("page.md", "Test\nown\nhosts.\n\nNobody knows.\n", [2, 5]),
        ("page.md", "`nobody` is code\n\n```console\n$ whoami    # nobody\n```\n\nbeside it\n", [7]),
        ("page.md", "Understand what a stand-in stands for on your own hosts.\n", []),
        ("code.py", '"""Say\nwhoever."""\nnobody = 1  # of its own\n', [2, 3]),
        ("code.py", 'text = f"{nobody} stands"\n', [1]),
        ("play.yml", "- name: Away with it\n", [1]),
    ],
)
def test_odd_wording_is_found_with_its_line(
    prose: ModuleType, tmp_path: Path, name: str, text: str, lines: list[int]
) -> None:
    (tmp_path / name).write_text(text)
    found = list(prose.findings(tmp_path / name))
    assert [int(line.split(":")[1]) for line in found] == lines
    assert prose.main([str(tmp_path / name)]) == (1 if lines else 0)


def test_the_files_to_check_exist(prose: ModuleType) -> None:
    for pattern in prose.CHECKED:
        assert list(ROOT.glob(pattern)), pattern
