# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draw a report or a comparison on a terminal of at least 80 columns."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias

from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor import headline as doctors
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.cause import because_of
from ansible_collections.meshctl.headscale.plugins.plugin_utils._expectations.pairs import sentence
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import BAD
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import (
    digest,
    environment,
    lines,
    model,
    pairs,
    policy,
    routes,
    walk,
)

try:
    from rich import box
    from rich.console import Console, Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text
except ModuleNotFoundError as error:
    # Importing a collection's files must not fail; drawing may.
    _MISSING: ModuleNotFoundError | None = error
else:
    _MISSING = None

if TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.compare import Change, Comparison, Slower
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import Check, Note, Report, Story

# A mesh that is down fails in thousands of checks which all say the same.
_ALIKE = 5
_SHOWN = 20
_VALUE_LIMIT = 300
_HINT_LIMIT = 900


Detail: TypeAlias = Literal["headline", "digest", "checks"]


def console(file: IO[str] | None = None, *, stderr: bool = False, **options: Any) -> Console:  # noqa: ANN401 - rich's own
    """Return a console that takes every string as it is: no markup, no emoji, no highlighting."""
    if _MISSING is not None:
        raise _MISSING
    return Console(
        file=file, stderr=stderr, markup=False, emoji=False, highlight=False, legacy_windows=False, **options
    )


def summary(report: Report, out: Console, *, run_dir: Path | str | None = None, detail: Detail = "digest") -> None:
    """Print the end of a run: failures in full and the verdict, after a line for each assertion or for each check."""
    if detail != "headline":
        for story in report.stories:
            out.print(_story(report, story, every=detail == "checks"))
    if said := walk.headline(report.checks):
        out.print(Text.assemble(("answer  ", "dim"), (said, "bold"), "\n"))
    elif said := doctors.headline(report.checks):
        out.print(Text.assemble(("most likely  ", "dim"), (said, "bold"), "\n"))
    for part in _failures(report):
        out.print(part)
    if report.notes:
        out.print(_notes(report.notes))
    if detail == "checks" and any("mesh_addresses" in host for host in report.hosts.values()):
        out.print(_nodes(report))
    out.print(_stories(report))
    if report.pairs:
        out.print(Text(f"sample  {sentence(report.pairs)}", "dim"))
    out.print(Group(*_figure_lines(report), *_policy_lines(report), *_route_lines(report), _verdict_line(report)))
    if run_dir is not None:
        out.print(Text.assemble(("report   ", "dim"), f"{environment.short_path(str(run_dir))}/report.html"))


def line(text: str, *, cut: bool = False) -> Text:
    """Return a line that begins with a mark, the mark in its colour; it is wrapped, or cut, where it is too long."""
    verdict = next((verdict for verdict, mark in lines.MARKS.items() if text.startswith(mark)), "")
    found = Text(text, no_wrap=cut, overflow="ellipsis" if cut else "fold")
    found.stylize(lines.STYLES[verdict] if verdict else "", 0, 1)
    return found


def _story(report: Report, story: Story, *, every: bool) -> Group:
    """Return a story's assertions, or all of its checks."""
    checks = report.of_story(story.id)
    if story.id == walk.STORY:
        return Group(Text(heading(story.id, story.title), "bold"), steps(checks), "")
    drawn = [line(text, cut=not every) for text in (map(lines.check_text, checks) if every else digest.texts(checks))]
    return Group(Text(heading(story.id, story.title), "bold"), *drawn, "")


