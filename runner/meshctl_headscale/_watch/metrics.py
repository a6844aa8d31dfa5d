# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known after the last round, as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from meshctl_headscale._events import BAD
from meshctl_headscale._history.facts import Facts, Node, Pair, StoryRun

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry

# Bounds of the number of series. What is bad comes first.
MOST_PAIRS = 2500
MOST_NODES = 1000
MOST_CHECKS = 500
MOST_STORIES = 50
_LONGEST_CAUSE = 300
VERDICTS = ("passed", "failed", "error", "skipped", "interrupted")
RESULTS = ("passed", "failed", "not_run", "interrupted")
PARTS = ("round", "history", "textfile", "notification", "state")
_PAIR = ("source", "target")


@dataclass(kw_only=True)
class Snapshot:
    """What is known; replaced as a whole after each round, so that readers never see half of one."""

    version: str = ""
    every_s: float = 0.0
    started: float | None = None
    last_round: float | None = None
    round_s: float | None = None
    pairs: Sequence[Pair] = ()
    nodes: Sequence[Node] = ()
    stories: dict[str, StoryRun] = field(default_factory=dict)
    flapping: frozenset[str] = frozenset()
    failures: dict[str, int] = field(default_factory=dict)
    rounds: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESULTS, 0))
    problems: dict[str, str] = field(default_factory=dict)

    def after(self, facts: Facts | None, result: str, *, began: float, ended: float) -> Snapshot:
        """Return the snapshot after a round; what a round could not measure is not known any more."""
        failures = dict(self.failures)
        for check in facts.checks if facts else ():
            if check.id in failures or len(failures) < MOST_CHECKS:
                failures[check.id] = failures.get(check.id, 0) + (check.verdict in BAD)
        fresh = {story.story: replace(story, checks=()) for story in (facts.stories if facts else ())}
        # A round that came to its end had every story that is watched, but for those that never began.
        gone = self.stories.keys() - facts.not_run if facts and result in ("passed", "failed") else set()
        earlier = {name: story for name, story in self.stories.items() if name not in gone}
        return Snapshot(
            version=self.version,
            every_s=self.every_s,
            started=self.started,
            last_round=ended,
            round_s=ended - began,
            pairs=facts.pairs if facts else (),
            nodes=facts.nodes if facts else (),
            stories={**earlier, **fresh},
            flapping=self.flapping,
            failures=failures,
            rounds={**self.rounds, result: self.rounds[result] + 1},
            problems=self.problems,
        )


