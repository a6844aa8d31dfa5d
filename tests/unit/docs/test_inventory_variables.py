# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The declarations of the inventory's variables are complete, and everything that repeats them is generated from them."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory import variables
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.resolved import Settings
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.settings import (
    check_settings,
    checked_names,
    slips,
)
from meshctl_headscale import _inventory
from project import COLLECTION, ROOT

# Facts and registered results that playbooks and actions hand on; an inventory does not set them.
FACTS = {
    "mesh_addresses",
    "mesh_answers",
    "mesh_bad_checks",
    "mesh_binaries_found",
    "mesh_client",
    "mesh_created",
    "mesh_diagnosis",
    "mesh_diagnosis_server",
    "mesh_examined_since",
    "mesh_first_look",
    "mesh_held",
    "mesh_knocked",
    "mesh_lost",
    "mesh_name",
    "mesh_needed",
    "mesh_nodes",
    "mesh_noted",
    "mesh_pairs_coverage",
    "mesh_pairs_run",
    "mesh_reached_at",
    "mesh_story_lacks",
    "mesh_relays",
    "mesh_first_router",
    "mesh_other_router",
    "mesh_policy_before",
    "mesh_policy_note",
    "mesh_resolver",
    "mesh_router",
    "mesh_router_state",
    "mesh_routes_served",
    "mesh_service_bind",
    "mesh_service_client",
    "mesh_serving",
    "mesh_silent",
    "mesh_silent_client",
    "mesh_topology",
    "mesh_unjoined",
    "mesh_unknown",
    "mesh_unregistered",
    "mesh_versions",
    "mesh_why",
    "mesh_why_seen",
    "mesh_why_server",
    "mesh_why_tried",
}
_NEW = """
    mesh_jitter_budget_ms:
      type: number
      exclusiveMinimum: 0
      scope: all, host
      unit: milliseconds
      default: 7
      example: 9
      meaning: highest jitter between two nodes
      survey: {question: Jitter budget (ms), max: 500}
"""


def _generated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs" / ".site" / "generated.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATED = _generated()


def _sources() -> Iterator[Path]:
    for base in (ROOT / "playbooks", ROOT / "inventory", COLLECTION / "roles", COLLECTION / "plugins"):
        for path in base.rglob("*"):
            if (
                path.is_file()
                and path.suffix in (".py", ".yml", ".j2")
                and "collections" not in path.relative_to(base).parts
            ):
                yield path


def _code(path: Path) -> str:
    return "\n".join(
        line.partition(" #")[0] for line in path.read_text().splitlines() if not line.lstrip().startswith("#")
    )


def _used() -> set[str]:
    names: set[str] = set()
    for path in _sources():
        pattern = (
            r"""["'](mesh_[a-z_]+[a-z])["']""" if path.suffix == ".py" else r"(?<![\w.'-])(mesh_[a-z_]+)\b(?!\.yml)"
        )
        if path != variables.FILE:
            names |= set(re.findall(pattern, _code(path)))
    return names


def test_every_variable_is_declared() -> None:
    roles = {path.name for path in COLLECTION.glob("roles/*")}
    # Arguments of a role that no inventory of a mesh sets: its argument_specs.yml declares them.
    own = {name for name in _used() if name.startswith("mesh_watch_")}
    assert _used() - set(variables.declared()) - FACTS - roles - own == set()


def test_every_declared_variable_is_used() -> None:
    text = "\n".join(path.read_text() for path in _sources() if path != variables.FILE)
    # The name of a program completes these.
    built = {f"mesh_release_url_{tool}" for tool in ("headscale", "tailscale")}
    built |= {f"mesh_{tool}_version" for tool in ("headscale", "tailscale")}
    unused = {
        variable.name
        for variable in variables.declared().values()
        if not re.search(rf"\b{variable.name}\b|mesh\.{variable.short}\b|setting\(\"{variable.short}\"|\[\"{variable.short}\"\]", text)
    }  # fmt: skip
    assert unused - built == set()


