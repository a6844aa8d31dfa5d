# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection under Ansible's own sanity tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_tests import failures, home, run, tree

__all__ = ["home", "tree"]
pytestmark = pytest.mark.e2e


def test_sanity(tree: Path, home: Path) -> None:
    done = run("sanity", tree=tree, home=home)
    assert done.returncode == 0, failures(done.stdout)


def test_sanity_finds_what_is_wrong(tree: Path, home: Path) -> None:
    # In a tree that it does not take for a collection's, ansible-test looks at nothing and says that all is well.
    wrong = tree / "plugins" / "module_utils" / "_wrong.py"
    wrong.write_text("VALUE = 1 \n")
    try:
        done = run("sanity", "--test", "pep8", tree=tree, home=home)
    finally:
        wrong.unlink()
    assert done.returncode != 0
    assert "_wrong.py:1:10: W291" in done.stdout


def test_no_sanity_finding_is_ignored(tree: Path) -> None:
    assert list((tree / "tests").glob("sanity/ignore*")) == []
