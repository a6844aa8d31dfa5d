# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/reference/inventory.md names the variables that there are, all of them and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from project import ROOT

COLLECTION = ROOT / "collection" / "ansible_collections" / "meshctl" / "headscale"
PAGE = (ROOT / "docs" / "reference" / "inventory.md").read_text()
# Set by tasks for other tasks: nobody writes them into an inventory.
FACTS = {
    "mesh_addresses",
    "mesh_answers",
    "mesh_bad_checks",
    "mesh_binaries_found",
    "mesh_client",
    "mesh_diagnosis",
    "mesh_name",
    "mesh_needed",
    "mesh_nodes",
    "mesh_relays",
    "mesh_resolver",
    "mesh_service_bind",
    "mesh_service_client",
    "mesh_story_began",
    "mesh_topology",
    "mesh_unknown",
    "mesh_unregistered",
    "mesh_versions",
}


def _documented() -> set[str]:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(mesh_\w+|lab_name)`", row)}


def _used() -> set[str]:
    sources = [*ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("inventory/**/*.yml")]
    sources += [*COLLECTION.glob("roles/**/*.yml"), *COLLECTION.glob("roles/**/*.j2")]
    names = {name for path in sources for name in re.findall(r"(?<![\w.'-])(mesh_[a-z_0-9]+)\b(?!\.yml)", _code(path))}
    for path in COLLECTION.glob("plugins/**/*.py"):
        names |= set(re.findall(r"""["'](mesh_[a-z_]+[a-z])["']""", path.read_text()))
    return names


def _code(path: Path) -> str:
    return "\n".join(
        line.partition(" #")[0] for line in path.read_text().splitlines() if not line.lstrip().startswith("#")
    )


def test_every_variable_is_documented() -> None:
    roles = {path.name for path in COLLECTION.glob("roles/*")}
    assert _used() - _documented() - FACTS - roles == set()


def test_every_documented_variable_is_used() -> None:
    text = "\n".join(
        path.read_text()
        for base in (ROOT / "playbooks", ROOT / "inventory", COLLECTION / "roles", COLLECTION / "plugins")
        for path in base.rglob("*")
        if path.suffix in (".py", ".yml", ".j2") and "collections" not in path.relative_to(base).parts
    )
    # mesh_release_url_headscale and its like are put together from a program's name.
    built = {f"{stem}_{tool}" for stem in ("mesh_release_url",) for tool in ("headscale", "tailscale")}
    built |= {f"mesh_{tool}_version" for tool in ("headscale", "tailscale")}
    unused = {name for name in _documented() - built if not re.search(rf"\b{name}\b", text)}
    assert unused == set()


@pytest.mark.parametrize("inventory", sorted((ROOT / "inventory").glob("**/*.yml")), ids=lambda path: path.name)
def test_an_inventory_sets_no_variable_that_is_not_documented(inventory: Path) -> None:
    def names(node: object) -> set[str]:
        if not isinstance(node, dict):
            return set()
        own = {key for key in node if isinstance(key, str) and key.startswith("mesh_")}
        return own | {name for value in node.values() for name in names(value)}

    assert names(yaml.safe_load(inventory.read_text())) - _documented() == set()


def test_the_defaults_are_those_of_the_roles() -> None:
    defaults = {}
    for path in COLLECTION.glob("roles/*/defaults/main.yml"):
        defaults |= yaml.safe_load(path.read_text()) or {}
    for variable, default in (
        ("mesh_user", "default"),
        ("mesh_key_expiration", "24h"),
        ("mesh_domain", "mesh.internal"),
    ):
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{variable}`"))
        assert f"| `{default}` |" in row
        assert any(f"{variable} | default('{default}')" in str(value) for value in defaults.values())
