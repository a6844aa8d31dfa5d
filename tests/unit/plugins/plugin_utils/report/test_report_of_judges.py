# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's tables are filled by what the judges really write, as the judges' own tests have recorded it."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import report_builder as builder
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import html, pairs, text
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import Report
from rich.console import Console

JUDGED = json.loads((Path(__file__).parents[1] / "judge/golden/checks.json").read_text(encoding="utf-8"))


def report_of(name: str) -> Report:
    """Return a report of one assertion between hosts of the builder's topology."""
    names = {"one": "client-node-1", "two": "client-node-2", "three": "client-node-3"}
    report = builder.passing()
    base = report.checks[0]
    report.checks = [{**base, **_renamed(check, names)} for check in JUDGED[name]]
    return report


def _renamed(check: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {**check, "source": "client-node-1", "target": names.get(check["target"], check["target"])}


@pytest.mark.parametrize("family", ["ipv4", "ipv6", None])
def test_the_latency_matrix_has_the_round_trips_of_the_family(family: str | None) -> None:
    report = report_of("reachable: healthy")

    cell = pairs.latencies(report, family)["client-node-1", "client-node-2"]

    assert (cell.value, cell.verdict) == (1.5, "passed")
    assert pairs.families(report) == ["ipv4", "ipv6"]
    assert ">1.5<" in html.render(report)


def test_the_summary_has_the_worst_round_trip_and_its_pair() -> None:
    report = report_of("reachable: healthy")
    for check in report.checks:
        if check["id"] == "us1.reachable.ipv6" and check["target"] == "client-node-2":
            check["observed"]["rtt_ms"][0] = 41.0

    found = pairs.latency(report)

    assert found is not None
    assert (found.worst_ms, found.worst_pair) == (41.0, ("client-node-1", "client-node-2"))


def test_the_resolution_matrix_has_the_time_to_the_answer() -> None:
    cells = pairs.resolutions(report_of("resolves: healthy"))

    assert cells["client-node-1", "client-node-2"].value is not None


def test_the_drawing_has_the_paths() -> None:
    assert {link.path for link in pairs.links(report_of("path: healthy"))} == {"direct"}


def bulk(source: str, target: str, up: float | None, down: float | None, verdict: str = "passed") -> dict[str, Any]:
    """Return the check of a transfer."""
    return {
        "id": "us1.reachable.bulk", "assertion": "reachable", "aspect": "bulk", "source": source, "target": target,
        "verdict": verdict, "observed": {"outcome": "answered", "up_mbit_s": up, "down_mbit_s": down},
    }  # fmt: skip


def report_with(*checks: dict[str, Any]) -> Report:
    """Return a report with other checks in place of a judge's."""
    report = report_of("reachable: healthy")
    base = report.checks[0]
    report.checks = [{**base, **check} for check in checks]
    return report


ONE, TWO, THREE = "client-node-1", "client-node-2", "client-node-3"


def test_the_rates_of_a_pair_are_the_lowest_of_its_direction_from_either_end() -> None:
    report = report_with(bulk(ONE, TWO, 80.0, 300.0), bulk(TWO, ONE, 250.0, 90.0), bulk(ONE, THREE, 700.0, 600.0))
    cells = pairs.transfers(report)
    assert {pair: cell.value for pair, cell in cells.items()} == {
        (ONE, TWO): 80.0, (TWO, ONE): 250.0, (ONE, THREE): 700.0, (THREE, ONE): 600.0,
    }  # fmt: skip
    found = pairs.rates(report)
    assert found is not None
    assert (found.median_mbit, found.slowest_mbit, found.slowest_pair, found.pairs) == (425.0, 80.0, (ONE, TWO), 4)


def test_the_page_and_the_terminal_tell_rates() -> None:
    report = report_with(bulk(ONE, TWO, 80.0, 300.0), bulk(ONE, THREE, None, None, "failed"))
    page = html.render(report)
    assert "lowest rate of a transfer in Mbit/s" in page
    assert f'<td class="h3" title="{ONE} → {TWO}: passed, 80 Mbit/s">80</td>' in page
    assert f"{ONE} → {THREE}: failed" in page
    assert "slowest 80 Mbit/s" in page
    out = Console(record=True, width=120, file=StringIO())
    text.summary(report, out)
    assert f"transfer median 190 Mbit/s, slowest 80 Mbit/s ({ONE} → {TWO}), 2 pairs" in out.export_text()


def test_without_a_transfer_nothing_is_said_of_rates() -> None:
    report = report_with(bulk(ONE, TWO, None, None, "skipped"))
    assert pairs.rates(report) is None
    assert "Transfers between" not in html.render(report)
