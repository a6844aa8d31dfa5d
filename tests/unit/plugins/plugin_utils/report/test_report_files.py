# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a run directory, byte for byte and as a whole."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import stat
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import report_builder as builder
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import heat, html, junit, model, policy, rundir

GOLDEN = Path(__file__).parent / "golden"
MEGABYTE = 1 << 20
SECRET = "hskey-auth-AbCdEf012345-" + "x" * 64
VOID = {"meta", "rect", "br"}


class Balanced(HTMLParser):
    """Sees that every element that is opened is closed, and which there are."""

    def __init__(self, page: str) -> None:
        """Read the whole page."""
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that opens."""
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that opens and closes."""
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """See that the element that closes is the one that opened last."""
        assert self.open.pop() == tag


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESHCTL_RUNS_DIR", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.mark.parametrize("name", ["passing", "failing"])
def test_report_and_junit_are_as_recorded(name: str, runs: Path) -> None:
    """Set MESHCTL_UPDATE_GOLDEN to record them anew, and read the difference."""
    directory = rundir.make(name, builder.START)
    _, problems = rundir.write(getattr(builder, name)(), directory)
    assert problems == []
    for file in ("report.json", "junit.xml"):
        recorded = GOLDEN / f"{name}.{file}"
        written = (directory / file).read_text()
        if os.environ.get("MESHCTL_UPDATE_GOLDEN"):
            recorded.parent.mkdir(exist_ok=True)
            recorded.write_text(written)
        assert written == recorded.read_text()


def test_junit_has_a_suite_per_story_and_a_case_per_check() -> None:
    report = builder.failing()
    report.checks[0]["hint"] = "control \x00 character & <tag>"
    root = ElementTree.fromstring(junit.render(report))  # noqa: S314 - our own output
    *suites, lacking = root.findall("testsuite")
    assert [(case.get("name"), [one.tag for one in case]) for case in lacking] == [
        ("us2", ["skipped"]),
        ("us3", ["skipped"]),
    ]
    assert [suite.get("time") for suite in suites] == [str(story.duration_s) for story in report.stories]
    assert [int(suite.get("tests", 0)) for suite in suites] == [story.counts.total for story in report.stories]
    assert (int(root.get("failures", 0)), int(root.get("errors", 0))) == (report.counts.failed, report.counts.error)
    failure = root.find(".//testcase[@classname='us4.resolves']/failure")
    assert failure is not None and "/etc/hosts on client-node-1" in (failure.get("message") or "")
    assert "observed: " in (failure.text or "") and "reproduce: meshctl exec" in (failure.text or "")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"verdict": "interrupted", "not_run": ["us4"]}, "The run was interrupted."),
        ({"verdict": "error"}, "The run did not finish, or its report is incomplete."),
        ({"verdict": "error", "notes": ["the report is incomplete: KeyError"]}, "the report is incomplete: KeyError"),
        ({"verdict": "error", "checks": [], "counts": model.Counts()}, "No check passed, so the run proved nothing."),
    ],
)
def test_junit_of_a_run_without_a_verdict_of_its_checks_is_an_error(fields: dict[str, Any], said: str) -> None:
    notes = [
        model.Note(story="us1", host="localhost", task="report", message=text, kind="report")
        for text in fields.get("notes", ())
    ]
    report = replace(builder.passing(), **{**fields, "notes": notes})
    root = ElementTree.fromstring(junit.render(report))  # noqa: S314 - our own output
    (error,) = root.findall("testsuite[@name='run']/testcase[@classname='run']/error")
    assert error.get("message") == said
    assert (int(root.get("errors", 0)), int(root.get("failures", 0))) == (1, 0)
    names = [case.get("name") for case in root.findall("testsuite[@name='run']/testcase")]
    assert names == ["complete", *report.not_run]


@pytest.mark.parametrize("report", [builder.passing(), replace(builder.failing(), not_run=[])])
def test_junit_of_a_whole_run_has_stories_only(report: model.Report) -> None:
    root = ElementTree.fromstring(junit.render(report))  # noqa: S314 - our own output
    assert len(root.findall("testsuite")) == len(report.stories)
    assert not root.findall("testsuite[@name='run']")


