# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reference is made from the code, and nothing of the code is missing in it."""

from __future__ import annotations

import importlib.util
import json
from types import ModuleType

import pytest
import typer
from meshctl_headscale import cli
from project import ROOT

COLLECTION = ROOT / "collection" / "ansible_collections" / "meshctl" / "headscale"


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    # Tools of the documentation, which whoever only uses meshctl does not have.
    pytest.importorskip("mkdocs")
    pytest.importorskip("antsibull_docs_parser")
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / ".site" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, str] = module.pages()
    return found


def test_every_module_and_plugin_has_a_page(pages: dict[str, str]) -> None:
    expected = {f"modules/{path.stem}" for path in (COLLECTION / "plugins" / "modules").glob("[a-z]*.py")}
    # What is written for the controller's use alone has no documentation of its own.
    inner = {"action", "doc_fragments", "module_utils", "modules", "plugin_utils"}
    for folder in (COLLECTION / "plugins").iterdir():
        if folder.is_dir() and folder.name not in inner and not folder.name.startswith((".", "_")):
            expected |= {f"modules/{folder.name}_{path.stem}" for path in folder.glob("[a-z]*.py")}
    assert {name for name in pages if name.startswith("modules/")} == expected
    for name in expected:
        assert f"({name}.md)" in pages["modules"]


def test_every_command_and_option_is_in_it(pages: dict[str, str]) -> None:
    program = typer.main.get_command(cli.app)
    for name, command in program.commands.items():
        if command.hidden:
            continue
        assert f"## meshctl {name}\n" in pages["commands"]
        section = pages["commands"].split(f"## meshctl {name}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and not getattr(parameter, "hidden", False):
                    assert option in section, f"meshctl {name} {option}"


def test_every_field_of_the_report_is_in_it(pages: dict[str, str]) -> None:
    schema = json.loads((COLLECTION / "plugins" / "plugin_utils" / "_report" / "report.schema.json").read_text())
    parts = [schema, *schema["$defs"].values()]
    for field in {name for part in parts for name in part.get("properties", {})}:
        assert f"| `{field}` |" in pages["report-fields"]


def test_every_role_with_its_ways_in_is_in_it(pages: dict[str, str]) -> None:
    for role in (COLLECTION / "roles").iterdir():
        assert f"## meshctl.headscale.{role.name}\n" in pages["roles"]
    assert "headscale_server_relays.address" in pages["roles"]
    assert "### preauthkey" in pages["roles"]


def test_every_fault_is_in_it(pages: dict[str, str]) -> None:
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults import catalogue

    for fault in catalogue.load():
        assert f"| `{fault}` |" in pages["fault-catalogue"]


@pytest.mark.parametrize("part", ["client", "server", "mesh"])
def test_every_finding_of_the_doctor_has_a_row(part: str) -> None:
    page = (ROOT / "docs" / "reference" / "doctor.md").read_text(encoding="utf-8")
    found = (COLLECTION / "plugins" / "plugin_utils" / "_doctor" / part).glob("[a-z]*.py")
    assert [path.stem for path in found if f"| `doctor.{path.stem}" not in page] == []
