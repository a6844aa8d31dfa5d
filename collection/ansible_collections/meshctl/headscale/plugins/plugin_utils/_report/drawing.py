# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compute the positions in the drawing of a topology, for the template of the page."""

from __future__ import annotations

import math
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import pairs

if TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import Report
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.pairs import Link

# With more hosts than this, boxes shrink to chips, and lines between hosts become bundles between subnets.
_DETAILED = 14
_MARGIN, _GAP, _PAD = 16, 28, 14
_WAN_TOP, _WAN_HEIGHT = 8, 68
_ROUTER_TOP, _ROUTER_HEIGHT, _ROUTER_WIDTH = 112, 44, 184
_PANEL_TOP = 188
# Estimated width of a letter of the small text, on the safe side.
_LETTER = 6.4
_BOX = (142, 66, 12)
_CHIP = (46, 20, 5)


@dataclass(kw_only=True)
class Box:
    """A rectangle with lines of text."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    name: str
    lines: list[str] = field(default_factory=list)
    title: str = ""
    bad: bool = False

    @property
    def middle(self) -> float:
        """The middle, from the left."""
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.y + self.height


@dataclass(kw_only=True)
class Line:
    """A path between two things."""

    d: str
    kind: str
    title: str = ""
    label: str = ""
    x: float = 0.0
    y: float = 0.0


@dataclass(kw_only=True)
class Drawing:
    """A topology, ready to be written as SVG."""

    width: float = 0.0
    height: float = 0.0
    wan: Box | None = None
    panels: list[Box] = field(default_factory=list)
    routers: list[Box] = field(default_factory=list)
    hosts: list[Box] = field(default_factory=list)
    wires: list[Line] = field(default_factory=list)
    paths: list[Line] = field(default_factory=list)
    summary: str = ""
    detailed: bool = True


def draw(report: Report) -> Drawing | None:
    """Return the drawing of a topology and its paths, or None without any fact."""
    if not report.hosts:
        return None
    return _Draughtsman(report).draw()


class _Draughtsman:
    """The state that the steps of a drawing share."""

    def __init__(self, report: Report) -> None:
        self.hosts = report.hosts
        self.links = pairs.links(report)
        self.bad = pairs.suspects(report)
        self.subnets: dict[str, list[str]] = {}
        for name, host in self.hosts.items():
            self.subnets.setdefault(str(host.get("subnet") or ""), []).append(name)
        self.outside = self.subnets.pop("wan", [])
        inside = sum(map(len, self.subnets.values()))
        self.drawing = Drawing(detailed=inside <= _DETAILED)
        self.head = 30 if self.drawing.detailed else 50
        self.places: dict[str, Box] = {}
        self.panels: dict[str, Box] = {}

    def draw(self) -> Drawing:
        """Return the drawing."""
        drawing = self.drawing
        left = float(_MARGIN)
        for subnet, names in self.subnets.items():
            left = self._panel(subnet, names, left) + _GAP
        drawing.width = max(left - _GAP + _MARGIN, 420)
        self._wan()
        for subnet, names in self.subnets.items():
            self._router(subnet, names)
        depth = self._host_paths() if drawing.detailed else self._bundles()
        lowest = max((panel.bottom for panel in drawing.panels), default=_PANEL_TOP)
        drawing.height = lowest + depth + 14
        kinds = Counter(link.path for link in self.links)
        found = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items())) or "not asserted"
        hosts = f"{len(self.hosts)} hosts in {len(self.subnets)} subnets"
        drawing.summary = f"{hosts}. Paths between pairs of nodes: {found}."
        return drawing

    def _panel(self, subnet: str, names: list[str], left: float) -> float:
        """Place a subnet and its hosts; return the right edge."""
        width, height, gap = _BOX if self.drawing.detailed else _CHIP
        columns = len(names) if self.drawing.detailed else max(4, math.ceil(math.sqrt(len(names) * 0.8)))
        rows = math.ceil(len(names) / columns)
        panel = Box(
            x=left,
            y=_PANEL_TOP,
            width=max(columns * (width + gap) - gap + 2 * _PAD, _ROUTER_WIDTH),
            height=self.head + rows * (height + gap) - gap + _PAD,
            kind="panel",
            name=subnet or "hosts",
            lines=[f"{len(names)} hosts"] if not self.drawing.detailed else [],
        )
        start = panel.middle - (columns * (width + gap) - gap) / 2
        prefix = os.path.commonprefix(names) if len(names) > 1 else ""  # noqa: RUF071 - names, no paths
        for index, name in enumerate(names):
            box = self._host(name, prefix)
            box.x = start + (index % columns) * (width + gap)
            box.y = _PANEL_TOP + self.head + (index // columns) * (height + gap)
            box.width, box.height = width, height
        self.drawing.panels.append(panel)
        self.panels[subnet] = panel
        return panel.x + panel.width

    def _host(self, name: str, prefix: str) -> Box:
        """Return the box of a host, yet to be placed."""
        host = self.hosts[name]
        suspect = "most of what failed has to do with it" if name in self.bad else ""
        addresses = [str(host.get("address") or ""), *map(str, (host.get("mesh_addresses") or [])[:1])]
        label = name if self.drawing.detailed else _chip(name, prefix)
        box = Box(
            x=0,
            y=0,
            width=0,
            height=0,
            kind=f"host {host.get('group') or ''}",
            name=label,
            bad=name in self.bad,
            lines=[line for line in addresses if line] if self.drawing.detailed else [],
            title=", ".join(filter(None, [name, *addresses, suspect])),
        )
        self.drawing.hosts.append(box)
        self.places[name] = box
        return box

    def _wan(self) -> None:
        """Place the WAN and its hosts."""
        routed = any(self._routed(names) for names in self.subnets.values())
        if not self.outside and not routed:
            return
        drawing = self.drawing
        width = drawing.width - 2 * _MARGIN
        drawing.wan = Box(x=_MARGIN, y=_WAN_TOP, width=width, height=_WAN_HEIGHT, kind="wan", name="WAN")
        box_width, gap = 150, 12
        start = drawing.wan.middle - (len(self.outside) * (box_width + gap) - gap) / 2
        for index, name in enumerate(self.outside):
            box = self._host(name, "")
            box.x, box.y = start + index * (box_width + gap), _WAN_TOP + 10
            box.width, box.height, box.name = box_width, _WAN_HEIGHT - 20, name
            box.lines = [str(self.hosts[name].get("address") or "")]

    def _router(self, subnet: str, names: list[str]) -> None:
        """Place a subnet's router between it and the WAN."""
        panel, facts = self.panels[subnet], self._routed(names)
        if not facts or self.drawing.wan is None:
            return
        kinds = dict.fromkeys(str(self.hosts[name].get("nat") or "none") for name in names)
        nat = "no NAT" if list(kinds) == ["none"] else f"NAT {' / '.join(kinds)}".replace("_", " ")
        line = " · ".join(filter(None, [nat, str(facts.get("public_address") or "")]))
        width = max(_ROUTER_WIDTH, len(line) * _LETTER + 2 * _PAD)
        box = Box(
            x=panel.middle - width / 2,
            y=_ROUTER_TOP,
            width=width,
            height=_ROUTER_HEIGHT,
            kind="router",
            name=str(facts["router"]),
            lines=[line],
        )
        self.drawing.routers.append(box)
        middle = round(panel.middle, 1)
        self.drawing.wires += [
            Line(d=f"M{middle} {_WAN_TOP + _WAN_HEIGHT}V{_ROUTER_TOP}", kind="wire"),
            Line(d=f"M{middle} {_ROUTER_TOP + _ROUTER_HEIGHT}V{_PANEL_TOP}", kind="wire"),
        ]

    def _routed(self, names: list[str]) -> dict[str, Any]:
        """Return the facts of a host that has a router, from which the subnet's are known."""
        return next((self.hosts[name] for name in names if self.hosts[name].get("router")), {})

    def _host_paths(self) -> float:
        """Draw each pair's path; return how far the arcs reach below the subnets."""
        deepest = 0.0
        relayed: dict[str, list[Link]] = {}
        for link in self.links:
            a, b = self.places.get(link.a), self.places.get(link.b)
            if a is None or b is None:
                continue
            if link.path == "direct":
                depth = 34 + abs(a.middle - b.middle) * 0.2
                deepest = max(deepest, depth * 0.75 - _PAD)
                kind = "path direct bad" if link.bad else "path direct"
                arc = _arc(a.middle, b.middle, a.bottom, depth)
                self.drawing.paths.append(Line(d=arc, kind=kind, title=link.detail))
            else:
                for name in (link.a, link.b):
                    relayed.setdefault(name, []).append(link)
        for name, found in relayed.items():
            self._to_relay(name, found)
        return deepest

    def _to_relay(self, name: str, found: list[Link]) -> None:
        """Draw a host's way to the relay, over which it reaches some of its peers."""
        relays = [self.places[host] for host in self.outside if self.hosts[host].get("group") == "relay"]
        if not relays:
            return
        box, relay = self.places[name], relays[0]
        x, to = round(box.middle, 1), round(relay.middle, 1)
        d = f"M{x} {box.y}C{x} {box.y - 110} {to} {relay.bottom + 70} {to} {relay.bottom}"
        kind = "path relay bad" if any(link.bad for link in found) else "path relay"
        self.drawing.paths.append(Line(d=d, kind=kind, title="; ".join(link.detail for link in found)))

    def _bundles(self) -> float:
        """Draw the paths between subnets together; return how far the arcs reach below them."""
        within: Counter[tuple[str, str]] = Counter()
        between: dict[tuple[str, str], list[Link]] = {}
        order = list(self.subnets)
        for link in self.links:
            ends = [str(self.hosts.get(name, {}).get("subnet") or "") for name in (link.a, link.b)]
            if not all(end in self.panels for end in ends):
                continue
            first, second = sorted(ends, key=order.index)
            if first == second:
                within[first, link.path] += 1
            else:
                between.setdefault((first, second), []).append(link)
        for (subnet, kind), number in within.items():
            self.panels[subnet].lines.append(f"{number} {kind}")
        low = max((panel.bottom for panel in self.panels.values()), default=0)
        return max((self._bundle(ends, links, low) for ends, links in between.items()), default=0.0)

    def _bundle(self, ends: tuple[str, str], links: list[Link], low: float) -> float:
        """Draw the paths of two subnets, direct ones as one arc and relayed ones as another."""
        a, b = (self.panels[end] for end in ends)
        deepest = 0.0
        kinds = Counter("direct" if link.path == "direct" else "relay" for link in links)
        for index, (kind, number) in enumerate(sorted(kinds.items())):
            depth = 30 + abs(a.middle - b.middle) * 0.16 + index * 26
            x, y = (a.middle + b.middle) / 2, low + depth * 0.75
            bad = any(link.bad for link in links if (link.path == "direct") == (kind == "direct"))
            d = _bridge(a, b, low, depth)
            title = f"{ends[0]} and {ends[1]}: {number} pairs {kind}"
            self.drawing.paths.append(
                Line(d=d, kind=f"path {kind}{' bad' if bad else ''}", title=title, label=f"{number} {kind}", x=x, y=y)
            )
            deepest = max(deepest, depth * 0.75 + 8)
        return deepest


def _arc(x1: float, x2: float, y: float, depth: float) -> str:
    """Return an arc that hangs between two points of one height."""
    return f"M{x1:.1f} {y:.1f}C{x1:.1f} {y + depth:.1f} {x2:.1f} {y + depth:.1f} {x2:.1f} {y:.1f}"


def _bridge(a: Box, b: Box, low: float, depth: float) -> str:
    """Return an arc between two panels whose lower edges may differ."""
    x1, x2 = a.middle, b.middle
    arc = _arc(x1, x2, low, depth).partition("C")[2]
    return f"M{x1:.1f} {a.bottom:.1f}V{low:.1f}C{arc}V{b.bottom:.1f}"


def _chip(name: str, prefix: str) -> str:
    """Return the part of a host's name that differs from its neighbours', short enough for a chip."""
    rest = name[len(prefix.rstrip("0123456789")) :] or name
    return rest if len(rest) <= 6 else f"{rest[:5]}…"  # noqa: PLR2004 - what fits a chip
