#!/usr/bin/env python3
# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write docs/reference/api-calls.md: the calls of Headscale's API that each command, story and module makes.

Calls are found in the code: methods of the API client, and paths that the probe is given. A unit test fails while the
page is not up to date.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ansible_collections.meshctl.headscale.plugins.action import diagnose, explain
from ansible_collections.meshctl.headscale.plugins.module_utils import _api, _operations
from ansible_collections.meshctl.headscale.plugins.plugin_utils._evidence import requests

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "api-calls.md"
_COLLECTION = ROOT / "collection" / "ansible_collections" / "meshctl" / "headscale"
_PLAYBOOKS = ROOT / "playbooks"
# What the probe asks for, by the action that has it asked.
PROBED = {"diagnose": diagnose._API, "explain": explain._API, "evidence": requests.API}
_INTRODUCTION = """# API calls

Headscale's API keys have no scopes: anyone with a key can make every call. To give meshctl the
least privilege:

- create a key for it alone, with a short lifetime (`headscale apikeys create --expiration 30d`);
- keep it in a file that only its user can read, and name the file in `mesh_api_key_file`;
- set neither `mesh_manage` nor `mesh_allow_disruptive` where meshctl should only look. It then
  makes the calls in the column *reads* and no other;
- if a proxy in front of Headscale can filter requests, let it pass only the calls of the commands
  and modules that you use. `GET /version` needs no key.

This page is generated from the code by `tools/api_calls.py`.
"""


@cache
def methods() -> dict[str, set[str]]:
    """Return the operations that each method of the API client uses."""
    (client,) = (
        node for node in ast.parse(Path(_api.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == "HeadscaleAPI"
    )  # fmt: skip
    found = {}
    for method in client.body:
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
            texts = {node.value for node in ast.walk(method) if isinstance(node, ast.Constant)}
            found[method.name] = {str(text) for text in texts if text in _operations.OPERATIONS}
    return {name: operations for name, operations in found.items() if operations}


def of_code(path: Path) -> set[str]:
    """Return the operations that a Python file uses."""
    text = path.read_text(encoding="utf-8")
    found = {
        operation
        for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)
        for operation in methods().get(node.attr, ())
    }  # fmt: skip
    paths = set(re.findall(r'"(/api/v1/\w+)"', text))
    paths |= {f"/api/v1/{name}" for name in PROBED.get(path.stem, {}).values()}
    return found | {by_path(path) for path in paths}


def by_path(path: str) -> str:
    """Return the reading operation of a path; raise KeyError when the table has none."""
    named = {operation.path: name for name, operation in _operations.OPERATIONS.items() if operation.method == "GET"}
    return named[path]


def modules() -> dict[str, set[str]]:
    """Return the operations of each module, action and inventory plugin that uses any."""
    found: dict[str, set[str]] = {}
    for folder in ("action", "inventory", "modules"):
        for path in sorted((_COLLECTION / "plugins" / folder).glob("*.py")):
            name = f"inventory plugin {path.stem}" if folder == "inventory" else path.stem
            found[name] = found.get(name, set()) | of_code(path)
    return {name: operations for name, operations in sorted(found.items()) if operations}


def files_of(path: Path, seen: frozenset[Path] = frozenset()) -> frozenset[Path]:
    """Return a playbook and all files of tasks that it may run, those of roles included."""
    if path in seen:
        return seen
    seen |= {path}
    for found in _included(path, path.read_text(encoding="utf-8")):
        seen = files_of(found, seen)
    return seen


def _included(path: Path, text: str) -> Iterator[Path]:
    for name in re.findall(r"""(?:_tasks|_playbook|file): *["']?([^\s"'{}]*(?:\{\{.*?\}\}[^\s"'{}]*)?\.yml)""", text):
        # A name that is a template may be any file there.
        pattern = re.sub(r"\{\{.*?\}\}", "*", name)
        yield from (found.resolve() for found in path.parent.glob(pattern))
    for role in re.findall(r"(?:name|role): *meshctl\.headscale\.(\w+)", text):
        yield from sorted((_COLLECTION / "roles" / role / "tasks").glob("*.yml"))


def commands() -> dict[str, set[str]]:
    """Return the operations of each command and story."""
    known = modules()
    runner = ROOT / "runner" / "meshctl_headscale"
    found = {"`meshctl init`": of_code(runner / "_init.py"), "`meshctl status`": of_code(runner / "_labs.py")}
    plays = {
        "`meshctl up`": _PLAYBOOKS / "up.yml",
        "`meshctl doctor`": _PLAYBOOKS / "doctor.yml",
        "`meshctl why`": _PLAYBOOKS / "why.yml",
        "`meshctl collect`": _PLAYBOOKS / "collect.yml",
        **{f"`meshctl run {path.stem}`": path for path in sorted((_PLAYBOOKS / "stories").glob("us*.yml"))},
    }
    for name, play in plays.items():
        used: set[str] = set()
        for path in files_of(play.resolve()):
            for module in re.findall(r"meshctl\.headscale\.(\w+):", path.read_text(encoding="utf-8")):
                used |= known.get(module, set())
        found[name] = used
    return found


def page() -> str:
    """Return the page."""
    parts = [_INTRODUCTION, "## Commands and stories", "", *_table("command", commands()), ""]
    parts += [
        "A story makes the calls in the column *changes* only where `mesh_manage` or",
        "`mesh_allow_disruptive` allows it. `meshctl watch` makes the calls of its stories and of",
        "`meshctl doctor`, `meshctl faults` those of `meshctl up` and of the stories, on a lab. Other",
        "commands make none.",
        "",
        "## Modules and plugins",
        "",
        *_table("module", {f"`{name}`": used for name, used in modules().items()}),
    ]
    return "\n".join(parts) + "\n"


def _table(title: str, rows: dict[str, set[str]]) -> Iterator[str]:
    yield f"| {title} | reads | changes |"
    yield "|---|---|---|"
    for name, used in rows.items():
        calls = [_operations.OPERATIONS[operation] for operation in _operations.OPERATIONS if operation in used]
        reads = [_shown(call) for call in calls if call.method == "GET"]
        changes = [_shown(call) for call in calls if call.method != "GET"]
        yield f"| {name} | {'<br>'.join(reads) or 'none'} | {'<br>'.join(changes) or 'none'} |"


def _shown(operation: _operations.Operation) -> str:
    return f"`{operation.method} {operation.path}`"


def main() -> None:
    """Write the page if it has changed."""
    if PAGE.read_text(encoding="utf-8") != (new := page()):
        PAGE.write_text(new, encoding="utf-8")
        print(PAGE.relative_to(ROOT))


if __name__ == "__main__":
    main()
