# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Walk the steps in order, and say what the first one that fails is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._judge.check import Check
from .._judge.context import CheckContext
from .case import Case, Finding
from .steps import host, mesh, packets

STORY = "why"
NOT_EXAMINED = "not examined"

_WORKS = "; but the connection works"
_Whole = Callable[[Case], Finding]
_PerFamily = Callable[[Case, int], Finding]


@dataclass(frozen=True)
class Step:
    """A step with its finding, or with none if an earlier step failed."""

    name: str
    finding: Finding | None
    family: int | None = None


def _steps(case: Case) -> Iterator[tuple[str, _Whole | _PerFamily, bool]]:
    """Return name and judge of each step, and whether it differs by address family."""
    yield "registered", mesh.registered, False
    yield "client", mesh.client, False
    yield "policy", mesh.policy, True
    if case.routed:
        yield "subnet", mesh.subnet, False
    yield "netmap", mesh.netmap, False
    yield "packet_filter", mesh.packet_filter, True
    yield "route", packets.route, True
    yield "path", packets.path, False
    yield "sent", packets.sent, True
    yield "arrived", packets.arrived, True
    yield "firewall", host.firewall, True
    if case.question.service.port:
        yield "listener", host.listener, True
    yield "connection", host.connection, True


def walk(case: Case) -> list[Step]:
    """Return every step; those behind the first one that fails, for a family, are not examined."""
    found: list[Step] = []
    lost: set[int] = set()
    for name, judge, by_family in _steps(case):
        if not by_family:
            step = _whole(name, judge, case, lost)
            found.append(step)
            if step.finding and step.finding.state == "failed":
                lost |= {*case.families}
            continue
        each = {family: _one(judge, case, family) for family in case.families if family not in lost}
        found += _merged(name, each, [family for family in case.families if family in lost])
        lost |= {family for family, finding in each.items() if finding.state == "failed"}
    return found


def _whole(name: str, judge: Any, case: Case, lost: set[int]) -> Step:  # noqa: ANN401
    # A question between nodes that share no family has steps without one only.
    if lost and lost >= {*case.families}:
        return Step(name, None)
    return Step(name, _tempered(judge(case), connected=case.any_connected))


def _one(judge: Any, case: Case, family: int) -> Finding:  # noqa: ANN401
    return _tempered(judge(case, family), connected=case.connected(family))


def _tempered(finding: Finding, *, connected: bool) -> Finding:
    """Return a finding that does not contradict a connection which works."""
    if finding.state != "failed" or not connected:
        return finding
    return replace(finding, state="unknown", said=f"{finding.said}{_WORKS}")


def _merged(name: str, each: dict[int, Finding], lost: Sequence[int]) -> Iterator[Step]:
    """Return one step where both families came to the same, else one for each."""
    findings = list(each.values())
    if not findings:
        yield Step(name, None)
    elif len({finding.state for finding in findings}) == 1 and not lost:
        said = list(dict.fromkeys(finding.said for finding in findings))
        evidence = {f"ipv{family}": dict(finding.evidence) for family, finding in each.items() if finding.evidence}
        yield Step(name, replace(findings[0], said="; ".join(said), evidence=evidence))
    else:
        yield from (Step(name, finding, family) for family, finding in each.items())


def first_failed(steps: Sequence[Step]) -> Step | None:
    """Return the first step that fails."""
    return next((step for step in steps if step.finding and step.finding.state == "failed"), None)


def headline(case: Case, steps: Sequence[Step]) -> str:
    """Return the answer in one sentence."""
    pair = f"{case.question.source.name} {{}} {case.question.target.name}"
    what = f" ({case.what})"
    if not case.families and not first_failed(steps):
        return f"{pair.format('shares no address family with')}"
    failed = first_failed(steps)
    if failed and failed.finding:
        working = [family for family in case.families if case.connected(family)]
        by = f" by IPv{failed.family}, but does by IPv{working[0]}" if working else ""
        return f"{pair.format('cannot reach')}{what}{by}: {failed.name}: {failed.finding.said}"
    last = steps[-1].finding
    if last and last.state == "passed":
        return f"{pair.format('reaches')}{what}: {last.said}{_although(steps)}"
    hidden = next((step for step in steps if step.finding and step.finding.state == "unknown"), steps[-1])
    return f"whether {pair.format('reaches')}{what} is not known: {hidden.finding.said if hidden.finding else NOT_EXAMINED}"


def _although(steps: Sequence[Step]) -> str:
    """Return what the policy or the packet filter says against a connection that works."""
    against = [step.finding for step in steps if step.name in ("policy", "packet_filter") and step.finding]
    said = dict.fromkeys(one.said.removesuffix(_WORKS) for one in against if one.said.endswith(_WORKS))
    return f"; yet {'; '.join(said)}" if said else ""


def reachable(case: Case, steps: Sequence[Step]) -> bool | None:
    """Return whether the source reaches the target; None if that is not known."""
    if first_failed(steps) or not case.families:
        return False
    last = [step for step in steps if step.name == "connection"]
    return True if all(step.finding and step.finding.state == "passed" for step in last) else None


def checks(case: Case, steps: Sequence[Step], shells: dict[str, str]) -> list[Check]:
    """Return a check for each step; the last one carries the answer."""
    found = [_check(case, step, shells) for step in steps]
    reached = reachable(case, steps)
    answer = {
        "source": case.question.source.name,
        "target": case.question.target.name,
        "service": case.what,
        "reachable": reached,
        "headline": headline(case, steps),
    }
    last = found[-1]
    last.evidence["answer"] = answer
    if reached is None:
        last.verdict, last.hint = "error", str(answer["headline"])
    elif not reached and not any(check.bad for check in found):
        last.verdict, last.hint = "failed", str(answer["headline"])
    return found


def _check(case: Case, step: Step, shells: dict[str, str]) -> Check:
    question, finding = case.question, step.finding
    shell = shells.get(finding.host, "") if finding else ""
    context = CheckContext(story=STORY, assertion=step.name, source=question.source.name, shell=shell)
    target = question.target.name
    if finding is None or finding.state == "unknown":
        reason = finding.said if finding else f"{NOT_EXAMINED}, because an earlier step fails"
        check = context.skipped(reason, family=step.family, target=target)
        check.evidence = dict(finding.evidence) if finding else {}
        return check
    return context.check(
        finding.state == "passed",
        family=step.family,
        target=target,
        expected="works",
        observed=finding.said if finding.state == "passed" else "fails",
        evidence=finding.evidence,
        hint=finding.said,
        command=finding.command if finding.host in shells else "",
    )
