# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the unit tests that no other version of a library can change.

Followed through all its imports, such a test loads the standard library, our modules and pytest, and it starts no program.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "tests" / "unit"
PLACES = (ROOT / "collection", ROOT / "runner", ROOT / "tests" / "support")
HARMLESS = {*sys.stdlib_module_names, "ansible_collections", "meshctl_headscale", "pytest", "hypothesis"}


def unaffected() -> list[Path]:
    """Return the files of these tests."""
    known: dict[Path, list[str]] = {}
    return [path for path in sorted(UNIT.rglob("test_*.py")) if not _affected(path, known)]


def _affected(test: Path, known: dict[Path, list[str]]) -> bool:
    seen, waiting = {test}, [test]
    while waiting:
        path = waiting.pop()
        for name in known.setdefault(path, list(_imported(path))):
            module = _module(name)
            if module and module not in seen:
                seen.add(module)
                waiting.append(module)
            # `from module import name` is about the module.
            elif not module and not _module(name.rpartition(".")[0]) and name.partition(".")[0] not in HARMLESS:
                return True
    return any(name.partition(".")[0] in ("subprocess", "multiprocessing") for name in known[test])


def _module(name: str) -> Path | None:
    """Return the file of one of our modules."""
    bases = [place.joinpath(*name.split(".")) for place in PLACES if name]
    return next(
        (path for base in bases for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None
    )


def _imported(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, also late ones."""
    here = next((path.relative_to(place).with_suffix("").parts for place in PLACES if path.is_relative_to(place)), ())
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join((*here[: len(here) - node.level], *filter(None, [node.module]))) if node.level else node.module
            )
            yield str(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)
