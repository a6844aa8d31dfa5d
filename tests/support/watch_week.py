# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The history of a simulated week, for the tests and the picture of the page: `watch_week FILE [NODES]`."""

from __future__ import annotations

import math
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model
from meshctl_headscale._history import facts
from meshctl_headscale._history.store import open_to_write
from watch_reports import START, check, report

HOUR = 3600.0
WEEK = 7 * 24 * HOUR
NODES = ("gateway", "laptop", "nas", "office-1", "office-2")


def write(path: Path, nodes: tuple[str, ...] = NODES, *, every_s: float = HOUR / 4) -> None:
    """Write the history: a node is down twice, another one flaps, and a third is down at the end."""
    chance = random.Random(5)  # noqa: S311
    store, _said = open_to_write(path)
    with store:
        for number in range(int(WEEK / every_s)):
            at = START + number * every_s
            store.add(facts.read(_run(at, nodes, _down((at - START) / HOUR, nodes, chance), chance)))


def _down(hour: float, nodes: tuple[str, ...], chance: random.Random) -> set[str]:
    if 21 <= hour < 22.5 or 100 <= hour < 104:
        return {nodes[1]}
    if 60 <= hour < 72 and chance.random() < 0.4:
        return {nodes[2]}
    return {nodes[-1]} if hour >= 165 else set()


def _run(at: float, nodes: tuple[str, ...], down: set[str], chance: random.Random) -> model.Report:
    day = 2 * math.pi * (at - START) / (24 * HOUR)
    made = report(at, nodes, down=down, latency_ms=0)
    checks = [_measured(item, nodes, day, chance) for item in made.checks]
    versions = [
        check("us1.upgrade.client", "server", node, at, observed={"version": "1.98.9"})
        for node in nodes
        if node not in down
    ]
    return replace(made, checks=[*checks, *versions])


def _measured(item: dict[str, Any], nodes: tuple[str, ...], day: float, chance: random.Random) -> dict[str, Any]:
    """Return a check with a latency of its pair, and with a path."""
    if item["assertion"] != "reachable" or item["verdict"] != "passed":
        return item
    far = abs(nodes.index(item["source"]) - nodes.index(item["target"]))
    trip = 3 + 8 * far + far * (2 * math.sin(day) + chance.expovariate(1.5))
    lost = 100 / 3 if chance.random() < 0.002 * far else 0
    path = "relay" if far > 2 and chance.random() < 0.1 else "direct"
    return {**item, "observed": {"median_ms": trip, "lost_percent": lost, "path": path, "derp": "lab"}}


if __name__ == "__main__":
    write(Path(sys.argv[1]), tuple(f"node-{number}" for number in range(int(sys.argv[2]))) if sys.argv[2:] else NODES)
