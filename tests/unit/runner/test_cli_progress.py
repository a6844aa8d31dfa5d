# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is drawn while Ansible runs, at the widths of a small and a large terminal."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import visible
from meshctl_headscale._events import ChecksMade, Noted, PlayStarted, TaskFailed, TaskStarted
from meshctl_headscale._progress import Log, Progress, log_lines
from meshctl_headscale._view import View, clock
from rich.console import Console

HINT = "the server says that client-node-9 is offline: is tailscaled running there, and can it reach the server at all?"


def check(number: int, verdict: str = "passed", **more: Any) -> dict[str, Any]:
    named = {"id": "us1.reachable.ipv4", "story": "us1", "source": "client-node-1", "target": f"client-node-{number}"}
    named |= {"assertion": "reachable"}
    return {**named, "duration_ms": 0.0, "verdict": verdict, "observed": {"latency_ms": 0.8}, **more}


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
    assert lines[:2] == ["✗ us1.reachable.ipv4  client-node-1 → client-node-9  0.8 ms", f"    {HINT}"]


PLAYS = {"US1": ("us1", "US1 connectivity"), "US1 again": ("us1", "US1 connectivity"), "US2": ("us2", "Paths")}


def started(name: str) -> PlayStarted:
    return PlayStarted(name=name, playbook="")


def test_a_story_has_one_heading_and_other_plays_only_before_it_and_in_a_file() -> None:
    happenings = [started(name) for name in ("Lab", "US1 again", "US1", "US2", "Verdict")]
    assert drawn(*happenings, plays=PLAYS) == ["Lab", "US1 connectivity", "us2  Paths"]
    assert drawn(*happenings, plays=PLAYS, terminal=True) == ["US1 connectivity", "us2  Paths"]
    assert drawn(*happenings, plays=PLAYS, quiet=True) == []


def test_an_assertion_is_one_line_with_its_pairs_and_its_figure() -> None:
    checks = [check(number, observed={"rtt_ms": [number]}) for number in range(100)]
    loss = check(7, id="us1.reachable.loss", observed={"lost_percent": 2.5})
    alone = {**check(0, id="us1.addressed", assertion="addressed", observed={}), "target": None}
    late = check(3, id="us1.rejoins.down", assertion="rejoins", observed={"after_s": 2.51})
    lines = drawn(started("US1"), made(*checks), TaskStarted(name="next"), made(loss, alone, late), plays=PLAYS)
    assert lines == [
        "US1 connectivity",
        "✓ reachable   100 pairs  101 passed  worst 99.0 ms (client-node-1 → client-node-99), "
        "worst loss 2.5 % (client-node-1 → client-node-7)",
        "✓ addressed     1 node  1 passed",
        "✓ rejoins       1 pair  1 passed   slowest 2.5 s (client-node-1 → client-node-3)",
    ]


def test_a_line_that_is_too_long_for_the_terminal_is_cut() -> None:
    checks = [check(number, observed={"path": "direct"}, target="x" * 80) for number in range(2)]
    lines = drawn(made(*checks, check(1, observed={"ms": 3}, target="x" * 80)), terminal=True)
    assert len(lines) == 1
    assert len(lines[0]) == 80


def test_what_was_skipped_says_why_and_bad_checks_alike_are_shown_once() -> None:
    bad = [check(number, "failed", hint="firewall") for number in range(50)]
    skipped = check(1, "skipped", id="us1.isolated", assertion="isolated", hint="one subnet")
    assert drawn(made(*bad, check(3), skipped)) == [
        "✗ us1.reachable.ipv4  client-node-1 → client-node-0  0.8 ms",
        "    firewall",
        "✗ reachable   50 pairs  1 passed, 50 failed",
        "– isolated      1 pair  1 skipped  one subnet",  # noqa: RUF001
    ]


def test_reasons_without_end_are_not_all_shown() -> None:
    lines = drawn(made(*(check(number, "failed", hint=f"cause {number}") for number in range(500))))
    assert len(lines) == 21


def test_verbose_lists_every_check() -> None:
    checks = [check(number) for number in range(40)]
    assert len(drawn(made(*checks), TaskStarted(name="next"), made(*checks), verbose=1)) == 80