@pytest.mark.parametrize(("report", "failures"), [(builder.passing(40), 0), (builder.failing(40), 500)])
def test_junit_of_many_nodes_puts_together_what_a_host_asserted_alike(report: model.Report, failures: int) -> None:
    root = ElementTree.fromstring(junit.render(report))  # noqa: S314 - our own output
    us1 = root.findall("testsuite")[0]
    assert int(us1.get("tests", 0)) < len(report.of_story("us1")) / 2
    alike = us1.find("./testcase[@classname='us1.reachable.ipv4'][@name='client-node-9 -> 38 hosts']")
    whole = us1.find("./testcase[@classname='us1.reachable.ipv4'][@name='client-node-9 -> 39 hosts']")
    assert (whole if not failures else alike) is not None
    assert bool(root.findall(".//failure")) == bool(failures)


@pytest.mark.parametrize(
    "report",
    [
        builder.passing(),
        builder.passing(3, ("client-node-3",)),
        builder.failing(),
        builder.passing(20),
        model.Report(
            run_id="x",
            started="2026-11-22T21:30:00Z",
            finished="2026-11-22T21:30:00Z",
            inventory={"source": [], "backend": "", "lab_name": ""},
        ),
    ],
    ids=["passing", "relayed", "failing", "twenty", "empty"],
)
def test_the_page_is_whole_and_stands_alone(report: model.Report) -> None:
    page = html.render(report)
    seen = Balanced(page).seen
    tags = {tag for tag, _ in seen}
    assert not tags & {"link", "img", "iframe", "object"}
    (allowed,) = (attrs["content"] for _, attrs in seen if attrs.get("http-equiv") == "Content-Security-Policy")
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert allowed == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert not any(key.startswith("on") or key in ("src", "href") for _, attrs in seen for key in attrs)
    assert "@media screen and (prefers-color-scheme:dark)" in page and "@media print" in page
    assert all(attrs.get("role") == "img" and attrs.get("aria-labelledby") for tag, attrs in seen if tag == "svg")
    assert all(attrs.get("scope") in ("col", "row") for tag, attrs in seen if tag == "th")


def test_the_page_shows_failures_with_all_that_helps() -> None:
    report = builder.failing()
    page = html.render(report)
    for check in report.bad_checks:
        assert check["id"] in page
    for text in ("/etc/hosts on client-node-1", "getent ahosts client-node-3.mesh.internal", "100.64.0.77"):
        assert text in page
    assert page.index("What failed") < page.index("Topology and paths")


def test_what_hosts_say_cannot_become_part_of_the_page() -> None:
    report = builder.failing()
    evil = "<script>alert(1)</script><b>"
    report.bad_checks[0].update(hint=evil, observed={"x": evil}, evidence={"y": evil}, reproduce=evil, source=evil)
    page = html.render(report)
    assert page.count("<script") == html.render(builder.failing()).count("<script") and "&lt;script&gt;" in page


def test_the_data_of_the_search_cannot_end_its_element() -> None:
    report = builder.passing(70)
    report.topology["hosts"]["</script><b>"] = report.topology["hosts"].pop("client-node-7")
    data = json.loads(re.findall(r'id="pairs">(.*?)</script>', html.render(report), re.DOTALL)[0])
    assert data["names"] == list(report.hosts)
    assert len(data["pairs"]) == 69 * 68


def test_the_search_knows_every_pair_of_many_nodes() -> None:
    report = builder.passing(70, ("client-node-7",))
    data = json.loads(re.findall(r'id="pairs">(.*?)</script>', html.render(report), re.DOTALL)[0])
    number = {name: index for index, name in enumerate(data["names"])}
    (found,) = (pair for pair in data["pairs"] if pair[:2] == [number["client-node-7"], number["client-node-12"]])
    assert found[2] == "passed" and found[3] > 24 and found[4] == "relay"


def test_a_map_of_many_nodes_has_blocks_of_nodes_and_the_worst_pairs_first() -> None:
    report = builder.failing(70)
    (first, *_rest) = heat.grids(report)
    assert len(first.names) < 40 and first.names[0] == "subnet-a"
    assert {square.style for _name, row in first.rows for square in row} >= {"failed", "error"}
    assert first.worst[0].verdict == "failed" and "→ client-node-2" in first.worst[0].pair
    titles = [square.title for _name, row in first.rows for square in row]
    assert any("pairs are bad, worst client-node-" in title for title in titles)
    page = html.render(report)
    assert len(page) < MEGABYTE
    Balanced(re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))


def test_blocks_follow_the_subnets_as_long_as_these_are_few() -> None:
    report = builder.passing(70)
    names = [name for name in report.hosts if name.startswith("client-node-") and name != "client-node-spare"]
    few = heat.blocks(names, report)
    assert few["client-node-1"] == "subnet-a"
    for number, name in enumerate(names):
        report.hosts[name]["subnet"] = f"subnet-{number}"
    many = heat.blocks(names, report)
    assert many["client-node-1"] == "client-node-1 … client-node-3"
    assert len(set(many.values())) == 24