@pytest.mark.parametrize("path", GENERATED.FILES, ids=lambda path: path.name)
def test_generated_parts_are_up_to_date(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert GENERATED.rewritten(text) == text, "run python docs/.site/generated.py"


def test_every_section_has_its_table() -> None:
    page = (ROOT / "docs" / "reference" / "inventory.md").read_text()
    sections = dict.fromkeys(variable.section for variable in variables.declared().values())
    assert re.findall(r"^<!-- generated: variables (\w+) -->", page, re.MULTILINE) == list(sections)


INVENTORIES = sorted(path for path in (ROOT / "inventory").glob("**/*.yml") if path.is_file())


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.name)
def test_an_inventory_sets_declared_variables_only(inventory: Path) -> None:
    def names(node: object) -> set[str]:
        if not isinstance(node, dict):
            return set()
        own = {key for key in node if isinstance(key, str) and key.startswith("mesh_")}
        return own | {name for value in node.values() for name in names(value)}

    assert names(yaml.safe_load(inventory.read_text())) - set(variables.declared()) == set()


def test_playbooks_and_roles_repeat_no_other_default() -> None:
    for path in _sources():
        if path.suffix == ".py":
            continue
        for name, literal in re.findall(
            r"\b(mesh_\w+) \| default\(('[^']*'|[\w.]+|\[[^]]*\]|\{\})\)", path.read_text()
        ):
            variable = variables.declared().get(name)
            if variable is not None and variable.default is not None and re.match(r"['\d\[{]|true|false", literal):
                assert yaml.safe_load(literal) == variable.default, f"{path}: {name}"


def test_roles_have_the_declared_defaults_of_variables_of_their_own_name() -> None:
    for path in COLLECTION.glob("roles/*/defaults/main.yml"):
        for name, value in (yaml.safe_load(path.read_text()) or {}).items():
            declared = variables.declared().get(name)
            if declared is not None and declared.default is not None:
                assert value == declared.default, name


def test_the_runner_has_the_declared_defaults() -> None:
    for name, value in _inventory.DEFAULTS.items():
        declared = variables.declared()[name].default
        assert declared is None or value == declared, name


@pytest.fixture
def jitter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[variables.Variable]:
    """Declare one more variable, and nothing else."""
    file = tmp_path / "variables.yml"
    new = "\n".join(line.removeprefix("  ") for line in _NEW.splitlines())
    file.write_text(variables.FILE.read_text().replace("\nexpectations:\n", f"\nexpectations:{new}\n"))
    monkeypatch.setattr(variables, "FILE", file)
    caches = (variables.declared, variables._validator)
    for cache in caches:
        cache.cache_clear()
    yield variables.declared()["mesh_jitter_budget_ms"]
    monkeypatch.undo()
    for cache in caches:
        cache.cache_clear()


def test_a_declaration_is_all_that_a_variable_needs(jitter: variables.Variable) -> None:
    groups = {"headscale": ["server"], "clients": ["one"]}
    hosts = {"server": {}, "one": {jitter.name: "0"}}
    with pytest.raises(BadInput, match=r"^host one: mesh_jitter_budget_ms is '0': write a number above zero$"):
        check_settings(hosts, groups)
    assert jitter.name in checked_names()
    assert Settings({}.get)["jitter_budget_ms"] == 7
    assert Settings({jitter.name: "2.5"}.get)["jitter_budget_ms"] == 2.5
    assert dict(Settings({}.get))["jitter_budget_ms"] == 7
    assert list(slips({"one": {jitter.name: 5}})) == []
    assert "did you mean mesh_jitter_budget_ms?" in next(slips({"one": {"mesh_jiter_budget_ms": 5}}))
    page = (ROOT / "docs" / "reference" / "inventory.md").read_text()
    row = (
        "| `mesh_jitter_budget_ms` | all, host | milliseconds, above 0 | `7` | `9` | highest jitter between two nodes |"
    )
    assert row in GENERATED.rewritten(page)
    survey = yaml.safe_load(GENERATED.rewritten((ROOT / "awx" / "objects.yml").read_text()).replace("!unsafe", ""))
    assert {
        "question_name": "Jitter budget (ms)",
        "question_description": "Highest jitter between two nodes",
        "variable": jitter.name,
        "type": "integer",
        "required": False,
        "default": 7,
        "min": 1,
        "max": 500,
        "choices": "",
    } in survey["meshctl_awx_survey"]["spec"]


def test_a_declaration_with_a_slip_is_refused() -> None:
    with pytest.raises(ValueError, match="mesh_x: unknown key 'exmaple'"):
        variables.read("mesh:\n  mesh_x: {meaning: nothing, exmaple: 5}\n")