def test_quiet_shows_only_what_is_bad() -> None:
    lines = drawn(started("US1"), made(check(2), check(3, "error", hint="why")), quiet=True, plays=PLAYS, verbose=1)
    assert lines == ["✗ us1.reachable.ipv4  client-node-1 → client-node-3  0.8 ms", "    why"]


HOSTILE = "\x1b]0;title\x07\x9b31m\u202e[bold][/]\n✓ us9.forged"
SHOWN = r"\x1b]0;title\x07\x9b31m\u202e[bold][/] ✓ us9.forged"


@pytest.mark.parametrize("terminal", [True, False])
def test_foreign_text_neither_acts_on_the_terminal_nor_passes_for_a_line(terminal: bool) -> None:
    bad = check(2, "failed", hint=HOSTILE, observed=HOSTILE, **{"id": HOSTILE, "source": HOSTILE})
    unreachable = TaskFailed(host="a", task="t", path="", message=HOSTILE, unreachable=True)
    lines = drawn(started(HOSTILE), made(bad), unreachable, Noted(message=HOSTILE), width=400, terminal=terminal)
    assert not any(line.startswith("✓") for line in lines)
    assert f"    {SHOWN}" in lines
    assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set("".join(lines))


def test_foreign_text_passes_for_no_line_of_the_log(tmp_path: Path) -> None:
    log = Log(tmp_path / "meshctl.log")
    for line in log_lines(made(check(2, "failed", hint=HOSTILE))):
        log.write(visible.line(line))
    log.close()
    written = (tmp_path / "meshctl.log").read_text()
    assert len(written.splitlines()) == 2
    assert SHOWN in written


def test_the_log_is_for_its_owner_and_follows_no_link(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Log(tmp_path / "meshctl.log").close()
    finally:
        os.umask(before)
    assert (tmp_path / "meshctl.log").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="link"):
        Log(tmp_path / "link")


def test_ansibles_output_keeps_its_colours_and_nothing_else_that_acts() -> None:
    buffer = io.StringIO()
    console = Console(file=buffer, force_terminal=True, color_system=None)
    View(console, verbose=2).output("\x1b[0;32mok: [a]\x1b[0m \x1b]0;t\x07 \x1b[2J")
    assert buffer.getvalue() == "\x1b[0;32mok: [a]\x1b[0m \\x1b]0;t\\x07 \\x1b[2J\n"
    View(console, verbose=1).output("not shown")
    assert "not shown" not in buffer.getvalue()


def test_unreachable_hosts_are_shown_at_once_and_notes_of_long_tasks_too() -> None:
    gone = TaskFailed(host="a", task="Look", path="", message="no route", unreachable=True)
    assert drawn(gone, Noted(message="building headscale")) == [
        "✗ a cannot be reached: no route",
        "   building headscale",
    ]


@pytest.mark.parametrize("width", [80, 160])
def test_what_changes_is_a_line_for_each_assertion_and_one_for_the_status(width: int) -> None:
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, force_terminal=True, color_system=None)
    view = View(console)
    view.show(PlayStarted(name="US1 connectivity " * 9, playbook=""))
    view.show(made(check(2)))
    buffer.truncate(0)
    buffer.seek(0)
    console.print(view)
    assertion, line = buffer.getvalue().splitlines()
    assert assertion.startswith("✓ reachable     1 pair")
    assert len(line) <= width
    assert "1 passed 0:00" in line


def test_markup_in_what_was_observed_is_text() -> None:
    assert "[bold]x[/bold]" in drawn(made(check(2, observed="[bold]x[/bold] [/]")), verbose=1)[0]


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
    with Progress(View(console, verbose=2), log, console) as progress:
        progress.say("SIGINT: stopping Ansible in order.")
        progress.put(lost)
        progress.put(found)
    log.close()
    assert isinstance(console.file, io.StringIO)
    assert "Traceback" not in console.file.getvalue()
    assert "us1.reachable.ipv4" in console.file.getvalue()
    assert "Traceback" in (tmp_path / "meshctl.log").read_text()
