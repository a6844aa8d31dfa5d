# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read from a report what is worth keeping: how each pair, node, story and check was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from meshctl_headscale import _collection
from meshctl_headscale._events import BAD

# Whether packets arrive; the other aspects say how well they do.
_ARRIVES = ("", "ipv4", "ipv6", "tcp", "udp", "tcp.rejoined", "udp.rejoined")
# Names come from nodes and servers.
_LONGEST_NAME = 120
_LONGEST_HINT = 400
_RANK = {"passed": 0, "skipped": -1, "failed": 2, "error": 1}

Check = dict[str, Any]


@dataclass(kw_only=True)
class Pair:
    """How a node reached another one."""

    source: str
    target: str
    reachable: bool | None = None
    """None if it could not be measured."""
    latency_s: float | None = None
    loss: float | None = None
    path: str = ""
    """`direct`, `relay` or `peer-relay`."""
    relay: str = ""
    bytes_per_s: float | None = None


@dataclass(kw_only=True)
class Node:
    """A node as the control server describes it."""

    name: str
    online: bool | None = None
    last_seen: float | None = None
    expiry: float | None = None
    """None if its key never expires."""
    version: str = ""
    routes: Mapping[str, int] = field(default_factory=dict)
    """How many routes it offers, and how many of them are approved and served."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A check, and when it was made."""

    id: str
    source: str
    target: str
    verdict: str
    hint: str
    at: float

    @property
    def key(self) -> tuple[str, str, str]:
        """What the check is about."""
        return self.id, self.source, self.target


