# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is drawn while Ansible runs, at the widths of a small and a large terminal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from meshctl_headscale._events import ChecksMade, Noted, PlayStarted, TaskFailed, TaskStarted
from meshctl_headscale._progress import Log, Progress, View, clock
from rich.console import Console

HINT = "the server says that client-node-9 is offline: is tailscaled running there, and can it reach the server at all?"


def check(number: int, verdict: str = "passed", **more: Any) -> dict[str, Any]:
    named = {"id": "us1.reachable.ipv4", "story": "us1", "source": "client-node-1", "target": f"client-node-{number}"}
    return {**named, "verdict": verdict, "observed": {"latency_ms": 0.8}, **more}


def made(*checks: dict[str, Any]) -> ChecksMade:
    return ChecksMade(host="client-node-1", task="Reach", checks=checks)


def drawn(*happenings: Any, width: int = 80, terminal: bool = False, **options: Any) -> list[str]:
    buffer = io.StringIO()
    console = Console(
        file=buffer, width=width, force_terminal=terminal, no_color=True, highlight=False, color_system=None
    )
    view = View(console, **options)
    for happening in happenings:
        view.show(happening)
    view.flush()
    return [line.rstrip() for line in buffer.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 160])
def test_lines_on_a_terminal_stay_within_its_width(width: int) -> None:
    lines = drawn(made(check(9, "failed", hint=HINT, observed="x" * 300)), width=width, terminal=True)
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("✗ us1.reachable.ipv4  client-node-1 → client-node-9")
    assert "is offline" in " ".join(lines)


def test_lines_in_a_file_are_not_wrapped() -> None:
    lines = drawn(made(check(9, "failed", hint=HINT)), width=80)
    assert lines == ["✗ us1.reachable.ipv4  client-node-1 → client-node-9  0.8 ms", f"    {HINT}"]


def test_plays_are_headings_where_nothing_lives() -> None:
    assert drawn(PlayStarted(name="US1", playbook="us1.yml")) == ["== US1"]
    assert drawn(PlayStarted(name="US1", playbook="us1.yml"), terminal=True) == []


def test_more_good_checks_than_fit_are_counted_and_the_bad_one_is_shown() -> None:
    checks = [check(number) for number in range(100)] + [
        check(100, "failed"),
        check(101, "skipped", hint="not allowed"),
    ]
    lines = drawn(made(*checks))
    assert lines == [
        "✗ us1.reachable.ipv4  client-node-1 → client-node-100  0.8 ms",
        "✓ us1.reachable.ipv4  100 passed",
        "– us1.reachable.ipv4  1 skipped",  # noqa: RUF001
    ]


def test_counting_begins_anew_with_each_task() -> None:
    few = [check(number) for number in range(20)]
    lines = drawn(made(*few), TaskStarted(name="next"), made(*few), singly=30)
    assert len(lines) == 40
    lines = drawn(made(*few), made(*few), singly=30)
    assert lines[-1] == "✓ us1.reachable.ipv4  40 passed (20 not listed)"
    assert len(lines) == 21


def test_quiet_shows_only_what_is_bad() -> None:
    lines = drawn(PlayStarted(name="US1", playbook=""), made(check(2), check(3, "error", hint="why")), quiet=True)
    assert lines == ["✗ us1.reachable.ipv4  client-node-1 → client-node-3  0.8 ms", "    why"]


def test_unreachable_hosts_are_shown_at_once_and_notes_of_long_tasks_too() -> None:
    gone = TaskFailed(host="a", task="Look", path="", message="no route", unreachable=True)
    assert drawn(gone, Noted(message="building headscale")) == [
        "✗ a cannot be reached: no route",
        "   building headscale",
    ]


@pytest.mark.parametrize("width", [80, 160])
def test_the_living_line_is_one_line(width: int) -> None:
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, force_terminal=True, color_system=None)
    view = View(console)
    view.show(PlayStarted(name="US1 connectivity " * 9, playbook=""))
    view.show(made(check(2)))
    buffer.truncate(0)
    buffer.seek(0)
    console.print(view)
    (line,) = buffer.getvalue().splitlines()
    assert len(line) <= width
    assert "1 passed 0:00" in line


def test_markup_in_what_was_observed_is_text() -> None:
    assert "[bold]x[/bold]" in drawn(made(check(2, observed="[bold]x[/bold] [/]")))[0]


def test_an_event_that_cannot_be_drawn_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.StringIO()
    console = Console(file=buffer)
    view = View(console)

    def broken(_happening: object) -> None:
        raise RuntimeError("no paper")

    monkeypatch.setattr(view, "show", broken)
    log = Log(tmp_path / "meshctl.log")
    event = {"event": "runner_on_ok", "event_data": {"host": "a", "task": "t", "res": {"checks": [check(2)]}}}
    with Progress(view, log, console) as progress:
        progress.put(event)
    log.close()
    assert progress.tally.total["passed"] == 1
    assert "RuntimeError: no paper" in (tmp_path / "meshctl.log").read_text()


def test_log_has_no_secret(tmp_path: Path) -> None:
    log = Log(tmp_path / "meshctl.log")
    log.write("joined with hskey-auth-abcdefghijkl-" + "x" * 64)
    log.close()
    assert "hskey" not in (tmp_path / "meshctl.log").read_text()


@pytest.mark.parametrize(("seconds", "text"), [(7.9, "0:07"), (61, "1:01"), (3723, "1:02:03")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_what_ansible_writes_when_it_is_stopped_goes_to_the_log_alone(tmp_path: Path) -> None:
    console = Console(file=io.StringIO())
    log = Log(tmp_path / "meshctl.log")
    lost = {"event": "verbose", "stdout": "Traceback (most recent call last):"}
    found = {"event": "runner_on_ok", "event_data": {"host": "a", "task": "t", "res": {"checks": [check(2)]}}}
    with Progress(View(console, verbose=True), log, console) as progress:
        progress.say("SIGINT: stopping Ansible in order.")
        progress.put(lost)
        progress.put(found)
    log.close()
    assert isinstance(console.file, io.StringIO)
    assert "Traceback" not in console.file.getvalue()
    assert "us1.reachable.ipv4" in console.file.getvalue()
    assert "Traceback" in (tmp_path / "meshctl.log").read_text()
