# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make run directories and write their files, each whole or not at all."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.meshctl.headscale.plugins.module_utils._home import expanded
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _paths, _private
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import columns, model

LATEST = "latest"
_REMEDY = "Name one of your directories with MESHCTL_RUNS_DIR."


def make(name: str, started: datetime, *, named: str | None = None) -> Path:
    """Make a run directory, 0700: the one that is `named`, else a new one for this time and name."""
    if named:
        return _private.directory(expanded(named).absolute(), remedy=_REMEDY)
    parent = _private.directory(_paths.runs_dir(), remedy=_REMEDY)
    stem = f"{started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{re.sub('[^A-Za-z0-9._-]+', '-', name) or 'run'}"
    for number in itertools.count(1):
        with contextlib.suppress(FileExistsError):
            return _private.new_directory(parent, stem if number == 1 else f"{stem}-{number}")
    raise AssertionError


def write_json(report: model.Report, directory: Path) -> None:
    """Write report.json alone, as a run does while it goes on."""
    _write(directory / model.FILE_NAME, _dump(report.documents()[1]))


def write(report: model.Report, directory: Path, *, known_valid: bool = False) -> tuple[model.Report, list[str]]:
    """Write every file of the run directory; a report that is known to follow its schema is not compared with it.

    Return the report as it was written, without secrets, and a sentence for each thing that could not be written.
    """
    from . import html, junit  # 30 ms that a run which is still to come need not pay

    problems: list[str] = []
    data, packed = report.documents()
    clean = model.parse(data)

    def attempt(what: str, action: Callable[[], None]) -> None:
        try:
            action()
        except ModuleNotFoundError as error:
            problems.append(f"{what} was left out: the Python package {error.name} is missing on the controller.")
        except Exception as error:
            # Whatever is wrong with one file, the others are written.
            problems.append(f"{what} was not written: {error}")

    attempt(model.FILE_NAME, lambda: _write(directory / model.FILE_NAME, _dump(packed)))
    if not known_valid:
        attempt("The comparison of report.json with its schema", lambda: model.validate(packed))
    shown = model.visible_of(data, packed)
    attempt("junit.xml", lambda: _write(directory / "junit.xml", junit.render(shown)))
    attempt("report.html", lambda: _write(directory / "report.html", html.render(shown)))
    attempt(f"The link {LATEST}", lambda: link(directory))
    return clean, problems


def link(directory: Path) -> None:
    """Point `latest` at this run; a run directory outside of `runs` gets no link."""
    parent = _paths.runs_dir()
    latest = parent / LATEST
    if directory.parent != parent or (latest.exists() and not latest.is_symlink()):
        return
    fresh = parent / f".{LATEST}.{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(directory.name)
    fresh.replace(latest)


def _dump(packed: Mapping[str, Any]) -> str:
    """Return report.json's text: a line for each check and column, so that people can read it and tools compare it."""
    head = {key: value for key, value in packed.items() if key not in ("checks", columns.PASSED)}
    checks = ",\n".join(f"    {_line(check)}" for check in packed["checks"])
    tables = ",\n".join(map(_table, packed[columns.PASSED]))
    return f'{json.dumps(head, indent=2, ensure_ascii=False, allow_nan=False)[:-2]},\n  "checks": [\n{checks}\n  ],\n  "passed": [\n{tables}\n  ]\n}}\n'


def _table(table: Mapping[str, Any]) -> str:
    lines = ",\n".join(f"      {_line(column)}" for column in table["columns"])
    return f'    {{"places": {_line(table["places"])}, "check": {_line(table["check"])}, "columns": [\n{lines}\n    ]}}'


def _line(value: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _write(file: Path, content: str) -> None:
    """Replace `file` whole: a reader never sees half of it."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    try:
        # Half of a surrogate pair has no form in UTF-8; its escape is valid JSON. The other files have none.
        with open(_private.new_file(fresh), "w", encoding="utf-8", errors="backslashreplace") as opened:  # noqa: PTH123
            opened.write(content)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