@dataclass(frozen=True, kw_only=True)
class StoryRun:
    """How a story ended."""

    story: str
    verdict: str
    finished: float
    duration_s: float
    cause: str
    """The hint of its first bad check, or the doctor's headline if that is about the same hosts."""
    checks: tuple[Made, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a report says."""

    run_id: str
    started: float
    finished: float
    verdict: str
    headline: str
    stories: tuple[StoryRun, ...]
    pairs: tuple[Pair, ...]
    nodes: tuple[Node, ...]
    checks: tuple[Made, ...]
    hosts: frozenset[str]
    not_run: frozenset[str] = frozenset()
    """Stories that never began."""
    sampled: int = 0
    """With a sample of the pairs: after how many runs in a row all pairs were checked."""

    @property
    def complete(self) -> bool:
        """Whether the run came to its end."""
        return self.verdict != "interrupted"


def read(report: _collection.model.Report) -> Facts:
    """Return the facts of a report, with every text bounded and visible; it was written without secrets."""
    finished = _finished(report)
    headline = _hint(_collection.headline.headline(report.checks))
    return Facts(
        run_id=name(report.run_id),
        started=moment(report.started) or finished,
        finished=finished,
        verdict=report.verdict,
        headline=headline,
        stories=tuple(_stories(report, headline)),
        pairs=tuple(_pairs(report.checks)),
        nodes=tuple(_nodes(report)),
        checks=tuple(_checks(report.checks, finished)),
        hosts=frozenset(map(name, report.hosts)),
        not_run=frozenset(map(name, report.not_run)),
        sampled=report.pairs.get("runs", 0),
    )


def _finished(report: _collection.model.Report) -> float:
    return moment(report.finished) or moment(report.started) or 0.0


def moment(text: object) -> float | None:
    """Return a time of a report or of headscale as seconds since 1970; None for none, and for Go's zero time."""
    if not isinstance(text, str) or not text or text.startswith("0001-"):
        return None
    # Go writes nanoseconds.
    head, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    try:
        return datetime.fromisoformat(f"{head}{dot}{rest[: min(digits, 6)]}{rest[digits:]}").timestamp()
    except (ValueError, OverflowError):
        return None


def name(text: object) -> str:
    """Return a name of a node or a host, on one line and not too long."""
    return _collection.visible.line(str(text))[:_LONGEST_NAME]


def _hint(text: str) -> str:
    line = _collection.visible.line(text)
    return line if len(line) <= _LONGEST_HINT else f"{line[: _LONGEST_HINT - 1]}…"


def _stories(report: _collection.model.Report, headline: str) -> Iterator[StoryRun]:
    explained = _explained(report)
    checks: dict[str, list[Check]] = {}
    for check in report.checks:
        checks.setdefault(check["story"], []).append(check)
    for story in report.stories:
        made = checks.get(story.id, [])
        bad = [check for check in made if check["verdict"] in BAD]
        cause = ""
        if bad:
            cause = _hint(f"{_collection.lines.pair(bad[0])}: {bad[0]['hint'] or bad[0]['id']}")
            if headline and (story.id == _collection.headline.STORY or any(map(explained, bad))):
                cause = headline
        yield StoryRun(
            story=name(story.id),
            verdict=story.verdict,
            finished=moment(story.finished) or moment(report.finished) or 0.0,
            duration_s=story.duration_s,
            cause=cause,
            checks=tuple(_checks(made, _finished(report))),
        )


def _explained(report: _collection.model.Report) -> Callable[[Check], bool]:
    """Return whether the doctor's headline may explain a check: it is about one of its hosts, or about the server."""
    aliases = {str(host["mesh_name"]): key for key, host in report.hosts.items() if host.get("mesh_name")}
    blamed = {aliases.get(host, host) for host in _collection.headline.blamed(report.checks)}
    server = any(report.hosts.get(host, {}).get("group") == "headscale" for host in blamed)
    return lambda check: server or bool(blamed & {check["source"], check["target"]})


def _pairs(checks: Iterable[Check]) -> Iterator[Pair]:
    grouped: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        if check["target"] and check["assertion"] in ("reachable", "path"):
            grouped.setdefault((name(check["source"]), name(check["target"])), []).append(check)
    for (source, target), found in grouped.items():
        yield _pair(Pair(source=source, target=target), found)


def _pair(pair: Pair, checks: list[Check]) -> Pair:
    pairs = _collection.pairs
    reach = [check for check in checks if check["assertion"] == "reachable"]
    arrives = [check["verdict"] for check in reach if check["aspect"] in _ARRIVES]
    if "failed" in arrives:
        pair.reachable = False
    elif "passed" in arrives and "error" not in arrives:
        pair.reachable = True
    latency = _most(pairs.round_trip(check) for check in reach)
    lost = _most(pairs.number(check["observed"], "lost_percent") for check in reach)
    rates = [pairs.number(check["observed"], "up_mbit_s") for check in reach if check["aspect"] == "bulk"]
    pair.latency_s = None if latency is None else latency / 1000
    pair.loss = None if lost is None else lost / 100
    pair.bytes_per_s = next((rate * 125_000 for rate in rates if rate is not None), None)
    # The last one: a path may become direct while the run goes on.
    for check in checks:
        if path := pairs.path_of(check):
            pair.path, pair.relay = path, name(check["observed"].get("derp") or "") if path == "relay" else ""
    return pair


def is_arrival(story: str, check: Made) -> bool:
    """Whether a check found that packets do not arrive."""
    assertion, _dot, aspect = check.id.removeprefix(f"{story}.").partition(".")
    return assertion == "reachable" and aspect in _ARRIVES and check.verdict == "failed"


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _nodes(report: _collection.model.Report) -> Iterator[Node]:
    """Yield each node by its name in the inventory, where it has one."""
    aliases = {name(host["mesh_name"]): name(key) for key, host in report.hosts.items() if host.get("mesh_name")}
    hosts = frozenset(map(name, report.hosts))
    found: dict[str, Node] = {}
    for check in report.checks:
        kind = f"{check['assertion']}.{check['aspect']}"
        if check["target"] and (fill := _FILLERS.get(kind)):
            target = name(check["target"])
            label = _label(target, aliases, hosts) if kind in _BY_MESH_NAME else target
            fill(found.setdefault(label, Node(name=label)), check)
    yield from found.values()


def _label(target: str, aliases: Mapping[str, str], hosts: frozenset[str]) -> str:
    """Return the label of a node that a check names as the mesh does."""
    # Any node can take the name of a host that has another one in the mesh.
    stranger = bool(aliases) and target not in aliases and target in hosts
    return f"{target} (mesh)" if stranger else aliases.get(target, target)


def _registered(node: Node, check: Check) -> None:
    evidence = check["evidence"]
    if "online" in evidence:
        node.online = bool(evidence["online"])
        node.last_seen = moment(evidence.get("last_seen"))
        node.expiry = moment(evidence.get("expiry"))
    elif check["verdict"] == "failed":
        node.online = False


def _expires(node: Node, check: Check) -> None:
    _registered(node, {**check, "verdict": ""})
    node.expiry = moment(_of(check["observed"], "expires"))


def _upgrade(node: Node, check: Check) -> None:
    node.version = name(_of(check["observed"], "version") or "")


def _routes(node: Node, check: Check) -> None:
    said = {state: check["evidence"].get(state) for state in ("offered", "approved", "served")}
    node.routes = {state: len(routes) for state, routes in said.items() if isinstance(routes, list)}


# These name a node as the mesh does, the others a host of the inventory.
_BY_MESH_NAME = ("expiry.", "routes.")
_FILLERS = {"registered.": _registered, "expiry.": _expires, "upgrade.client": _upgrade, "routes.": _routes}


def _of(observed: object, key: str) -> object:
    return observed.get(key) if isinstance(observed, dict) else None


def _checks(checks: Iterable[Check], finished: float) -> Iterator[Made]:
    """Yield one check for each thing that was checked, the worst if it was checked several times."""
    worst: dict[tuple[str, str, str], Check] = {}
    for check in checks:
        key = (name(check["id"]), name(check["source"]), name(check["target"] or ""))
        if key not in worst or _RANK[check["verdict"]] > _RANK[worst[key]["verdict"]]:
            worst[key] = check
    for (label, source, target), check in worst.items():
        yield Made(
            id=label,
            source=source,
            target=target,
            verdict=check["verdict"],
            hint=_hint(check["hint"]),
            at=moment(check["at"]) or finished,
        )
