# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation that all assertions share is generated, and up to date."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from project import ROOT

_SPEC = importlib.util.spec_from_file_location("assertion_docs", ROOT / "tools" / "assertion_docs.py")
assert _SPEC
assert _SPEC.loader
assertion_docs = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(assertion_docs)


@pytest.mark.parametrize("module", assertion_docs.modules(), ids=lambda path: path.stem)
def test_return_is_up_to_date(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert assertion_docs.documented(text) == text, "run python tools/assertion_docs.py"


def test_every_field_of_a_check_is_documented() -> None:
    documented = yaml.safe_load(assertion_docs._return())["checks"]["contains"]
    check = Check(id="us1.path", story="us1", assertion="path", source="a", verdict="passed")
    assert sorted(documented) == sorted(check.as_dict())


def test_a_module_without_a_place_for_it_is_refused() -> None:
    with pytest.raises(ValueError, match="RETURN must begin"):
        assertion_docs.documented('RETURN = r"""\nother:\n"""')


def test_what_each_assertion_proves_is_described() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (assertion_docs.PLUGINS / "action").glob("assert_*.py")]
    names = {match[1] for source in sources if (match := re.search(r'^    ASSERTION = "(\w+)"', source, re.MULTILINE))}
    page = (ROOT / "docs" / "explanation" / "checks.md").read_text(encoding="utf-8")
    assert names - {*re.findall(r"^## (\w+)$", page, re.MULTILINE)} == set()