def steps(checks: Iterable[Check]) -> Table:
    """Return the steps of `why`, a line for each."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for mark, name, said, style in walk.rows(checks):
        grid.add_row(line(mark), Text(name), Text(lines.short(said, _HINT_LIMIT), style))
    return grid


def heading(story: str, title: str) -> str:
    """Return the heading of a story, whose title may begin with its name."""
    return title if title.lower().startswith(story.lower()) else f"{story}  {title}"


def comparison(cmp: Comparison, out: Console) -> None:
    """Print what changed between two runs."""
    out.print(
        Text.assemble(
            ("old  ", "dim"),
            cmp.old,
            "  ",
            _verdict(cmp.old_verdict),
            "\n",
            ("new  ", "dim"),
            cmp.new,
            "  ",
            _verdict(cmp.new_verdict),
        )
    )
    for tool, (was, now) in cmp.versions.items():
        out.print(Text.assemble((f"{tool}: ", "dim"), was or "absent", " → ", now or "absent"))
    out.print()
    for title, changes in (
        ("Broke", cmp.broke),
        ("Still failing", cmp.still_failing),
        ("Fixed", cmp.fixed),
        ("No longer proven", cmp.unproven),
        ("New, and bad", [change for change in cmp.added if change.new in BAD]),
    ):
        if changes:
            out.print(_changes(title, changes))
    for title, changes in (("New checks", cmp.added), ("Checks that are gone", cmp.removed)):
        if changes:
            out.print(_tally(title, changes))
    if cmp.slower:
        out.print(_slower(cmp.slower))
    if not any((cmp.broke, cmp.fixed, cmp.still_failing, cmp.unproven, cmp.added, cmp.removed, cmp.slower)):
        out.print("Nothing changed: the same checks, the same verdicts, nothing slower.")


def as_text(
    report: Report,
    *,
    run_dir: Path | str | None = None,
    width: int = 80,
    color: bool = False,
    detail: Detail = "digest",
) -> str:
    """Return the summary as a string."""
    buffer = io.StringIO()
    out = console(buffer, width=width, force_terminal=color, no_color=not color)
    summary(model.visible(report), out, run_dir=run_dir, detail=detail)
    return "\n".join(drawn.rstrip() for drawn in buffer.getvalue().splitlines()).strip("\n")


def _verdict(verdict: str) -> tuple[str, str]:
    """Return a verdict and its style."""
    return verdict, lines.STYLES.get(verdict, "")


def _table(title: str = "") -> Table:
    """Return a table in the style that all of them have."""
    return Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        header_style="dim",
        padding=(0, 2, 0, 0),
    )


def _stories(report: Report) -> Table:
    """Return the table of stories, those that were not run included."""
    table = _table()
    table.add_column("story", no_wrap=True)
    table.add_column("", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for name in ("pass", "fail", "error", "skip", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for story in report.stories:
        counts = story.counts
        numbers = [
            Text(str(number) if number else "·", lines.STYLES[name] if number else "dim")
            for name, number in (
                ("passed", counts.passed),
                ("failed", counts.failed),
                ("error", counts.error),
                ("skipped", counts.skipped),
            )
        ]
        title = "" if story.title == story.id else story.title
        table.add_row(story.id, title, Text(*_verdict(story.verdict)), *numbers, f"{story.duration_s:.1f}")
    for name in report.not_run:
        table.add_row(name, "", Text(*_verdict("not run")), *[Text("·", "dim")] * 5)
    return table


def _failures(report: Report) -> Iterator[Group | Text]:
    """Yield the bad checks, those that are alike as one."""
    groups = sorted(pairs.alike(report.bad_checks), key=lambda group: because_of(group[0]) is not None)
    for checks in groups[:_SHOWN]:
        yield _failure(checks[0], others=checks[1:])
    if rest := groups[_SHOWN:]:
        number = sum(map(len, rest))
        names = ", ".join(dict.fromkeys(checks[0]["id"] for checks in rest))
        yield Text(f"… and {number} more that failed, all in the report: {names}\n", "dim")


def _failure(check: Check, *, others: list[Check]) -> Group:
    """Return one bad check: what was expected, what was seen, why probably, and how to see it again."""
    head = Text.assemble(_mark(check["verdict"]), " ", (check["id"], "bold"), "  ", lines.pair(check))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    also = "; ".join(lines.pair(other) for other in others[:_ALIKE])
    if len(others) > _ALIKE:
        also += f"; and {len(others) - _ALIKE} more"
    for label, value in (
        ("hint", check["hint"]),
        ("expected", check["expected"]),
        ("observed", check["observed"]),
        ("again", check["reproduce"]),
        ("also", also),
    ):
        if value not in (None, ""):
            grid.add_row(label, Text(lines.short(value, _HINT_LIMIT if label == "hint" else _VALUE_LIMIT)))
    return Group(head, Padding(grid, (0, 0, 1, 2)))


def _mark(verdict: str) -> tuple[str, str]:
    """Return the mark of a verdict: told by its word as well as by colour."""
    return verdict.upper(), lines.STYLES.get(verdict, "")


def _notes(notes: Iterable[Note]) -> Group:
    """Return the tasks that failed and were dealt with."""
    found = []
    for note in notes:
        place = f" ({note.where})" if note.where else ""
        text = f" {note.story}: '{note.task}' on {note.host}{place}: {lines.short(note.message, _VALUE_LIMIT)}"
        found.append(Text.assemble(("note ", "yellow"), (note.kind, "dim"), text))
    return Group(*found, "")


def _nodes(report: Report) -> Table:
    """Return the nodes with their mesh addresses, and how the others reach them."""
    found = pairs.links(report)
    table = _table()
    table.add_column("node", no_wrap=True)
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("mesh addresses", overflow="fold")
    table.add_column("physical", no_wrap=True)
    table.add_column("paths", no_wrap=True)
    for name, host in report.hosts.items():
        if not host.get("mesh_addresses"):
            continue
        mine = [link.path for link in found if name in (link.a, link.b)]
        kinds = ", ".join(f"{mine.count(kind)} {kind}" for kind in ("direct", "peer-relay", "relay") if kind in mine)
        addresses = " ".join(host["mesh_addresses"])
        table.add_row(name, host.get("node_id", ""), addresses, host.get("address", ""), kinds or "·")
    return table


def _figure_lines(report: Report) -> Iterator[Text]:
    """Yield a line for the latencies and one for the rates of the transfers, as far as they were measured."""
    if latency := pairs.latency(report):
        worst = f"{latency.worst_ms:.1f} ms ({' → '.join(latency.worst_pair)})"
        text = f"median {latency.median_ms:.1f} ms, worst {worst}, {latency.pairs} pairs"
        yield Text.assemble(("latency  ", "dim"), text)
    if rates := pairs.rates(report):
        slowest = f"{rates.slowest_mbit:.3g} Mbit/s ({' → '.join(rates.slowest_pair)})"
        text = f"median {rates.median_mbit:.0f} Mbit/s, slowest {slowest}, {rates.pairs} pairs"
        yield Text.assemble(("transfer ", "dim"), text)


def _route_lines(report: Report) -> list[Text]:
    """Return a line for each network behind nodes."""
    return [
        Text.assemble(("route    ", "dim"), line(f"{lines.MARKS[way.verdict]} {routes.line(way)}"))
        for way in routes.ways(report)
    ]


def _policy_lines(report: Report) -> list[Text]:
    """Return what became of the ports that the policy is about, if a story tried any."""
    tried = policy.tried(report.checks)
    return [Text.assemble(("policy   ", "dim"), tried.text)] if tried else []


def _verdict_line(report: Report) -> Text:
    """Return the run's verdict in one line."""
    counts = report.counts
    parts = [f"{counts.passed} passed", f"{counts.failed} failed"]
    parts += [f"{counts.error} error"] if counts.error else []
    parts += [f"{counts.skipped} skipped"] if counts.skipped else []
    line = f"  {', '.join(parts)} in {report.duration_s:.1f} s"
    if not counts.total:
        line = f"  no check was made, in {report.duration_s:.1f} s"
    return Text.assemble(("verdict  ", "dim"), _mark(report.verdict), line)


