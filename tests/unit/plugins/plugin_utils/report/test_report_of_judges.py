# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's tables are filled by what the judges really write, as the judges' own tests have recorded it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import report_builder as builder
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import html, pairs
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.model import Report

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
