# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn Ansible's events into the few that matter to meshctl, without a terminal and without files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import _collection

_RESULTS = {
    "runner_on_ok": False,
    "runner_item_on_ok": False,
    "runner_on_failed": True,
    "runner_item_on_failed": True,
}
TEXT = ("verbose", "error", "warning", "deprecated", "system_warning")
_MOST_HOSTS = 5
_HIDDEN = "the output has been hidden"
BAD = ("failed", "error")
# Up to the next beginning at most: a text of beginnings alone would take quadratic time.
_BAD_INPUT = re.compile(
    r"parse (?:(?!parse ).)*inventory|unable to parse|Specified inventory, host pattern|hosts? pattern|no hosts to target"
    r"|could not be found|Unable to retrieve file contents|extra.vars|Invalid (?:(?!Invalid ).)*option|has an invalid value"
    r"|Invalid play strategy|No inventory plugins available|password file (?:(?!password file ).)* was not found",
    re.IGNORECASE,
)
_ERROR = re.compile(r"(?:\[ERROR\]:|ERROR!|\AERROR:)\s*(.*)", re.DOTALL)
# The end of an error's first sentence: repeated causes, the source or a traceback follow.
_MORE = re.compile(r"\n\s*\n|\nOrigin: |(?<!\s)\s*Traceback \(", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True, kw_only=True)
class PlayStarted:
    """A play begins."""

    name: str
    playbook: str


@dataclass(frozen=True, kw_only=True)
class TaskStarted:
    """A task begins on all its hosts."""

    name: str