class Collector:
    """Makes metrics of the latest snapshot whenever they are asked for."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        """Keep how to get the snapshot."""
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        snapshot = self._snapshot()
        yield from _of_pairs(snapshot.pairs)
        yield from _of_nodes(snapshot.nodes)
        yield from _of_stories(list(snapshot.stories.values())[:MOST_STORIES], snapshot.flapping)
        yield from _of_watch(snapshot)


def registry(snapshot: Callable[[], Snapshot]) -> CollectorRegistry:
    """Return a registry with nothing but the metrics of the mesh."""
    from prometheus_client.registry import CollectorRegistry

    found = CollectorRegistry(auto_describe=False)
    found.register(Collector(snapshot))
    return found


def text(found: CollectorRegistry) -> bytes:
    """Return the metrics in the format that node_exporter reads."""
    from prometheus_client import generate_latest

    return bytes(generate_latest(found))


Row = tuple[Sequence[str], float | None]


def _gauge(name: str, meaning: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"meshctl_{name}", meaning, labels=labels)
    for values, number in rows:
        if number is not None:
            family.add_metric(values, float(number))
    return family


def _counter(name: str, meaning: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"meshctl_{name}", meaning, labels=labels)
    for values, number in rows:
        family.add_metric(values, float(number or 0))
    return family


def _of_pairs(pairs: Sequence[Pair]) -> Iterator[Metric]:
    kept = sorted(pairs, key=lambda pair: (pair.reachable is not False, pair.source, pair.target))[:MOST_PAIRS]

    def rows(value: Callable[[Pair], Any]) -> list[Row]:
        return [((pair.source, pair.target), value(pair)) for pair in kept]

    yield _gauge("pair_reachable", "Whether packets arrive (1), or not (0).", _PAIR, rows(lambda pair: pair.reachable))
    yield _gauge(
        "pair_latency_seconds", "Median round trip in the last round.", _PAIR, rows(lambda pair: pair.latency_s)
    )
    yield _gauge(
        "pair_loss_ratio",
        "Share of echo requests without a reply in the last round.",
        _PAIR,
        rows(lambda pair: pair.loss),
    )
    yield _gauge(
        "pair_throughput_bytes_per_second", "Rate of a bulk transfer from source to target.", _PAIR,
        rows(lambda pair: pair.bytes_per_s),
    )  # fmt: skip
    yield _gauge(
        "pair_path_info", "How packets travel (direct, relay, peer-relay), and through which relay.",
        (*_PAIR, "path", "relay"), [((pair.source, pair.target, pair.path, pair.relay), 1) for pair in kept if pair.path],
    )  # fmt: skip
    dropped = max(len(pairs) - MOST_PAIRS, 0)
    yield _gauge("pairs_omitted", "Pairs without metrics, because there are too many.", (), [((), dropped)])


def _of_nodes(nodes: Sequence[Node]) -> Iterator[Metric]:
    kept = sorted(nodes, key=lambda node: (node.online is not False, node.name))[:MOST_NODES]

    def rows(value: Callable[[Node], Any]) -> list[Row]:
        return [((node.name,), value(node)) for node in kept]

    yield _gauge(
        "node_online", "Whether the server reports the node online.", ("node",), rows(lambda node: node.online)
    )
    yield _gauge(
        "node_last_seen_timestamp_seconds", "When the server last saw the node.", ("node",),
        rows(lambda node: node.last_seen),
    )  # fmt: skip
    yield _gauge(
        "node_key_expiry_timestamp_seconds", "When the key of the node expires; absent if never.", ("node",),
        rows(lambda node: node.expiry),
    )  # fmt: skip
    yield _gauge(
        "node_info", "The version of the node.", ("node", "version"),
        [((node.name, node.version), 1) for node in kept if node.version],
    )  # fmt: skip
    yield _gauge(
        "node_routes", "Number of routes of the node: offered, approved, served.", ("node", "state"),
        [((node.name, state), count) for node in kept for state, count in node.routes.items()],
    )  # fmt: skip
    dropped = max(len(nodes) - MOST_NODES, 0)
    yield _gauge("nodes_omitted", "Nodes without metrics, because there are too many.", (), [((), dropped)])


def _of_stories(stories: Sequence[StoryRun], flapping: frozenset[str]) -> Iterator[Metric]:
    yield _gauge(
        "story_verdict", "Whether the last run of the story ended with this verdict.", ("story", "verdict"),
        [((story.story, verdict), verdict == story.verdict) for story in stories for verdict in VERDICTS],
    )  # fmt: skip
    yield _gauge(
        "story_flapping", "Whether the verdict of the story changes often.", ("story",),
        [((story.story,), story.story in flapping) for story in stories],
    )  # fmt: skip
    yield _gauge(
        "story_last_run_timestamp_seconds", "When the last run of the story ended.", ("story",),
        [((story.story,), story.finished) for story in stories],
    )  # fmt: skip
    yield _gauge(
        "story_duration_seconds", "How long the last run of the story took.", ("story",),
        [((story.story,), story.duration_s) for story in stories],
    )  # fmt: skip
    yield _gauge(
        "story_cause_info", "Why the last run of the story failed.", ("story", "cause"),
        [((story.story, story.cause[:_LONGEST_CAUSE]), 1) for story in stories if story.cause],
    )  # fmt: skip


def _of_watch(snapshot: Snapshot) -> Iterator[Metric]:
    yield _counter(
        "check_failures", "Rounds in which the check failed, by each pair or node that it failed for.", ("check",),
        [((check,), count) for check, count in sorted(snapshot.failures.items())],
    )  # fmt: skip
    yield _counter(
        "watch_rounds", "Rounds of this watch, by their result.", ("result",),
        [((result,), count) for result, count in snapshot.rounds.items()],
    )  # fmt: skip
    yield _gauge(
        "watch_start_timestamp_seconds",
        "When the watch started; restarts before the first completed round do not change it.", (),
        [((), snapshot.started)],
    )  # fmt: skip
    yield _gauge("watch_last_round_timestamp_seconds", "When the last round ended.", (), [((), snapshot.last_round)])
    yield _gauge("watch_round_duration_seconds", "How long the last round took.", (), [((), snapshot.round_s)])
    yield _gauge(
        "watch_interval_seconds", "Time from the start of a round to that of the next.", (), [((), snapshot.every_s)]
    )
    yield _gauge(
        "watch_problem", "Whether a part of this watch does not work; its log says why.", ("part",),
        [((part,), part in snapshot.problems) for part in PARTS],
    )  # fmt: skip
    yield _gauge("build_info", "The version of meshctl.", ("version",), [((snapshot.version,), 1)])
