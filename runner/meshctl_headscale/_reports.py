# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the report of a run and print it in the requested form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from meshctl_headscale import _collection, _when
from meshctl_headscale._exit import BadInputError, ExitCode, MeshctlError
from meshctl_headscale._play import new_run_dir
from meshctl_headscale._view import terminal

FORMATS = ("text", "json", "junit", "html", "path")
# Names of the runs of `up`, `down`, `faults inject` and `faults clear`, which check nothing.
_NO_CHECKS = re.compile(r"\d{8}T\d{6}Z-(up|down|faults-(inject|clear))(-\d+)?")
_FILES = {"json": "report.json", "junit": "junit.xml", "html": "report.html"}


def find(run: str | None) -> Path:
    """Return the directory of a run: a path, a name below the runs directory or a part of it, else the newest run."""
    runs = _collection.paths.runs_dir()
    if run:
        for path in (_collection.home.expanded(run), runs / run):
            directory = path.parent if path.name == "report.json" else path
            if (directory / "report.json").is_file():
                return directory.resolve()
    known = _known(runs)
    # The link of this name may lead to a run without a report, or be gone.
    if run in (None, "latest") and known:
        return known[0]
    matching = [path for path in known if run and run in path.name]
    if matching:
        return matching[0]
    if run is None:
        raise MeshctlError(f"There is no report in {runs} yet. Run a story, such as `meshctl run us1`.")
    newest = f" The newest are: {', '.join(path.name for path in known[:5])}." if known else ""
    raise BadInputError(f"There is no report of a run {run!r} in {runs}.{newest}")


def find_two(old: str, new: str) -> tuple[Path, Path]:
    """Return the directories of two runs to compare; a time means the last run that had begun by then.

    A time is resolved among the runs of the same stories as the other run.
    """
    newer = _at(new, None) or find(new)
    older = _at(old, _kind(newer)) or find(old)
    if _at(new, None) and not _at(old, None):
        newer = _at(new, _kind(older)) or newer
    return older, newer


def merge(names: Sequence[str]) -> Path:
    """Write the merged report of these runs to the directory of a new run, and return it."""
    directories = [find(name) for name in names]
    if len(directories) < 2:  # noqa: PLR2004
        raise BadInputError("--merge needs two runs or more: name their directories.")
    if twice := next((path for path in directories if directories.count(path) > 1), None):
        raise BadInputError(f"--merge names the run {twice.name} twice. Name each slice once.")
    reports = [_collection.model.load(path) for path in directories]
    merged = _collection.merge.merge(reports, run_id="")
    directory = new_run_dir("merged")
    merged.run_id = directory.name
    _clean, problems = _collection.rundir.write(merged, directory)
    if problems:
        raise MeshctlError(problems[0])
    return directory


def code(directory: Path) -> ExitCode:
    """Return the exit code of a run with this report."""
    codes = {"passed": ExitCode.PASSED, "failed": ExitCode.FAILED, "interrupted": ExitCode.INTERRUPTED}
    report = _collection.model.load(directory)
    return codes.get(report.verdict, ExitCode.FAILED if report.bad_checks else ExitCode.COULD_NOT_RUN)


def _kind(directory: Path) -> str:
    """Return what a run directory is named after, without its time and number."""
    return re.sub(r"-\d+$", "", directory.name.partition("-")[2])


def _at(text: str, kind: str | None) -> Path | None:
    """Return the last run that had started at a time; None if the text names no time."""
    moment = _when.moment_or_none(text)
    if moment is None:
        return None
    latest = f"{datetime.fromtimestamp(moment, tz=UTC):%Y%m%dT%H%M%SZ}"
    runs = _collection.paths.runs_dir()
    begun = [
        path for path in _known(runs) if path.name[: len(latest)] <= latest and not _NO_CHECKS.fullmatch(path.name)
    ]
    found = [path for path in begun if kind in (None, _kind(path))]
    if not found:
        of = f" of {kind}" if kind else ""
        raise BadInputError(f"There is no run{of} in {runs} that had started at {text}.")
    return found[0]


def _known(runs: Path) -> list[Path]:
    """Return the runs, newest first; those that check nothing come last."""
    _collection.private.check_open(runs, remedy="Set MESHCTL_RUNS_DIR to a directory that you own.")
    found = [path.parent for path in runs.glob("*/report.json") if not path.parent.is_symlink()]
    newest_first = sorted(found, key=lambda path: path.name, reverse=True)
    return sorted(newest_first, key=lambda path: bool(_NO_CHECKS.fullmatch(path.name)))


def render(directory: Path, form: str, *, every: bool = False) -> str:
    """Return the report of a run in one of the forms; as text with a line for each assertion, or for `every` check."""
    if form == "path":
        return str(directory)
    if form == "text":
        report, shape = _collection.model.load(directory), terminal(_collection.text.console())
        detail: _collection.text.Detail = "checks" if every else "digest"
        return _collection.text.as_text(report, run_dir=directory, detail=detail, **shape)
    file = directory / _FILES[form]
    if file.is_file():
        # The directory may be another user's, and its files other than what meshctl writes.
        show = _collection.visible.json_text if form == "json" else _collection.visible.text
        return show(_content(file))
    # A run that was killed leaves report.json alone.
    render_form = _collection.html.render if form == "html" else _collection.junit.render
    return render_form(_collection.model.load(directory))


def _content(file: Path) -> str:
    try:
        return _collection.reading.content(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MeshctlError(f"{file} cannot be read: {reason}. Name another run.") from None


def query(directory: Path, expression: str) -> str:
    """Return what a JMESPath expression finds in the report, as JSON."""
    return _collection.visible.as_json(_collection.model.query(_collection.model.load(directory), expression))


def compare(old: Path, new: Path, form: str) -> tuple[str, bool]:
    """Return what changed between two runs, and whether something that passed no longer does."""
    before, after = _collection.model.load(old), _collection.model.load(new)
    if form == "json":
        found = _collection.compare.compare(before, after)
        return _collection.visible.as_json(found.as_dict()), bool(found.worse)
    visible = _collection.model.visible
    found = _collection.compare.compare(visible(before), visible(after))
    console = _collection.text.console()
    with console.capture() as drawn:
        _collection.text.comparison(found, console)
    return drawn.get(), bool(found.worse)