@dataclass(frozen=True, kw_only=True)
class ChecksMade:
    """A task returned checks."""

    host: str
    task: str
    checks: tuple[dict[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class TaskFailed:
    """A task failed on a host without a bad check, or the host could not be reached."""

    host: str
    task: str
    path: str
    message: str
    error: str = ""
    unreachable: bool = False
    sums_up: bool = False
    """Whether it only repeats earlier failures (`meshctl.headscale.verdict`)."""

    @property
    def sentence(self) -> str:
        """Return a sentence about the failure and its place."""
        return self.of_hosts([self.host])

    def of_hosts(self, hosts: Sequence[str]) -> str:
        """Return the sentence for several hosts with the same failure."""
        if self.error:
            # The action wrote this message for the user.
            return self.message
        more = f" and {len(hosts) - _MOST_HOSTS} more" if len(hosts) > _MOST_HOSTS else ""
        where = ", ".join(hosts[:_MOST_HOSTS]) + more
        if self.unreachable:
            return f"{where} cannot be reached: {self.message}"
        return f"{self.task} failed on {where}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class AnsibleError:
    """Ansible itself reports an error, such as a syntax error or an unreadable inventory."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Noted:
    """A plugin or Ansible reports its progress or a warning."""

    message: str
    warning: bool = False


@dataclass(frozen=True, kw_only=True)
class Said:
    """A sentence of meshctl itself, in order with the events."""

    message: str


Happening = PlayStarted | TaskStarted | ChecksMade | TaskFailed | AnsibleError | Noted | Said


def without_colours(text: str) -> str:
    """Return `text` without colours."""
    return _COLOUR.sub("", text)


def happenings(event: Mapping[str, Any]) -> Iterator[Happening]:
    """Yield the meaning of an event of ansible-runner; most events have none."""
    kind, data = str(event.get("event")), event.get("event_data") or {}
    if kind == "playbook_on_play_start":
        yield PlayStarted(name=str(data.get("play") or ""), playbook=str(data.get("playbook") or ""))
    elif kind in ("playbook_on_task_start", "playbook_on_handler_task_start"):
        yield TaskStarted(name=str(data.get("task") or data.get("name") or ""))
    elif kind in _RESULTS or kind == "runner_on_unreachable":
        yield from _of_result(kind, data)
    elif kind in TEXT:
        yield from _of_text(without_colours(str(event.get("stdout") or "")))


def _error(text: str) -> str:
    """Return the first sentence of an error, with its place."""
    text = "\n".join(line.rstrip() for line in text.splitlines())
    more = _MORE.search(text)
    said = " ".join(text[: more.start()].split()) if more else " ".join(text.split())
    place = re.search(r"^Origin: (/.*:\d+):\d+$", text, re.MULTILINE)
    return f"{said.rstrip('.')} ({place[1]})." if place else said


class Reader:
    """Reads events in order: a message outside of tasks spans several events, one for each of its lines."""

    def __init__(self) -> None:
        self._warning: str | None = None
        """Colour of the hidden warning that the next lines may continue; notes of plugins have no colour."""

    def read(self, event: Mapping[str, Any]) -> Iterator[Happening]:
        """Yield the meaning of the event, given the events before it."""
        if event.get("event") not in TEXT:
            self._warning = None
        colour = "".join(_COLOUR.findall(str(event.get("stdout") or ""))[:1])
        for happening in happenings(event):
            if not isinstance(happening, Noted):
                self._warning = None
                yield happening
                continue
            goes_on = colour == self._warning
            # The sentence before a traceback says enough.
            hidden = happening.warning or goes_on or happening.message.startswith("Traceback (")
            self._warning = colour if hidden else None
            yield replace(happening, warning=hidden)


def _of_text(text: str) -> Iterator[Happening]:
    """Yield the meaning of a line outside of tasks."""
    if found := _ERROR.search(text):
        yield AnsibleError(message=_error(found[1]))
    elif line := " ".join(text.split()):
        yield Noted(message=line, warning=line.startswith(("[WARNING]", "[DEPRECATION")))


_UNPARSED = re.compile(r"^Failed to parse inventory with '([^']+)' plugin\.$(.*?)(?=^\[|\Z)", re.MULTILINE | re.DOTALL)
_CAUSED_BY = "<<< caused by >>>"
# Causes that say that a plugin does not apply to a file.
_NOT_MINE = ("no root 'plugin' key found", "Plugin configuration YAML file")


def unparsed(output: str, *, like_ini: bool = False) -> str:
    """Return why an inventory could not be read, as the plugin says that applies to the file.

    INI comes last because it accepts almost any file.
    """
    text = "\n".join(line.rstrip() for line in without_colours(output).splitlines())
    causes = {match[1]: _cause(match[1], match[2]) for match in _UNPARSED.finditer(text)}
    mine = [cause for plugin, cause in causes.items() if not cause.startswith(_NOT_MINE)]
    if like_ini and "script" not in causes:
        return causes.get("ini", "")
    return mine[0] if mine else ""


def _cause(plugin: str, block: str) -> str:
    """Return the innermost cause and its line; for `auto`, the outermost, which the configured plugin wrote."""
    parts = [part.strip() for part in block.split(_CAUSED_BY)[1:]]
    said, _origin, more = (parts[0 if plugin == "auto" else -1] if parts else "").partition("\nOrigin: ")
    where, _, rest = more.partition("\n")
    said = " ".join(said.split()).removeprefix("Failed to parse inventory: ").rstrip(".")
    if place := re.search(r":(\d+):\d+$", where):
        said += f" (line {place[1]})"
    _, wrote, error = rest.partition("Standard error from inventory script:")
    return said + (f": {' '.join(error.split())}" if wrote and error.strip() else "")


def _of_result(kind: str, data: Mapping[str, Any]) -> Iterator[Happening]:
    result = data.get("res")
    if not isinstance(result, Mapping):
        return
    where = {"host": str(data.get("host") or "?"), "task": str(data.get("task") or "?")}
    yield from (Said(message=f"Note: {note}") for note in result.get("meshctl_notes") or ())
    checks = _checks(result)
    if checks:
        yield ChecksMade(**where, checks=checks)
    unreachable = kind == "runner_on_unreachable"
    failed = _RESULTS.get(kind, False) and not data.get("ignore_errors")
    by_items = kind == "runner_on_failed" and "results" in result
    if unreachable or (failed and not by_items and not any(check["verdict"] in BAD for check in checks)):
        yield TaskFailed(
            **where,
            path=str(data.get("task_path") or ""),
            message=_message(result),
            error=str(result.get("meshctl_error") or ""),
            unreachable=unreachable,
            sums_up="bad_checks" in result,
        )


def _checks(result: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    checks = _collection.handed.handed_over(result)
    return tuple(check for check in checks if isinstance(check, dict) and {"id", "verdict"} <= check.keys())


def _message(result: Mapping[str, Any]) -> str:
    """Return the most useful sentence of a failed result."""
    message = str(result.get("msg") or result.get("censored") or "no reason was given").strip()
    detail = str(result.get("stderr") or result.get("module_stderr") or "").strip()
    if detail and message in ("non-zero return code", "MODULE FAILURE"):
        message += ": " + detail.splitlines()[-1]
    return " ".join(message.removeprefix("Task failed: ").split())


@dataclass
class Tally:
    """Counts of the events so far."""

    checks: dict[str, Counter[str]] = field(default_factory=dict)
    """Verdicts by story."""
    bad: list[dict[str, Any]] = field(default_factory=list)
    failures: list[TaskFailed] = field(default_factory=list)
    ansible_errors: list[str] = field(default_factory=list)
    plays: set[tuple[str, str]] = field(default_factory=set)

    def add(self, happening: Happening) -> None:
        """Count `happening`."""
        match happening:
            case PlayStarted(name=name, playbook=playbook):
                self.plays.add((playbook, name))
            case ChecksMade(checks=checks):
                for check in checks:
                    story = self.checks.setdefault(str(check.get("story") or "adhoc"), Counter())
                    story[str(check["verdict"])] += 1
                    if check["verdict"] in BAD:
                        self.bad.append(check)
            case TaskFailed():
                self.failures.append(happening)
            case AnsibleError(message=message):
                self.ansible_errors.append(message)
            case _:
                pass

    @property
    def total(self) -> Counter[str]:
        """Return the verdicts of all stories together."""
        return sum(self.checks.values(), Counter())

    @property
    def meshctl_errors(self) -> tuple[str, ...]:
        """Return the values of `meshctl_error` that tasks returned."""
        return tuple(failure.error for failure in self.failures if failure.error)

    @property
    def bad_input(self) -> bool:
        """Whether Ansible refused what it was given."""
        return any(_BAD_INPUT.search(message) for message in self.ansible_errors)

    def reasons(self) -> list[str]:
        """Return why the run was not possible, each reason once and the most useful first."""
        failures = _said_once(self.failures)
        own = sentences([failure for failure in failures if failure.error])
        others = sentences([failure for failure in failures if not failure.error])
        return list(dict.fromkeys([*own, *others, *self.ansible_errors]))


def _said_once(failures: Sequence[TaskFailed]) -> list[TaskFailed]:
    """Return the failures without those that repeat another, such as a rescue or the verdict of a story."""
    found: list[TaskFailed] = []
    for failure in failures:
        if failure.sums_up and found:
            continue
        # `no_log` hides the message; the rescue repeats it.
        first = next((k for k, other in enumerate(found) if other.message in failure.message), None)
        hidden = next((k for k, other in enumerate(found) if f"{other.task}: " in failure.message), None)
        if first is not None and failure.message != found[first].message:
            more = failure.message.partition(found[first].message)[2]
            found[first] = replace(found[first], message=found[first].message + more)
        elif hidden is not None and _HIDDEN in found[hidden].message:
            said = failure.message.partition(f"{found[hidden].task}: ")[2]
            found[hidden] = replace(found[hidden], message=said)
        else:
            found.append(failure)
    return found


def sentences(failures: Sequence[TaskFailed]) -> list[str]:
    """Return a sentence for each failure; hosts with the same failure share one."""
    alike: dict[tuple[str, str], list[TaskFailed]] = {}
    for failure in failures:
        alike.setdefault((failure.task, failure.message), []).append(failure)
    return [group[0].of_hosts([failure.host for failure in group]) for group in alike.values()]