def _changes(title: str, changes: list[Change]) -> Group:
    """Return the checks that changed alike, with what is known of the reason of those that are bad now."""
    parts: list[Text | Padding] = [Text(f"{title} ({len(changes)})", "bold")]
    told = ""
    for change in changes[:_SHOWN]:
        verdict = Text.assemble(_verdict(change.old or "absent"), " → ", _verdict(change.new or "absent"))
        parts.append(Text.assemble("  ", verdict, "  ", change.id, "  ", (lines.pair(vars(change)), "dim")))
        if change.hint and change.hint != told:
            parts.append(Padding(Text(lines.short(change.hint, _VALUE_LIMIT)), (0, 0, 0, 6)))
        told = change.hint
    if len(changes) > _SHOWN:
        parts.append(Text(f"  … and {len(changes) - _SHOWN} more", "dim"))
    return Group(*parts, "")


def _tally(title: str, changes: list[Change]) -> Group:
    """Return how many checks came or went: which pairs they are about says little."""
    counted = Counter(change.id for change in changes)
    rows = [Text.assemble("  ", name, (f"  {number}", "dim")) for name, number in counted.items()]
    return Group(Text(f"{title} ({len(changes)})", "bold"), *rows, "")


def _slower(slower: list[Slower]) -> Table:
    """Return the table of what takes longer."""
    table = _table(f"Slower ({len(slower)})")
    table.add_column("what", no_wrap=True)
    table.add_column("", overflow="fold")
    for name in ("old", "new", "times"):
        table.add_column(name, justify="right", no_wrap=True)
    for item in slower[:_SHOWN]:
        old, new = (f"{value:.1f} {item.unit}" for value in (item.old, item.new))
        table.add_row(f"{item.what} {item.id}", lines.pair(vars(item)), old, new, f"{item.ratio:.1f}")
    if len(slower) > _SHOWN:
        table.add_row("…", f"{len(slower) - _SHOWN} more", "", "", "")
    return table
