# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run playbooks, show their progress and summary, and find the exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshctl_headscale import _collection, _inputs, _inventory
from meshctl_headscale._events import BAD, Tally, sentences
from meshctl_headscale._exit import BadInputError, ExitCode, MeshctlError, Outcome, exit_code
from meshctl_headscale._options import Given
from meshctl_headscale._options import Show as Show  # noqa: PLC0414 (exported)
from meshctl_headscale._play import Ended, Interruption, Request, new_run_dir, run_playbooks
from meshctl_headscale._progress import Log, Progress
from meshctl_headscale._stories import Story
from meshctl_headscale._view import View, clock, terminal

if TYPE_CHECKING:
    from rich.console import Console

_MOST_REASONS = 3
# Of a file of variables.
_LARGEST = 16 << 20
_INTERRUPTED = {
    "run": "Interrupted: no process of the run is left, and the lab is still up. `meshctl up` restores what was disturbed.",
    "up": "Interrupted: `meshctl up` continues from here, `meshctl down` removes the lab.",
    "down": "Interrupted: `meshctl down` continues from here.",
}


@dataclass(kw_only=True)
class Result:
    """The result of a run."""

    code: ExitCode
    run_dir: Path
    tally: Tally
    ended: Ended
    seconds: float
    changed: bool = False
    reasons: list[str] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the documented JSON object of `up` and `down`."""
        return {
            "exit_code": int(self.code),
            "changed": self.changed,
            "duration_s": round(self.seconds, 1),
            "reasons": self.reasons,
            "run_dir": str(self.run_dir),
        }


def stderr_console() -> Console:
    """Return the console for everything that is not the answer itself."""
    return _collection.text.console(stderr=True)


def parse_extra_vars(given: Sequence[str]) -> tuple[dict[str, Any], list[Path]]:
    """Return variables and files from `-e` options, as ansible-playbook takes them."""
    variables: dict[str, Any] = {}
    files: list[Path] = []
    for item in given:
        if item.startswith("@"):
            path = _collection.home.expanded(item[1:]).absolute()
            if not path.is_file():
                raise BadInputError(f"There is no file {path} for {_named(item)}.")
            _check_variables(path, item)
            files.append(path)
        elif item.lstrip().startswith("{"):
            variables |= _json_object(item)
        else:
            name, equals, value = item.partition("=")
            if not equals or not name.isidentifier():
                raise BadInputError(_no_variable(name if equals else None))
            variables[name] = value
    _check_lab_name(variables, _named("lab_name"))
    return variables, files


def _named(what: str) -> str:
    """Return how an error names a part of what was given, which is never a value: values may be secret."""
    return f"{what} in MESHCTL_EXTRA_VARS" if Given.extra_vars_in_environment else f"-e {what}"


def _no_variable(name: str | None) -> str:
    if name is not None:
        return f"{_named(f'{name}=…')} is not an extra variable: a name consists of letters, digits and underscores."
    forms = "write key=value, a JSON object, or @file"
    if Given.extra_vars_in_environment:
        return (
            f"A word of MESHCTL_EXTRA_VARS is not an extra variable: {forms}. Spaces separate variables; only in a JSON "
            "object can values contain them."
        )
    return f"A value of -e is not an extra variable: {forms}."


def _check_lab_name(variables: Mapping[str, Any], where: str) -> None:
    """Refuse an empty name: Ansible would fall back to the default, which is another lab."""
    if "lab_name" in variables and not str(variables["lab_name"] or "").strip():
        raise BadInputError(f"{where} is empty: give it a value, or leave it out.")


def _check_variables(path: Path, item: str) -> None:
    """Refuse a file without variables, for which Ansible would blame the inventory; its values may be secret."""
    import yaml

    source = f"The file {path} for {_named(item)}"
    form = "write one `name: value` per line"
    try:
        text = _collection.reading.content(path, most=_LARGEST)
        if text.startswith("$ANSIBLE_VAULT"):
            return
        found = _inventory.loaded(source, text)
    except OSError as error:
        raise BadInputError(f"{source} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise BadInputError(f"{source} is not YAML or JSON{line}: {form}, with quotes where YAML needs them.") from None
    if not isinstance(found, dict):
        raise BadInputError(f"{source} has no variables: {form}.")
    _check_lab_name(found, f"{source}: lab_name")


def _json_object(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except (RecursionError, ValueError) as error:
        source = "MESHCTL_EXTRA_VARS" if Given.extra_vars_in_environment else "-e"
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise BadInputError(f"{source} is not JSON: {why}.") from None
    return found


def play(  # noqa: PLR0913
    request: Request,
    *,
    name: str,
    show: Show,
    stories: Sequence[Story] = (),
    run_dir: Path | None = None,
    command: str = "",
    console: Console | None = None,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    engine: Callable[..., Ended] = run_playbooks,
) -> Result:
    """Run the playbooks with `engine`, show them (on `console`, else on stderr), and return how that ended."""
    # Before minutes of building programs.
    _collection.paths.state_dir()
    directory = run_dir or new_run_dir(name)
    if run_dir:
        (directory / "artifacts").mkdir(mode=0o700, parents=True, exist_ok=True)
    if command:
        os.environ["MESHCTL_COMMAND"] = command
    console = console or stderr_console()
    log = Log(directory / "meshctl.log")
    log.write(f"meshctl {name}: {' '.join(str(path) for path in request.playbooks)} -i {request.inventory}")
    began = time.monotonic()
    plays = {play: (story.name, story.title) for story in stories for play in _own_plays(story, stories)}
    view = View(console, quiet=show.quiet, verbose=show.verbose, plays=plays)
    try:
        with Progress(view, log, console) as progress:
            interruption = Interruption(progress.say)

            def handle(event: dict[str, Any]) -> None:
                progress.put(event)
                if on_event:
                    on_event(event)

            with interruption.watched():
                ended = engine(request, directory, on_event=handle, interruption=interruption)
        result = _result(request, ended, progress.tally, directory, stories, seconds=time.monotonic() - began)
        log.write(f"ended rc={ended.rc} interrupted={ended.interrupted} exit={int(result.code)}")
        for reason in result.reasons:
            log.write(f"reason {reason}")
    finally:
        log.close()
    return result


def _result(  # noqa: PLR0913
    request: Request, ended: Ended, tally: Tally, run_dir: Path, stories: Sequence[Story], *, seconds: float
) -> Result:
    output = _output(run_dir) if tally.ansible_errors else ""
    refusal = _inventory.refusal(output, request.inventory, request.extra_files)
    outcome = Outcome(
        rc=ended.rc,
        interrupted=ended.interrupted,
        checks=tally.total.total(),
        # Counted from the tasks: the report also lists tasks that failed without a check.
        bad_checks=len(tally.bad),
        errors=tally.meshctl_errors,
        bad_input=tally.bad_input if refusal is None else refusal.code == ExitCode.BAD_INPUT,
        proof_wanted=bool(stories),
    )
    code = exit_code(outcome)
    changed = any((ended.stats or {}).get("changed", {}).values())
    return Result(
        code=code,
        run_dir=run_dir,
        tally=tally,
        ended=ended,
        seconds=seconds,
        changed=changed,
        reasons=[_in_our_words(reason, request, refusal) for reason in _reasons(code, outcome, tally)],
        not_run=[story.name for story in stories if not _began(story, stories, tally)],
    )


def _began(story: Story, stories: Sequence[Story], tally: Tally) -> bool:
    own = _own_plays(story, stories)
    return story.name in tally.checks or any(name in own for _playbook, name in tally.plays)


def _own_plays(story: Story, stories: Sequence[Story]) -> frozenset[str]:
    """Return the plays of a story that no other story has: each ends with the play of the verdict."""
    return story.plays.difference(*(other.plays for other in stories if other is not story))


def _reasons(code: ExitCode, outcome: Outcome, tally: Tally) -> list[str]:
    """Return why the run was not possible; a failed check needs no other reason."""
    if code in (ExitCode.PASSED, ExitCode.INTERRUPTED):
        return []
    if code == ExitCode.FAILED:
        return sentences([failure for failure in tally.failures if failure.unreachable])[:_MOST_REASONS]
    reasons = tally.reasons()
    if not reasons and code == ExitCode.COULD_NOT_RUN:
        if outcome.rc == 0:
            return ["Nothing was checked: no assertion ran. Check --tags, --limit and the groups of the inventory."]
        return [_without_reason(outcome.rc)]
    return reasons[:_MOST_REASONS]


def _without_reason(rc: int | None) -> str:
    signalled = (rc or 0) - 128
    if signalled in set(signal.Signals):
        return (
            f"Ansible was ended by {signal.Signals(signalled).name}, which meshctl did not send. "
            "Run the same command again to continue; `meshctl down` removes the lab."
        )
    return f"Ansible ended with code {rc} and gave no reason."


def _output(run_dir: Path) -> str:
    """Return the whole output of Ansible."""
    found = [run_dir, *run_dir.glob("slices/*")]
    with contextlib.suppress(OSError):
        return "".join(
            (path / "artifacts" / "ansible" / "stdout").read_text(encoding="utf-8", errors="replace")
            for path in found
            if (path / "artifacts" / "ansible").is_dir()
        )
    return ""


def _in_our_words(reason: str, request: Request, refusal: MeshctlError | None) -> str:
    """Add the wrong value or the cause to a reason for which Ansible omits it."""
    if "leaves us with no hosts" in reason:
        what = f"--limit {_inputs.limit(request.limit)}" if request.limit else "anything"
        return f"No host of the inventory {request.inventory} matches {what}. Check its names and groups."
    if "locale" in reason:
        return f"{reason.rstrip('.')}. Set LC_ALL=C.UTF-8."
    if refusal and "failed to parse inventory" in reason:
        return str(refusal)
    return reason


def summary(result: Result, *, show: Show, title: str) -> None:
    """Draw the end of a run on stderr."""
    console = stderr_console()
    drawn = bool(result.tally.checks) and title == "run" and _report_text(result, console)
    if not drawn and not show.quiet:
        _own_summary(result, console)
    for reason in result.reasons:
        console.print(f"Error: {_collection.visible.line(reason)}", style="bold red", soft_wrap=True)
    if result.not_run and result.tally.plays and not drawn:
        console.print(f"Not run: {', '.join(result.not_run)}.", style="yellow", soft_wrap=True)
    if result.code == ExitCode.INTERRUPTED:
        console.print(_INTERRUPTED[title], style="yellow", soft_wrap=True)
    if result.code != ExitCode.PASSED or not (drawn or show.quiet):
        console.print(f"Log: {shown_path(result.run_dir / 'meshctl.log')}", soft_wrap=True, style="dim")


def _report_text(result: Result, console: Console) -> bool:
    """Draw the closing summary from the report; whether that was possible."""
    try:
        report = _collection.model.load(result.run_dir)
        drawn = _collection.text.as_text(report, run_dir=result.run_dir, detail="headline", **terminal(console))
    except Exception:
        # The verdict holds, whether or not its report can be drawn.
        with (result.run_dir / "meshctl.log").open("a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        return False
    sys.stderr.write(drawn.rstrip() + "\n")
    return True


def _own_summary(result: Result, console: Console) -> None:
    """Draw a summary without a report."""
    for story, verdicts in result.tally.checks.items():
        counted = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
        mark = _collection.lines.MARKS["failed" if any(verdicts[bad] for bad in BAD) else "passed"]
        console.print(_collection.text.line(_collection.visible.line(f"{mark} {story}: {counted}")))
    if result.code == ExitCode.PASSED and not result.tally.checks:
        console.print(f"{'Done' if result.changed else 'Nothing to do'}, {clock(result.seconds)}.", style="green")


def report_or_error(result: Result) -> object:
    """Return the report of a run as JSON data, or why there is none."""
    try:
        found: object = json.loads((result.run_dir / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"error": " ".join(result.reasons) or "no report was written", **result.as_dict()}
    return found


def shown_path(path: Path) -> str:
    """Return `path`, relative if it is below the working directory."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
