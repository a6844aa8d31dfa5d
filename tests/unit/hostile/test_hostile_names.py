# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names from a hostile server in all that is made of a run: none is executed, raw on a terminal, or breaks a format."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import html, junit, model, text
from meshctl_headscale._history import facts, page, store, summary, tables
from meshctl_headscale._watch import metrics, notices
from watch_reports import START, report

NAMES = {
    "newline": "a\nus1 passed\r\nb",
    "ansi": "\x1b]0;owned\x07\x1b[2J\x1b[31m",
    "c1": "a\x9b31mb\x85c",
    "bidi": "abc\u202e\u2066txt.exe",
    "jinja": "{{ lookup('pipe', 'id') }}{% for x in y %}",
    "shell": "$(touch /tmp/owned)`id`;|&'\"",
    "html": "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>",
    "xml": "]]><!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>&x;",
    "path": "../../../../etc/passwd\0",
    "markup": "[bold red]x[/] [link=file:///etc]y[/link]",
    "prometheus": 'a"} 1\nmeshctl_pair_reachable{source="x\\',
    "surrogate": "a\ud800b",
    "long": "A" * 65536,
}
# What a terminal acts on.
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def hostile(name: str) -> model.Report:
    """Return the report of a run in which the node with this name fails, as it is read from its file."""
    return report(START, ["server", "one", name], down={name})


def seen(name: str) -> facts.Facts:
    """Return what the history and the metrics take from it."""
    return facts.read(hostile(name))


class _Elements(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note elements and attributes that run code or load something."""
        self.found += [tag] if tag in ("img", "iframe", "object") else []
        self.found += [name for name, _value in attrs if name.startswith("on")]


def _is_harmless(made: str) -> None:
    elements = _Elements()
    elements.feed(made)
    assert elements.found == []
    assert "<script>alert" not in made
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\u202e\u2066]", made)


@pytest.mark.parametrize("name", list(NAMES.values()), ids=list(NAMES))
def test_the_pages_show_names_as_text(name: str, tmp_path: Path) -> None:
    made = html.render(hostile(name))
    _is_harmless(made)
    made.encode()
    with store.Store(tmp_path / "h.sqlite", write=True) as kept:
        kept.add(seen(name))
        _is_harmless(page.render(summary.summarize(kept, START - 60, START + 60), title="mesh"))


@pytest.mark.parametrize("name", list(NAMES.values()), ids=list(NAMES))
def test_junit_is_xml(name: str) -> None:
    made = junit.render(hostile(name))
    assert "<!DOCTYPE" not in made.replace("&lt;!DOCTYPE", "")
    assert ET.fromstring(made.encode()).tag == "testsuites"  # noqa: S314


@pytest.mark.parametrize("name", list(NAMES.values()), ids=list(NAMES))
def test_nothing_reaches_a_terminal_raw(name: str) -> None:
    for detail in ("headline", "digest", "checks"):
        made = text.as_text(hostile(name), detail=detail, width=100)  # type: ignore[arg-type]
        assert not RAW.search(made)


@pytest.mark.parametrize("name", list(NAMES.values()), ids=list(NAMES))
def test_tables_of_the_history_are_not_raw(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with store.Store(tmp_path / "h.sqlite", write=True) as kept:
        kept.add(seen(name))
        tables.draw(summary.summarize(kept, START - 60, START + 60))
    assert not RAW.search(capsys.readouterr().out)


@pytest.mark.parametrize("name", list(NAMES.values()), ids=list(NAMES))
def test_metrics_stay_metrics(name: str) -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="the extra `watch` is not installed")
    snapshot = metrics.Snapshot().after(seen(name), "failed", began=START, ended=START)
    made = metrics.text(metrics.registry(lambda: snapshot)).decode()
    samples = [sample for family in parser.text_string_to_metric_families(made) for sample in family.samples]
    pairs = [sample.labels for sample in samples if sample.name == "meshctl_pair_reachable"]
    assert len(pairs) == 6
    assert {len(pair) for pair in pairs} == {2}
    assert len(made) < 1_000_000


@pytest.mark.parametrize("name", list(NAMES.values()), ids=list(NAMES))
def test_a_message_is_short_visible_text(name: str) -> None:
    decision = notices.decide({}, seen(name).stories, "", START)
    assert decision.changes
    made = notices.subject(decision.changes, "mesh") + notices.body(decision.changes)
    assert not RAW.search(made)
    assert len(made) < 4000
