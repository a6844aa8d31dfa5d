# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Summarize the checks of routes and exit nodes: who goes through which router to what, and what was tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import pairs

if TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import Check, Report

INTERNET = "internet"
_EXIT = ("0.0.0.0/0", "::/0")
_ABOUT = ("served", "forwards", "routed", "egress")
_PLAIN = "in use"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One box or chip of a picture, with the worst verdict of its checks."""

    name: str
    verdict: str
    note: str = ""


@dataclass(kw_only=True)
class Way:
    """Everything that was asserted of one network, or of the way outside."""

    prefix: str
    target: str = ""
    checks: list[Check] = field(default_factory=list)
    serving: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """Return the worst verdict."""
        return pairs.worst_verdict(self.checks)

    @property
    def users(self) -> list[Part]:
        """Return the nodes that send packets there."""
        return _parts(self.checks, lambda check: _source(check, ("routed", "egress")))

    @property
    def routers(self) -> list[Part]:
        """Return the routers; the one that served at first comes first."""
        found = _parts(self.checks, _router)
        notes = dict.fromkeys(self.serving, "serves")
        parts = [Part(name=part.name, verdict=part.verdict, note=notes.get(part.name, "")) for part in found]
        return sorted(parts, key=lambda part: part.name not in self.serving)

    @property
    def stages(self) -> list[Part]:
        """Return what was tried, in order."""
        return _parts(self.checks, _stage)


def ways(report: Report) -> list[Way]:
    """Return a summary for each network, and one for the way outside."""
    checks = [check for check in report.checks if check.get("assertion") in _ABOUT and check["verdict"] != "skipped"]
    prefixes = {
        _end(check): str(_expected(check)["prefix"])
        for check in checks
        if check.get("assertion") == "routed" and "prefix" in _expected(check)
    }
    found: dict[str, Way] = {}
    for check in checks:
        prefix = _prefix(check, prefixes)
        if not prefix:
            continue
        way = found.setdefault(prefix, Way(prefix=prefix))
        way.checks.append(check)
        if check.get("assertion") in ("routed", "egress") and _aspect(check)[0] in ("route", "address"):
            way.target = str(check.get("target") or "")
        if _aspect(check) == ("serving", "") and not way.serving:
            way.serving = [str(name) for name in _mapping(check.get("observed")).get("routers") or []]
    return sorted(_joined(found), key=lambda way: (way.prefix == INTERNET, way.prefix))


def _joined(found: Mapping[str, Way]) -> list[Way]:
    """Return the ways that nodes are to take; what was asserted of a part of a network belongs to the network."""
    taken = {prefix: way for prefix, way in found.items() if way.target or prefix == INTERNET}
    for prefix, way in found.items():
        if prefix in taken:
            continue
        if whole := next((other for other in taken.values() if _part_of(prefix, other.prefix)), None):
            whole.checks += way.checks
        elif way.verdict != "passed" or not _refused(way):
            taken[prefix] = way
    return list(taken.values())


def _refused(way: Way) -> bool:
    """Whether all that was asserted of a route is that the server has not approved it."""
    about = [check for check in way.checks if _aspect(check)[0] == "approved"]
    return bool(about) and all(_expected(check).get("approved") is False for check in about)


def _part_of(prefix: str, other: str) -> bool:
    try:
        one, two = ip_network(prefix), ip_network(other)
    except ValueError:
        return False
    return one.version == two.version and one.subnet_of(two)  # type: ignore[arg-type]


def line(way: Way) -> str:
    """Return a way in a few words: `10.0.0.0/24 through client-node-2 or client-node-3`."""
    routers = " or ".join(part.name for part in way.routers)
    return f"{way.prefix} through {routers}" if routers else way.prefix


def _mapping(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return value if isinstance(value, dict) else {}


def _expected(check: Mapping[str, Any]) -> dict[str, Any]:
    return _mapping(check.get("expected"))


def _aspect(check: Mapping[str, Any]) -> tuple[str, str]:
    first, _dot, rest = str(check.get("aspect") or "").partition(".")
    return first, rest


def _end(check: Mapping[str, Any]) -> tuple[str, str]:
    """Return what distinguishes the host behind a router, which may be in a network of either family."""
    return str(check.get("target") or ""), str(check.get("family") or "")


def _prefix(check: Mapping[str, Any], prefixes: Mapping[tuple[str, str], str]) -> str:
    """Return the network that a check is about, empty if it cannot be told."""
    assertion, target = check.get("assertion"), str(check.get("target") or "")
    if assertion == "egress":
        return INTERNET
    if assertion == "served":
        named = str(_expected(check).get("prefix") or "") or (target if "/" in target else "")
        return INTERNET if named in _EXIT else named
    if assertion == "forwards":
        known = str(_mapping(check.get("evidence")).get("prefix") or prefixes.get(_end(check), ""))
        return INTERNET if known in _EXIT else known
    return prefixes.get(_end(check), "")


def _source(check: Mapping[str, Any], assertions: tuple[str, ...]) -> str:
    return str(check.get("source") or "") if check.get("assertion") in assertions else ""


def _router(check: Mapping[str, Any]) -> str:
    if check.get("assertion") == "forwards":
        return str(check.get("source") or "")
    named = check.get("assertion") == "served" and _aspect(check)[0] in ("advertised", "approved")
    return str(check.get("target") or "") if named else ""


def _stage(check: Mapping[str, Any]) -> str:
    first, rest = _aspect(check)
    if check.get("assertion") == "egress":
        return ", ".join(part for part in (first, rest) if part)
    return rest or _PLAIN


def _parts(checks: Iterable[Check], name: Any) -> list[Part]:  # noqa: ANN401 - a function of a check
    groups: dict[str, list[Check]] = {}
    for check in checks:
        if found := name(check):
            groups.setdefault(found, []).append(check)
    return [Part(name=found, verdict=pairs.worst_verdict(group)) for found, group in groups.items()]
