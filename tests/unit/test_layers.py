# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages import each other without cycles, and nothing in the collection imports the runner."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from project import COLLECTION, ROOT

PLUGINS = COLLECTION / "plugins"
PREFIX = "ansible_collections.meshctl.headscale.plugins."
RUNNER = ROOT / "runner" / "meshctl_headscale"


def _imported(path: Path) -> Iterator[str]:
    """Yield what a file of the plugins imports, by the dotted name below the plugins for the collection's modules."""
    here = path.relative_to(PLUGINS).with_suffix("").parts if path.is_relative_to(PLUGINS) else ()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix(PREFIX) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(here[: len(here) - node.level]) + "." if node.level and here else ""
            base = (above + (node.module or "")).removeprefix(PREFIX).strip(".")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _package(name: str) -> str:
    """Return the package of plugin_utils that a dotted name belongs to, or the kind of plugin."""
    parts = name.split(".")
    return parts[1] if parts[0] == "plugin_utils" and len(parts) > 1 else parts[0]


def _graph() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for path in sorted(PLUGINS.rglob("*.py")):
        package = _package(".".join(path.relative_to(PLUGINS).with_suffix("").parts))
        graph.setdefault(package, set()).update(_package(name) for name in _imported(path))
    return {package: {other for other in others if other in graph} - {package} for package, others in graph.items()}


def test_packages_have_no_import_cycles() -> None:
    graph = _graph()
    assert {"_judge", "_host", "_inventory", "_report", "_faults", "_lab", "module_utils"} <= set(graph)
    assert "_judge" in graph["_report"]
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the packages


def test_the_collection_does_not_import_the_runner() -> None:
    for path in PLUGINS.rglob("*.py"):
        assert not [name for name in _imported(path) if name.startswith("meshctl_headscale")], path


def test_the_runner_imports_the_collection_through_one_module() -> None:
    for path in RUNNER.rglob("*.py"):
        if path.name != "_collection.py":
            assert not [name for name in _imported(path) if name.startswith("ansible_collections")], path
