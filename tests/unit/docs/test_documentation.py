# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the collection says of itself is what its code does."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import COLLECTION

PLUGINS = COLLECTION / "plugins"
ACTIONS = sorted(path.stem for path in (PLUGINS / "action").glob("*.py"))
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("*.py"))
RUNTIME = yaml.safe_load((COLLECTION / "meta" / "runtime.yml").read_text())


def texts(module: str) -> dict[str, str]:
    """Return the documentation that stands in a module's source."""
    found = {}
    for node in ast.parse((PLUGINS / "modules" / f"{module}.py").read_text()).body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.targets[0], ast.Name)
        ):
            found[node.targets[0].id] = str(node.value.value)
    return found


def fragment(name: str) -> dict[str, Any]:
    """Return the options of a documentation fragment."""
    parts = name.removeprefix("meshctl.headscale.").split(".")
    module = importlib.import_module(f"ansible_collections.meshctl.headscale.plugins.doc_fragments.{parts[0]}")
    text = getattr(module.ModuleDocFragment, parts[1].upper() if len(parts) > 1 else "DOCUMENTATION")
    options: dict[str, Any] = yaml.safe_load(text).get("options") or {}
    return options


def documented(module: str) -> dict[str, Any]:
    """Return all options that a module documents, those of its fragments among them."""
    doc = yaml.safe_load(texts(module)["DOCUMENTATION"])
    options: dict[str, Any] = {}
    for name in doc.get("extends_documentation_fragment") or []:
        if name.startswith("meshctl."):
            options |= fragment(name)
    return options | (doc.get("options") or {})


def test_every_action_is_documented() -> None:
    assert set(ACTIONS) - set(MODULES) == set()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_all_parts_of_its_documentation(module: str) -> None:
    found = {name: yaml.safe_load(text) for name, text in texts(module).items() if name.isupper()}
    assert {name for name, data in found.items() if data} >= {"DOCUMENTATION", "EXAMPLES", "RETURN"}
    assert found["DOCUMENTATION"]["module"] == module
    assert "version_added" in found["DOCUMENTATION"]


@pytest.mark.parametrize("action", [name for name in ACTIONS if name.startswith("assert_")])
def test_an_assertion_documents_the_options_that_it_takes(action: str) -> None:
    code = importlib.import_module(f"ansible_collections.meshctl.headscale.plugins.action.{action}")
    taken = code.ActionModule.ARGUMENTS
    said = documented(action)
    assert set(said) == set(taken)
    for name, option in taken.items():
        for key in ("type", "default", "choices", "elements", "required"):
            # A default of None, and one that is not said, are the same.
            assert said[name].get(key) == option.get(key), f"{action}: {name}: {key}"


@pytest.mark.parametrize("action", [name for name in ACTIONS if name.startswith("assert_")])
def test_an_assertion_names_its_default_deadline(action: str) -> None:
    code = importlib.import_module(f"ansible_collections.meshctl.headscale.plugins.action.{action}")
    if "deadline_s" in vars(code.ActionModule):
        pytest.skip("its deadline is what is left of a budget")
    assert f"V({code.ActionModule.DEADLINE_S:g})" in texts(action)["DOCUMENTATION"]


def test_the_action_group_holds_every_module_that_asks_the_server() -> None:
    asking = [
        name
        for name in MODULES
        if "meshctl.headscale._headscale"
        in (yaml.safe_load(texts(name)["DOCUMENTATION"]).get("extends_documentation_fragment") or [])
    ]
    assert RUNTIME["action_groups"] == {"headscale": asking}


def test_the_versions_of_ansible_agree() -> None:
    pyproject = (COLLECTION.parents[3] / "pyproject.toml").read_text()
    assert RUNTIME["requires_ansible"] == ">=2.19.5"
    assert '"ansible-core>=2.19.5"' in pyproject
    for meta in COLLECTION.glob("roles/*/meta/main.yml"):
        assert yaml.safe_load(meta.read_text())["galaxy_info"]["min_ansible_version"] == "2.19"


def test_examples_name_no_module_that_is_not_there() -> None:
    for module in MODULES:
        for task in _tasks(yaml.safe_load(texts(module)["EXAMPLES"])):
            ours = [key for key in task if key.startswith("meshctl.headscale.")]
            for name in ours:
                assert name.rpartition(".")[2] in MODULES, f"{module}: {name}"
                unknown = set(task[name] or {}) - set(documented(name.rpartition(".")[2]))
                # Options of ansible.builtin.files are of a fragment of Ansible's own.
                assert unknown - {"mode", "owner", "group"} == set(), f"{module}: {name}"


def _tasks(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        task
        for entry in entries
        for task in (
            _tasks(entry.get("tasks") or entry.get("block") or []) if {"tasks", "block"} & set(entry) else [entry]
        )
    ]


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("*.py")), ids=lambda path: str(path.relative_to(PLUGINS)))
def test_what_the_sanity_tests_refuse_after_minutes(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    assert [node.lineno for node in names if node.id == "_"] == [], "pylint of ansible-test takes no variable _"
    asserted = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert asserted == [], "no-assert of ansible-test takes no assert"
    imported = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    imported += [str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom) and not node.level]
    strangers = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    # Everything is imported there with nothing but Ansible beside it: other libraries are imported where they are used.
    assert strangers - {"ansible", "ansible_collections", "yaml"} == set()
