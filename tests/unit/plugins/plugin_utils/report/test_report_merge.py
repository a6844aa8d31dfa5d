# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reports of slices become the report that the run would have had without slices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model, text
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report.merge import merge
from hypothesis import given
from hypothesis import strategies as st
from report_builder import passing


def _key(check: dict[str, Any]) -> tuple[str, ...]:
    return check["id"], check["source"], str(check["target"]), check["verdict"]


def _only(report: model.Report, keep: Any) -> model.Report:
    """Return the part of a report that a slice would have made."""
    checks = [check for check in report.checks if keep(check)]
    stories = [
        replace(one, counts=model.Counts.of(c for c in checks if c["story"] == one.id)) for one in report.stories
    ]
    return replace(report, checks=checks, stories=stories, counts=model.Counts.of(checks))


def _sliced(report: model.Report, count: int) -> list[model.Report]:
    sources = sorted({check["source"] for check in report.checks})
    return [
        _only(report, lambda check, n=number: sources.index(check["source"]) % count == n) for number in range(count)
    ]


@given(count=st.integers(1, 5))
def test_slices_together_are_the_whole(count: int) -> None:
    whole = passing()
    merged = merge(_sliced(whole, count), run_id=whole.run_id)
    assert sorted(map(_key, merged.checks)) == sorted(map(_key, whole.checks))
    assert merged.counts == whole.counts
    assert [(s.id, s.verdict, s.counts) for s in merged.stories] == [(s.id, s.verdict, s.counts) for s in whole.stories]
    assert (merged.verdict, merged.hosts, merged.versions) == (whole.verdict, whole.hosts, whole.versions)
    model.validate(merged.as_dict())


def test_a_check_of_two_slices_is_there_once_with_the_worst_verdict() -> None:
    one = passing()
    first = one.checks[0]
    other = replace(one, checks=[{**first, "verdict": "failed", "hint": "why"}])
    merged = merge([one, other], run_id="r")
    same = [check for check in merged.checks if _key(check)[:3] == _key(first)[:3]]
    assert [(check["verdict"], check["hint"]) for check in same] == [("failed", "why")]
    assert merged.verdict == "failed"
    assert len(merged.checks) == len(one.checks)


def test_a_check_that_one_slice_made_twice_stays_twice() -> None:
    one = passing()
    twice = replace(one, checks=[*one.checks, one.checks[0]])
    assert len(merge([twice, one], run_id="r").checks) == len(one.checks) + 1


def test_an_interrupted_slice_interrupts_the_whole() -> None:
    one = passing()
    story = replace(one.stories[-1], verdict="interrupted")
    stopped = replace(one, verdict="interrupted", stories=[*one.stories[:-1], story])
    merged = merge([one, stopped], run_id="r")
    assert merged.verdict == "interrupted"
    assert [story.verdict for story in merged.stories] == ["passed", "passed", "passed", "interrupted"]


def test_a_slice_with_nothing_but_skipped_checks_spoils_nothing() -> None:
    one = passing()
    skipped = [{**check, "verdict": "skipped", "source": "other"} for check in one.checks[:3]]
    idle = _only(replace(one, checks=skipped, verdict="error"), lambda _check: True)
    assert merge([one, idle], run_id="r").verdict == "passed"


def test_a_slice_that_ended_early_without_a_bad_check_is_an_error() -> None:
    one = passing()
    assert merge([one, replace(one, verdict="error")], run_id="r").verdict == "error"


@pytest.mark.parametrize(
    "fields",
    [
        {"checks": []},
        {
            "notes": [
                model.Note(story="us1", host="h", task="report", message="the report is incomplete", kind="report")
            ]
        },
    ],
)
def test_a_slice_that_proved_nothing_is_an_error(fields: dict[str, Any]) -> None:
    one = passing()
    skipped = [{**check, "verdict": "skipped", "source": "other"} for check in one.checks]
    lost = _only(replace(one, **{"checks": skipped, "verdict": "error", **fields}), lambda _check: True)
    assert merge([one, lost], run_id="r").verdict == "error"


def test_a_story_that_is_not_supported_is_stated_once() -> None:
    one = passing()
    reason = {**one.checks[0], "id": "us3.supported", "story": "us3", "assertion": "supported", "verdict": "skipped"}
    slices = [replace(one, checks=[{**reason, "source": source}]) for source in ("client-node-1", "client-node-2")]
    assert merge(slices, run_id="r").counts.total == 1


def test_the_sample_of_pairs_is_that_of_the_slice_that_read_the_nodes() -> None:
    one = passing()
    subnets = {"checked": 2, "of": 2}
    pairs = {"checked": 6, "of": 12, "per_node": 1, "seed": 0, "runs": 2, "subnet_pairs": subnets}
    merged = merge([one, replace(one, pairs=pairs)], run_id="r")
    assert merged.pairs == pairs
    model.validate(merged.as_dict())
    assert "sample" in text.as_text(merged, width=100)
    assert not merge([one, one], run_id="r").pairs


def test_a_slice_that_did_not_come_to_a_story_leaves_it_to_the_others() -> None:
    one = passing()
    short = replace(one, stories=one.stories[:1], not_run=["us2", "us3", "us4", "us9"])
    assert merge([short, one], run_id="r").not_run == ["us9"]


def test_versions_of_all_slices_are_named() -> None:
    one, other = passing(), passing()
    merged = merge([one, replace(other, versions={**other.versions, "tailscale": "1.98.0"})], run_id="r")
    assert merged.versions["tailscale"] == "1.102.5, 1.98.0"


def test_reports_of_two_meshes_are_refused() -> None:
    one = passing()
    other = replace(one, run_id="b", inventory={**one.inventory, "lab_name": "office"})
    with pytest.raises(
        BadInput, match=r"b is not a slice of the same mesh as .*: its lab_name is 'office', not 'seed'"
    ):
        merge([one, other], run_id="r")


def _of(run_id: str, url: str | None) -> model.Report:
    """Return the report of existing hosts with this control server."""
    stated = {"server_url": url} if url else {}
    return replace(passing(), run_id=run_id, inventory={"source": [], "backend": "hosts", "lab_name": "seed", **stated})


@pytest.mark.parametrize(
    "urls", [("https://a.example", "https://b.example"), (None, "https://a.example", "https://b.example")]
)
def test_reports_of_two_servers_are_refused(urls: tuple[str | None, ...]) -> None:
    reports = [_of(f"r{number}", url) for number, url in enumerate(urls)]
    with pytest.raises(BadInput, match=r"its server_url is 'https://b\.example', not 'https://a\.example'"):
        merge(reports, run_id="r")


@pytest.mark.parametrize("other", [None, "https://a.example"])
def test_a_report_that_states_no_server_is_not_refused(other: str | None) -> None:
    merged = merge([_of("r1", other), _of("r2", "https://a.example")], run_id="r")
    model.validate(merged.as_dict())
