# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draw what was measured between nodes as heat maps; many nodes are put together by subnet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import BAD
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import lines, pairs

if TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import Report
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.pairs import Cell, Matrix

# Upper bounds of the heat map's steps. They are the same in every report, so that two can be laid side by side.
HEAT_MS = (1, 2, 5, 10, 20, 50)
# Lower bounds, in Mbit/s.
HEAT_MBIT = (500, 200, 100, 50, 10, 1)
MOST_NODES = 60
"""A map of more nodes has a row for each block of nodes instead of each node."""
_BLOCKS = 24
_MOST_BLOCKS = 40
_DENSE_FROM = 13
_WORST = 20
MARKS = {"failed": "✕", "error": "!", "skipped": "·", "passed": "✓"}
_RANK = {"failed": 0, "error": 1, "passed": 2, "skipped": 3}


@dataclass(frozen=True, kw_only=True)
class Square:
    """One cell of a matrix."""

    text: str
    style: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Worst:
    """A pair that is among the worst."""

    pair: str
    verdict: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A matrix that is ready to be written."""

    title: str
    names: list[str]
    rows: list[tuple[str, list[Square]]]
    dense: bool
    note: str
    unit: str
    keys: list[str]
    worst: list[Worst] = field(default_factory=list)


def grids(report: Report) -> Iterator[Grid]:
    """Yield the matrices that the report has data for."""
    families = pairs.families(report)
    names = {"ipv4": "IPv4", "ipv6": "IPv6"}
    for family in families or [""]:
        title = f"Latency, {names[family]}" if family else "Latency"
        yield from _grid(report, title, pairs.latencies(report, family or None), "median round trip in ms")
    yield from _grid(report, "Name resolution", pairs.resolutions(report), "time to the answer in ms")
    yield from _grid(report, "Transfers", pairs.transfers(report), "lowest rate of a transfer in Mbit/s", rates=True)


def blocks(names: Sequence[str], report: Report) -> dict[str, str]:
    """Return the label of the block that each node is in: its subnet, or a part of it, with nodes in their order."""
    size = math.ceil(len(names) / _BLOCKS)
    subnets: dict[str, list[str]] = {}
    for name in names:
        subnets.setdefault(str(report.hosts.get(name, {}).get("subnet") or ""), []).append(name)
    if sum(math.ceil(len(members) / size) for members in subnets.values()) > _MOST_BLOCKS:
        subnets = {"": list(names)}
    found = {}
    for subnet, members in subnets.items():
        parts = [members[start : start + size] for start in range(0, len(members), size)]
        for part in parts:
            label = f"{part[0]} … {part[-1]}" if len(part) > 1 else part[0]
            found.update(dict.fromkeys(part, subnet if subnet and len(parts) == 1 else label))
    return found


def number(value: float) -> str:
    """Return a measure in three characters or so."""
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"  # noqa: PLR2004 - two digits are enough


def _grid(report: Report, title: str, matrix: Matrix, note: str, *, rates: bool = False) -> Iterator[Grid]:
    """Yield a matrix, if anything is in it."""
    if not matrix:
        return
    names = pairs.nodes(matrix, report)
    # A name that is only asked for has a column and no row.
    sources = {source for source, _target in matrix}
    if len(names) > MOST_NODES:
        label = blocks(names, report)
        rows = _block_rows(names, label, matrix, rates=rates)
        names = list(dict.fromkeys(label.values()))
        note += ": the worst of all pairs between blocks of nodes"
        worst = list(_worst(matrix, rates=rates))
    else:
        rows = [
            (source, [_square(source, target, matrix.get((source, target)), rates=rates) for target in names])
            for source in names
            if source in sources
        ]
        worst = []
    keys = [f"≥ {bound}" for bound in HEAT_MBIT] if rates else [f"≤ {bound}" for bound in HEAT_MS]
    yield Grid(
        title=title, names=names, rows=rows, dense=len(names) >= _DENSE_FROM, note=note,
        unit="Mbit/s" if rates else "ms", keys=[*keys, "less" if rates else "more"], worst=worst,
    )  # fmt: skip


def _square(source: str, target: str, cell: Cell | None, *, rates: bool) -> Square:
    """Return one cell: a number in its heat, or the mark of what went wrong."""
    if source == target:
        return Square(text="", style="self", title="")
    if cell is None:
        return Square(text="", style="none", title=f"{source} → {target}: not asserted")
    value = "" if cell.value is None else f", {number(cell.value)} {_unit(rates)}"
    return _colour(cell.verdict, cell.value, f"{source} → {target}: {cell.verdict}{value}", rates=rates)


def _colour(verdict: str, value: float | None, title: str, *, rates: bool) -> Square:
    if verdict != "passed" or value is None:
        return Square(text=MARKS[verdict], style=verdict, title=title)
    step = sum(value < bound for bound in HEAT_MBIT) if rates else sum(value > bound for bound in HEAT_MS)
    return Square(text=number(value), style=f"h{step}", title=title)


def _unit(rates: bool) -> str:
    return "Mbit/s" if rates else "ms"


def _block_rows(
    names: Sequence[str], label: dict[str, str], matrix: Matrix, *, rates: bool
) -> list[tuple[str, list[Square]]]:
    """Return a row for each block that asserted something."""
    found: dict[tuple[str, str], list[tuple[tuple[str, str], Cell]]] = {}
    for (source, target), cell in matrix.items():
        found.setdefault((label[source], label[target]), []).append(((source, target), cell))
    labels = list(dict.fromkeys(label[name] for name in names))
    return [
        (source, [_block(source, target, found.get((source, target), []), rates=rates) for target in labels])
        for source in labels
        if any((source, target) in found for target in labels)
    ]


def _block(source: str, target: str, cells: list[tuple[tuple[str, str], Cell]], *, rates: bool) -> Square:
    """Return the square of all pairs from one block to another: the worst of them, and how many there are."""
    where = f"{source} → {target}"
    if not cells:
        return Square(text="", style="none", title=f"{where}: not asserted")
    (worst, cell), *_rest = sorted(cells, key=lambda item: _badness(item[1], rates=rates))
    bad = sum(found.verdict in BAD for _pair, found in cells)
    value = "" if cell.value is None else f", {number(cell.value)} {_unit(rates)}"
    said = f"{bad} of {len(cells)} pairs are bad" if bad else f"{len(cells)} pairs"
    return _colour(cell.verdict, cell.value, f"{where}: {said}, worst {' → '.join(worst)}{value}", rates=rates)


def _worst(matrix: Matrix, *, rates: bool) -> Iterator[Worst]:
    """Yield the worst pairs, those that failed first."""
    for pair, cell in sorted(matrix.items(), key=lambda item: _badness(item[1], rates=rates))[:_WORST]:
        value = "" if cell.value is None else f"{number(cell.value)} {_unit(rates)}"
        yield Worst(pair=lines.pair({"source": pair[0], "target": pair[1]}), verdict=cell.verdict, value=value)


def _badness(cell: Cell, *, rates: bool) -> tuple[int, float]:
    """Return what puts the worst cell first."""
    if cell.value is None:
        return _RANK[cell.verdict], 0.0
    return _RANK[cell.verdict], cell.value if rates else -cell.value
