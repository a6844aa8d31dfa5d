# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find out which findings are over although no check passed: some checks are made only while something is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from meshctl_headscale._history.facts import Facts

Key = tuple[str, str, str]

_ONLY_BAD = re.compile(
    r"[^.]+\.(host_reachable|task|playbook)"
    r"|doctor\.(network|start|database\.space|interface\.taken|relay\.admission|hardening\..+)"
)
# About a client, this is a finding; without a target, it is an ordinary check of the server.
_ONLY_BAD_OF_TARGET = "doctor.prefixes"
# The report's own story, of what failed outside of all others.
_OUTSIDE = "playbook"
_JUDGED = ("passed", "failed")


def over(bad: Iterable[Key], facts: Facts) -> Iterator[Key]:
    """Yield those of the bad checks, absent in this run, that it would have made again if they were still bad."""
    found = [key for key in bad if _ONLY_BAD.fullmatch(key[0]) or (key[0] == _ONLY_BAD_OF_TARGET and key[2])]
    judged = _judged(facts) if found and facts.complete else set()
    for key in found:
        if _places(key) <= judged:
            yield key


def _places(key: Key) -> set[tuple[str, str]]:
    """Return in which story, or assertion, which host must have been judged. An empty text means any."""
    check, source, target = key
    story, assertion = check.split(".")[:2]
    if assertion == "playbook":
        source = ""
    if story == _OUTSIDE:
        story = ""
    if assertion == "hardening":
        story = f"{story}.{assertion}"
    return {(story, source), (story, target)} if check == _ONLY_BAD_OF_TARGET else {(story, source)}


def _judged(facts: Facts) -> set[tuple[str, str]]:
    found = set()
    for check in facts.checks:
        if check.verdict in _JUDGED:
            story, assertion = [*check.id.split("."), ""][:2]
            found |= {(part, host) for part in ("", story, f"{story}.{assertion}") for host in ("", check.source)}
    return found
