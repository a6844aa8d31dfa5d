# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell whether the machine of a host had too few cores for all that ran on it while it was probed.

Then replies are late and packets are lost on every path, and a verdict that depends on time blames the wrong thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .answer import Json, items, mapping, number

if TYPE_CHECKING:
    from .check import Check

# A thread that waited for a core as long as it computed was one of two that wanted it.
_SATURATED: Final = 2.0
# Less waiting says nothing: a probe starts with others at the same moment.
_WAITED_S: Final = 0.05
_STOLEN: Final = 0.2
# A probe whose threads, all together, waited for a smaller part of its time was late for another reason.
_WAITED: Final = 0.3
_LONG_S: Final = 1.0
MOST_PATIENT: Final = 3.0
# The aspects that time decides, by assertion; an error of any assertion may be one of time.
_TIMED: Final = {
    "reachable": frozenset(
        {"ipv4", "ipv6", "latency", "loss", "large", "tcp", "udp", "bulk", "steady", "stream", "flow"}
    ),
    "path": frozenset({""}),
}
_DOCTOR: Final = "doctor"
_TIMEOUT: Final = "timeout"
# Findings that rest on pings without a reply.
_LOST: Final = frozenset({("path", ""), ("mtu", ""), ("policy", "reach"), ("online", ""), ("online", "agree")})
_REPLIES_ELSEWHERE: Final = frozenset({"answered_by", "by"})


@dataclass(frozen=True, kw_only=True)
class Load:
    """How busy a host was while it was probed."""

    slowdown: float = 1.0
    """How many times longer the probe took to compute than on an idle machine."""
    waited_s: float = 0.0
    """How long the probe's threads waited for a core, all together."""
    stolen: bool = False
    """Whether a hypervisor took much of the cores' time."""
    said: str = ""
    """The figures in words; empty if the machine was not saturated."""

    @property
    def saturated(self) -> bool:
        """Whether the machine was saturated."""
        return bool(self.said)

    def explains(self, seconds: float) -> bool:
        """Whether this is why a probe took so many seconds: if it waited for an answer, its threads waited for no core."""
        return seconds >= _LONG_S and (self.stolen or self.waited_s >= _WAITED * seconds)

    @property
    def patience(self) -> float:
        """Return how many times longer checks may take because of it."""
        return min(MOST_PATIENT, max(1.0, self.slowdown / 2)) if self.saturated else 1.0


def load_of(answer: Json) -> Load:
    """Return how busy a host was, from a probe's answer; a host that does not say counts as idle."""
    return read_load(mapping(mapping(answer).get("host")).get("load"))


def read_load(figures: Json) -> Load:
    """Return how busy a host was, from its figures."""
    seen = mapping(figures)
    ran, waited = number(seen.get("ran_s")), number(seen.get("waited_s"))
    slowdown = 1.0
    if ran is not None and waited is not None and ran > 0 and waited >= 0:
        slowdown = (ran + waited) / ran
    stolen = number(seen.get("stolen")) or 0.0
    busy = slowdown >= _SATURATED and (waited or 0.0) >= _WAITED_S
    if not busy and stolen < _STOLEN:
        return Load(slowdown=slowdown, waited_s=waited or 0.0)
    parts = []
    if busy:
        parts.append(f"the probe waited {waited:.2g} s for a core to compute for {ran:.2g} s")
    if (load := number(seen.get("load"))) is not None and (cores := number(seen.get("cores"))):
        parts.append(f"load {load:.3g} on {int(cores)} {'core' if cores == 1 else 'cores'}")
    if stolen >= _STOLEN:
        parts.append(f"the hypervisor took {100 * stolen:.0f} % of their time")
    return Load(slowdown=slowdown, waited_s=waited or 0.0, stolen=stolen >= _STOLEN, said=", ".join(parts))


def busier(one: Load, other: Load) -> Load:
    """Return which of two moments had the busier machine."""
    return max(one, other, key=lambda load: load.slowdown if load.saturated else 0.0)


def blame_load(check: Check, load: Load) -> None:
    """Say in a bad check that time decides that the machine was saturated, before any other cause."""
    if not (load.saturated and check.bad and _timed(check)):
        return
    check.evidence["saturated"] = f"the machine was saturated: {load.said}"
    check.hint = f"the machine was saturated, and that alone may explain this; if the check also fails on an idle machine: {check.hint}"


def slow(check: Check) -> bool:
    """Whether a finding of the doctor may only mean that something took too long."""
    if (check.assertion, check.aspect) in _LOST:
        # Packets that pass although they must not prove something at any speed, and so do shields.
        passing = mapping(check.observed).get("open") or mapping(check.observed).get("not_as_expected")
        # A node that answers by the other address family was fast enough.
        blocked = items(mapping(check.observed).get("blocked"))
        one_family = bool(blocked) and all(str(entry).endswith(")") for entry in blocked)
        return not passing and not check.evidence.get("shields_up") and not one_family
    seen = [*mapping(check.observed).values(), *mapping(check.evidence).values()]
    return _TIMEOUT in seen or (check.verdict == "error" and check.late is True)


def _timed(check: Check) -> bool:
    if check.evidence.get("because"):
        return False
    if check.story == _DOCTOR:
        return slow(check)
    if check.verdict == "error" or check.late is not None:
        return check.late is True
    if check.evidence.get("refused") or check.evidence.get("refused_by"):
        return False
    known = mapping(check.observed)
    return check.aspect.partition(".")[0] in _TIMED.get(check.assertion, ()) and not _REPLIES_ELSEWHERE & set(known)
