# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draw the steps of `why`: a line for each, and the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import lines

STORY = "why"
_STYLES = {"passed": "", "failed": "bold", "error": "bold", "skipped": "dim"}
_FAMILIES = {"ipv4": " (IPv4)", "ipv6": " (IPv6)"}


def answer(checks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the answer that the last step carries, empty if there is none."""
    found = [check["evidence"].get("answer") for check in checks if check["story"] == STORY]
    return next((known for known in reversed(found) if isinstance(known, dict)), {})


def headline(checks: Sequence[Mapping[str, Any]]) -> str:
    """Return the answer in one sentence, empty if nothing was asked."""
    return str(answer(checks).get("headline") or "")


def name(check: Mapping[str, Any]) -> str:
    """Return the name of a step, with its address family if it is about one only."""
    return str(check["assertion"]).replace("_", " ") + _FAMILIES.get(str(check.get("family") or ""), "")


def said(check: Mapping[str, Any]) -> str:
    """Return what a step came to."""
    return str(check["observed"] if check["verdict"] == "passed" else check["hint"] or check["observed"] or "")


def rows(checks: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Return mark, name, sentence and style of each step, and of the command that shows a failure again."""
    found = []
    for check in checks:
        verdict = str(check["verdict"])
        found.append((lines.MARKS.get(verdict, "?"), name(check), said(check), _STYLES.get(verdict, "")))
        if verdict == "failed" and check.get("reproduce"):
            found.append(("", "", f"again: {check['reproduce']}", "dim"))
    return found


def as_data(checks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the answer with its steps, as `meshctl why --json` prints it."""
    made = [check for check in checks if check["story"] == STORY]
    failing = next((check for check in made if check["verdict"] == "failed"), None)
    return {
        **answer(made),
        "failed_step": str(failing["assertion"]) if failing else None,
        "steps": [_step(check) for check in made],
    }


def _step(check: Mapping[str, Any]) -> dict[str, Any]:
    states = {"passed": "passed", "failed": "failed", "error": "unknown", "skipped": "unknown"}
    skipped = check["verdict"] == "skipped" and str(check["hint"]).startswith("not examined")
    return {
        "step": check["assertion"],
        "family": check.get("family"),
        "state": "not_examined" if skipped else states.get(str(check["verdict"]), "unknown"),
        "said": said(check),
        "evidence": {key: value for key, value in check["evidence"].items() if key != "answer"},
        "reproduce": check.get("reproduce") or "",
    }
