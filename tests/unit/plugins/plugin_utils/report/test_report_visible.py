# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Foreign text in what people look at: it is shown, and acts on nothing."""

from __future__ import annotations

import json
from pathlib import Path

import junitparser
import pytest
import report_builder as builder
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import html, junit, model, rundir, visible

ACTING = [
    "\x00",
    "\x07",
    "\b",
    "\f",
    "\r",
    "\x1b[2J",
    "\x7f",
    "\x9b",
    "\u200b",
    "\u202e",
    "\u2066",
    "\ufeff",
    "\uffff",
    "\ud800",
    "\U000e0041",
]


def hostile(text: str) -> model.Report:
    """Return a report that has `text` in each of its strings."""
    report = builder.failing()
    for check in report.checks:
        for field in ("id", "source", "target", "hint", "reproduce", "observed", "assertion", "aspect"):
            check[field] = f"{text}[/]<a>"
        check["evidence"] = {text: [text]}
    for story in report.stories:
        story.title = text
    report.versions[text] = report.command = report.not_run[0] = report.notes[0].message = text
    return report


@pytest.mark.parametrize("character", ACTING)
def test_json_keeps_its_data_and_has_only_printable_characters(character: str) -> None:
    data = {f"k{character}": [f"ä{character}b"]}
    dumped = visible.as_json(data)
    assert all(line.isprintable() for line in dumped.splitlines())
    assert json.loads(dumped) == data
    assert "ä" in dumped


@pytest.mark.parametrize("character", ACTING)
def test_a_character_that_acts_is_an_escape(character: str) -> None:
    shown = visible.text(f"a{character}b")
    assert shown.isprintable()
    assert shown.startswith("a\\")
    assert visible.found({"x": [character]})


def test_text_of_people_stays_as_it_is() -> None:
    text = "Zürich → 東京 🙂\n\tä\r\nß"
    assert visible.text(text) == text.replace("\r", "")
    assert visible.line("a\n  b\tc  d") == "a   b c  d"
    assert not visible.found({"x": "Zürich → 東京 🙂"})


@pytest.mark.parametrize("character", ACTING)
def test_junit_and_html_hold_no_character_that_acts(character: str) -> None:
    report = hostile(f"x{character}y")
    document = junit.render(report)
    junitparser.JUnitXml.fromstring(document)
    page = html.render(report)
    for written in (document, page):
        assert not [char for char in written if not char.isprintable() and char not in "\n\t"]
        written.encode("utf-8")
    assert visible.text(character)[:4] in document


def test_every_file_of_a_run_is_written_whatever_the_text(tmp_path: Path) -> None:
    _clean, problems = rundir.write(hostile("".join(ACTING)), tmp_path)
    assert not problems
    assert model.load(tmp_path).checks
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_checks_of_an_older_report_get_their_assertion_from_their_id() -> None:
    data = builder.passing().as_dict()
    names = [(check["assertion"], check["aspect"], check["family"]) for check in data["checks"]]
    for check in data["checks"]:
        for field in ("assertion", "aspect", "family"):
            del check[field]
    old = model.parse(data)
    model.validate(data)
    assert [(check["assertion"], check["aspect"], check["family"]) for check in old.checks] == names
