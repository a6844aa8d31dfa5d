# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draw a history as tables."""

from __future__ import annotations

from meshctl_headscale import _tables
from meshctl_headscale._history import page
from meshctl_headscale._history.outages import CONSEQUENCE
from meshctl_headscale._history.summary import Incident, NodeHistory, PairHistory, StoryHistory, Summary

_MOST = 20
_BAD = {"failed": "red", "error": "magenta"}


def draw(summary: Summary) -> None:
    """Draw what failed, then the stories, the nodes and the pairs, the worst first."""
    passed = sum(run.verdict == "passed" for run in summary.runs)
    runs = "1 run" if len(summary.runs) == 1 else f"{len(summary.runs)} runs"
    print(
        f"{runs} from {page.clock(summary.since)} to {page.clock(summary.until)}, {passed} passed. {_flapping(summary)}"
    )
    if not summary.runs and not summary.incidents:
        return
    # Consequences name their cause, which says more.
    incidents = sorted(summary.incidents, key=lambda incident: incident.hint.startswith(CONSEQUENCE))[:_MOST]
    print("\nNothing failed." if not incidents else "")
    if incidents:
        _tables.rows(
            ("FAILED", "WHERE", "SINCE", "FOR", "CAUSE"),
            [_incident(incident) for incident in incidents],
            marked=[_BAD.get(incident.verdict, "") if incident.until is None else "" for incident in incidents],
        )
        _rest(len(summary.incidents), "incidents")
    _table(("STORY", "PASSED", "LAST", "WHEN", "MEDIAN"), [_story(story) for story in summary.stories], "stories")
    nodes = sorted(summary.nodes, key=lambda node: _worst(node.availability))
    _table(
        ("NODE", "ONLINE", "CHANGES", "LAST SEEN", "KEY EXPIRES", "VERSION"), [_node(node) for node in nodes], "nodes"
    )
    pairs = sorted(summary.pairs, key=lambda pair: _worst(pair.availability))
    _table(("PAIR", "REACHABLE", "P50", "P90", "P99", "LOSS", "DIRECT"), [_pair(pair) for pair in pairs], "pairs")


def _flapping(summary: Summary) -> str:
    names = [node.node for node in summary.nodes if node.flapping]
    names += [f"{pair.source} → {pair.target}" for pair in summary.pairs if pair.flapping]
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return f"Flapping: {', '.join(names[:_MOST])}{more}." if names else "Nothing flaps."


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]], what: str) -> None:
    if rows:
        print()
        _tables.rows(columns, rows[:_MOST], marked=[""] * len(rows[:_MOST]))
        _rest(len(rows), what)


def _rest(count: int, what: str) -> None:
    if count > _MOST:
        print(f"{count - _MOST} more {what} are in the output of --json.")


def _worst(availability: float | None) -> float:
    """Sort what is unknown to the end."""
    return 2.0 if availability is None else availability


def _incident(incident: Incident) -> tuple[str, ...]:
    where = f"{incident.source} → {incident.target}" if incident.target else incident.source
    lasted = page.duration(incident.duration_s)
    return (
        incident.id,
        where,
        page.clock(incident.since),
        f"{lasted} so far" if incident.until is None else lasted,
        incident.hint,
    )


def _story(story: StoryHistory) -> tuple[str, ...]:
    return (
        story.story,
        f"{story.passed} of {story.runs}",
        story.last_verdict,
        page.clock(story.last_finished),
        page.duration(story.median_duration_s),
    )


def _node(node: NodeHistory) -> tuple[str, ...]:
    return (
        node.node,
        page.percent(node.availability),
        str(node.changes),
        page.clock(node.last_seen),
        page.clock(node.expiry) or "never",
        node.version,
    )


def _pair(pair: PairHistory) -> tuple[str, ...]:
    latency = [page.milliseconds(pair.latency_s.get(share)) for share in ("p50", "p90", "p99")]
    optional = ["" if share is None else page.percent(share) for share in (pair.worst_loss, pair.direct)]
    return (f"{pair.source} → {pair.target}", page.percent(pair.availability), *latency, *optional)
