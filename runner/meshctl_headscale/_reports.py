# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the report of a run and bring it into the form that is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from meshctl_headscale._exit import BadInputError, MeshctlError
from meshctl_headscale._project import load_collection_path

if TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.compare import Comparison
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import Report

FORMATS = ("text", "json", "junit", "html", "path")
_FILES = {"json": "report.json", "junit": "junit.xml", "html": "report.html"}


def find(run: str | None) -> Path:
    """Return the directory of a run: a path, a name below the runs directory or a part of it, else the newest run."""
    load_collection_path()
    from ansible_collections.meshctl.headscale.plugins.plugin_utils import _paths

    runs = _paths.runs_dir()
    if run:
        for path in (Path(run).expanduser(), runs / run):
            directory = path.parent if path.name == "report.json" else path
            if (directory / "report.json").is_file():
                return directory.resolve()
    known = _known(runs)
    if run is None and known:
        return known[0]
    matching = [path for path in known if run and run in path.name]
    if matching:
        return matching[0]
    if run is None:
        raise MeshctlError(f"There is no report in {runs} yet. `meshctl run us1` makes one.")
    newest = f" The newest are: {', '.join(path.name for path in known[:5])}." if known else ""
    raise BadInputError(f"There is no report of a run {run!r} in {runs}.{newest}")


def _known(runs: Path) -> list[Path]:
    """Return the runs that proved something, newest first; those of `up` and `down` come last."""
    found = [path.parent for path in runs.glob("*/report.json") if not path.parent.is_symlink()]
    newest_first = sorted(found, key=lambda path: path.name, reverse=True)
    return sorted(newest_first, key=lambda path: path.name.endswith(("Z-up", "Z-down")))


def load(directory: Path) -> Report:
    """Return the report in a run directory."""
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model

    try:
        return model.load(directory)
    except model.ReportError as error:
        raise MeshctlError(str(error)) from None


def render(directory: Path, form: str, *, width: int, color: bool) -> str:
    """Return the report of a run in one of the forms."""
    if form == "path":
        return str(directory)
    if form == "text":
        return _text(directory, width=width, color=color)
    file = directory / _FILES[form]
    if file.is_file():
        return file.read_text(encoding="utf-8")
    return _rendered(directory, form)


def _text(directory: Path, *, width: int, color: bool) -> str:
    report = load(directory)
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import text

    return str(text.as_text(report, run_dir=directory, width=width, color=color))


def _rendered(directory: Path, form: str) -> str:
    """Return a form that the run itself did not leave (it was killed before its end)."""
    report = load(directory)
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import html, junit

    return str((html if form == "html" else junit).render(report))


def query(directory: Path, expression: str) -> str:
    """Return what a JMESPath expression finds in the report, as JSON."""
    report = load(directory)
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model

    try:
        return json.dumps(model.query(report, expression), indent=2, ensure_ascii=False)
    except model.ReportError as error:
        raise BadInputError(str(error)) from None


def compare(old: Path, new: Path, form: str, *, width: int, color: bool) -> tuple[str, bool]:
    """Return what changed between two runs, and whether something that passed no longer does."""
    before, after = load(old), load(new)
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import compare as comparing

    found = comparing.compare(before, after)
    if form == "json":
        return json.dumps(found.as_dict(), indent=2, ensure_ascii=False), bool(found.worse)
    return _comparison_text(found, width=width, color=color), bool(found.worse)


def _comparison_text(found: Comparison, *, width: int, color: bool) -> str:
    import io

    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import text
    from rich.console import Console

    buffer = io.StringIO()
    text.comparison(found, Console(file=buffer, width=width, force_terminal=color, no_color=not color, highlight=False))
    return buffer.getvalue()
