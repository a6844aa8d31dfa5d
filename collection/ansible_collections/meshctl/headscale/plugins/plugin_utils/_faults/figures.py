# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Count the outcomes of drills, keep them in a data file, and make the documentation's table of faults."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...module_utils._errors import BadInput
from .catalogue import Fault

COLUMNS = ("story", "expected", "caught", "cause named", "false alarms", "recovered", "time")
_KEPT = ("caught", "named", "false_alarms", "recovered", "good", "seconds")

Row = Mapping[str, Any]


def total(outcomes: Iterable[Row]) -> dict[str, Any]:
    """Return the figures of a drill."""
    rows = list(outcomes)
    return {
        "faults": len(rows),
        "caught": sum(row["caught"] for row in rows),
        "named": sum(row["named"] for row in rows),
        "false_alarms": sum(_alarms(row) for row in rows),
        "recovered": sum(row["recovered"] for row in rows),
        "good": sum(row["good"] for row in rows),
        "seconds": round(sum(row["seconds"] for row in rows), 1),
    }


def sentence(figures: Mapping[str, Any]) -> str:
    """Return the figures of a drill as a sentence."""
    share = 100 * figures["named"] / figures["faults"] if figures["faults"] else 0
    return (
        f"{figures['faults']} faults: {figures['caught']} caught, {figures['named']} causes named ({share:.0f} %), "
        f"{figures['false_alarms']} false alarms, {figures['recovered']} recovered, {figures['seconds'] / 60:.0f} min."
    )


def marks(outcome: Row) -> list[str]:
    """Return the cells of an outcome for people."""
    alarms = _alarms(outcome)
    return [
        _yes(outcome["caught"]),
        _yes(outcome["named"]),
        str(alarms) if alarms else "none",
        _yes(outcome["recovered"]),
        f"{outcome['seconds']:.0f} s",
    ]


def update(path: Path, outcomes: Iterable[Row], known: Iterable[str]) -> dict[str, Row]:
    """Bring a data file up to date; the figures of other faults stay, those of unknown faults go."""
    before = read(path)
    fresh = {str(row["id"]): {key: _plain(row, key) for key in _KEPT} for row in outcomes}
    merged = {**before, **fresh}
    rows = {name: merged[name] for name in known if name in merged}
    lines = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()]
    try:
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    except OSError as exc:
        raise BadInput(f"the figures cannot be written to {path}: {exc.strerror}; name a writable file") from None
    return rows


def read(path: Path) -> dict[str, Row]:
    """Return the figures of a data file by fault, empty when there is none; raise `BadInput`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not all(
            isinstance(row, dict) and set(_KEPT) <= set(row) for row in found.values()
        ):
            raise ValueError("an entry is not the outcome of a drill")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise BadInput(f"{path} is not a file of a drill's figures: {exc}; name another file") from None
    return found


def page(faults: Iterable[Fault], titles: Mapping[str, str], figures: Mapping[str, Row]) -> Iterator[str]:
    """Yield the lines of the reference of faults: a table for each family."""
    faults = list(faults)
    drilled = [figures[fault.id] for fault in faults if fault.id in figures]
    yield from ("# Catalogue of faults", "", f"The last drill of {_some(drilled, faults)}: {sentence(total(drilled))}")
    if len(drilled) < len(faults):
        yield from (
            "",
            f"No figures are kept yet of the other {len(faults) - len(drilled)} faults; they have dashes below.",
        )
    for family, title in titles.items():
        yield from ("", f"## {family.capitalize()}", "", f"{title}.", "")
        yield f"| fault | description | {' | '.join(COLUMNS)} |"
        yield "|---" * (len(COLUMNS) + 2) + "|"
        for fault in faults:
            if fault.family == family:
                cells = marks(figures[fault.id]) if fault.id in figures else ["-"] * 5
                yield f"| `{fault.id}` | {fault.title} | {fault.story} | {fault.verdict} | {' | '.join(cells)} |"


def _some(drilled: Sequence[Row], faults: Sequence[Fault]) -> str:
    return f"{len(drilled)} of the {len(faults)} faults" if len(drilled) < len(faults) else "each fault"


def _alarms(row: Row) -> int:
    alarms: int | Sequence[str] = row["false_alarms"]
    return alarms if isinstance(alarms, int) else len(alarms)


def _plain(row: Row, key: str) -> Any:  # noqa: ANN401 - a boolean or a number
    return _alarms(row) if key == "false_alarms" else row[key]


def _yes(value: bool) -> str:
    return "yes" if value else "NO"