def test_the_policy_of_many_nodes_is_told_without_a_map() -> None:
    report = builder.passing(70)
    one = {**report.checks[0], "assertion": "policy", "aspect": "stated.tcp", "verdict": "passed"}
    one |= {"expected": {"open": "22", "closed": ""}, "observed": {"open": "22"}}
    names = [name for name in report.hosts if name.startswith("client-node-")]
    report.checks = [{**one, "source": a, "target": b} for a, b in pairwise(names)]
    (picture,) = policy.pictures(report)
    assert (picture.rows, picture.tried.allowed) == ([], len(names) - 1)
    assert "70 allowed and answered" in html.render(report)


def test_failures_of_many_nodes_do_not_fill_the_page() -> None:
    report = builder.passing(40)
    for number, check in enumerate(report.of_story("us1")):
        check.update(verdict="failed", hint=f"for the reason {number}")
    page = html.render(report)
    assert len(page) < 2 * MEGABYTE
    assert "more are in report.json" in page


@pytest.mark.parametrize("report", [builder.passing(50, ("client-node-7",)), builder.failing(50)], ids=["ok", "bad"])
def test_fifty_nodes_stay_readable(report: model.Report) -> None:
    page = html.render(report)
    assert len(page) < 5 * MEGABYTE
    assert 'class="grid dense"' in page
    assert page.count("<article") < 61
    assert len(junit.render(report)) < 5 * MEGABYTE


def test_relayed_pairs_are_drawn_over_the_relay() -> None:
    direct, relayed = html.render(builder.passing()), html.render(builder.passing(3, ("client-node-3",)))
    assert (direct.count('class="path direct"'), direct.count('class="path relay"')) == (3, 0)
    assert (relayed.count('class="path direct"'), relayed.count('class="path relay"')) == (1, 3)
    assert "NAT easy / hard" in relayed


def test_no_secret_reaches_any_file() -> None:
    report = builder.failing()
    report.bad_checks[0].update(hint=SECRET, observed={SECRET: SECRET}, evidence={"log": [SECRET]}, reproduce=SECRET)
    report.checks[-1]["evidence"] = {"log": SECRET}
    directory = rundir.make("us1", builder.START)
    clean, problems = rundir.write(report, directory)
    assert problems == []
    assert not any(SECRET in file.read_text() for file in directory.iterdir())
    assert SECRET not in json.dumps(clean.as_dict())


def test_a_run_directory_is_private_and_new_each_time(runs: Path) -> None:
    first, second = (rundir.make("us 1/..", builder.START) for _ in range(2))
    assert (first.name, second.name) == ("20261122T213000Z-us-1-..", "20261122T213000Z-us-1-..-2")
    assert stat.S_IMODE(first.stat().st_mode) == stat.S_IRWXU


def test_latest_points_to_the_newest_run(runs: Path) -> None:
    for name in ("us1", "us2"):
        rundir.write(builder.passing(), rundir.make(name, builder.START))
    assert (runs / "latest").readlink() == Path("20261122T213000Z-us2")
    assert model.load(runs / "latest").verdict == "passed"


def test_nothing_is_linked_elsewhere_and_no_file_is_replaced_by_a_link(runs: Path, tmp_path: Path) -> None:
    rundir.write(builder.passing(), rundir.make("", builder.START, named=str(tmp_path / "mine")))
    assert not (tmp_path / "latest").exists()
    runs.mkdir()
    (runs / "latest").write_text("mine")
    _, problems = rundir.write(builder.passing(), rundir.make("us1", builder.START))
    assert problems == []
    assert (runs / "latest").read_text() == "mine"


def test_what_cannot_be_written_is_said_and_the_rest_is_written(runs: Path) -> None:
    directory = rundir.make("us1", builder.START)
    (directory / "junit.xml").mkdir()
    _, problems = rundir.write(builder.passing(), directory)
    assert len(problems) == 1 and problems[0].startswith("junit.xml was not written: ")
    assert (directory / "report.html").is_file() and (directory / "report.json").is_file()
    assert not [file for file in directory.iterdir() if file.name.startswith(".")]


def test_hosts_of_which_little_is_known_do_not_break_the_page() -> None:
    report = builder.failing()
    report.topology["hosts"] = {"client-node-1": {"mesh_addresses": ["100.64.0.1"]}, "client-node-2": {}}
    Balanced(html.render(report))
    report.topology["hosts"] = {}
    Balanced(html.render(report))
