# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs in slices: who is in which slice, what is refused, and how the events of all look like those of one run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from meshctl_headscale import _sliced, _stories
from meshctl_headscale._exit import BadInputError, ExitCode
from meshctl_headscale._play import Ended, Interruption, Request
from meshctl_headscale._project import project
from meshctl_headscale.cli import app
from typer.testing import CliRunner

INVENTORY = """\
all:
  vars: {mesh_backend: hosts}
  children:
    headscale: {hosts: {gw: }}
    clients: {hosts: {n1: , n2: , n3: , n4: , n5: }}
    spare: {hosts: {s1: }}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> str:
    path = tmp_path / "hosts.yml"
    path.write_text(INVENTORY)
    return str(path)


def test_every_host_is_in_one_slice_and_every_slice_has_a_client(inventory: str) -> None:
    divided = _sliced.divide(Request(playbooks=[], inventory=inventory), 2)
    assert divided == [["n1", "n3", "n5", "gw"], ["n2", "n4", "s1"]]


def test_only_hosts_within_the_limit_are_divided(inventory: str) -> None:
    request = Request(playbooks=[], inventory=inventory, limit=["n1,n2", "gw"])
    assert _sliced.divide(request, 2) == [["n1", "gw"], ["n2"]]
    with pytest.raises(
        BadInputError, match=r"--slices 3: --limit leaves 2 clients, and each slice needs one\. Use --slices 2"
    ):
        _sliced.divide(request, 3)


def test_a_limit_with_colons_selects_the_same_hosts_beside_another(inventory: str) -> None:
    request = Request(playbooks=[], inventory=inventory, limit=["clients:!n1:!n2:!n3", "spare"])
    assert _sliced.divide(request, 2) == [["n4", "s1"], ["n5"]]


@pytest.mark.parametrize(
    ("hosts", "limit", "message"),
    [
        (
            "",
            ["nosuch"],
            r"No client of the inventory .*hosts\.yml matches --limit nosuch\. Check its names and groups\.",
        ),
        ("", ["gw", "s1"], r"No client of the inventory .*hosts\.yml matches --limit gw,s1\."),
        ("", ["n1"], r"--slices 9: --limit leaves 1 client, and each slice needs one\. Leave out --slices\."),
        ("", [], r"--slices 9: the inventory has 5 clients, and each slice needs one\. Use --slices 5\."),
        ("a,b", [], r"The inventory a,b has no host in the group clients, and each slice needs one\."),
        ("a,b", ["a"], r"The inventory a,b has no host in the group clients"),
    ],
)
def test_the_remedy_for_too_few_clients_can_be_used(inventory: str, hosts: str, limit: list[str], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        _sliced.divide(Request(playbooks=[], inventory=hosts or inventory, limit=limit), 9)


def test_stories_that_cannot_run_in_slices_are_named() -> None:
    chosen = _stories.parts(project(), _stories.select(project(), ["all"]))
    known = [story.about for story in chosen if story.about]
    unable, able = (", ".join(story.id for story in known if story.slices is kind) for kind in (False, True))
    message = rf"{unable} cannot run in slices: name stories that can \({able}\)"
    with pytest.raises(BadInputError, match=message):
        _stories.check_slices(project(), chosen)
    _stories.check_slices(project(), _stories.select(project(), ["us1", "magicdns"]))


def test_the_doctor_of_this_machine_has_no_slices() -> None:
    refused = CliRunner().invoke(app, ["doctor", "--slices", "2"])
    assert isinstance(refused.exception, BadInputError)
    assert "--slices requires --mesh" in str(refused.exception)


@pytest.mark.parametrize("words", [["--slices", "0"], ["--slices", "x"]])
def test_a_number_of_slices_is_above_zero(words: list[str]) -> None:
    assert CliRunner().invoke(app, ["run", "us1", *words]).exit_code == ExitCode.BAD_INPUT


def test_the_slices_find_ansible_runner_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "ansible_runner"]:
        monkeypatch.delitem(sys.modules, name)
    found = list[Any]()

    def run(*_arguments: Any, **_options: Any) -> Ended:
        found.append(getattr(sys.modules.get("ansible_runner"), "plugins", None))
        return Ended(rc=0, interrupted=False, stats=None)

    monkeypatch.setattr(_sliced, "run_playbooks", run)
    (tmp_path / "artifacts").mkdir()
    request = Request(playbooks=[], inventory="hosts.yml")
    slices = _sliced.Slices([["n1"], ["n2"]])
    slices(request, tmp_path, on_event=found.append, interruption=Interruption(lambda _said: None))
    assert [type(plugins) for plugins in found] == [dict, dict]


def _play(name: str) -> dict[str, Any]:
    return {"event": "playbook_on_play_start", "event_data": {"play": name}}


def test_events_are_passed_on_play_by_play() -> None:
    seen: list[tuple[int, str]] = []
    together = _sliced._Together(2, lambda event: seen.append((event["slice"], event["event"])))
    together.take(1, _play("US1"))
    together.take(1, {"event": "one"})
    assert seen == []
    together.take(2, _play("US1"))
    assert seen == [(1, "playbook_on_play_start"), (1, "one"), (2, "playbook_on_play_start")]
    together.take(1, _play("US2"))
    together.take(1, {"event": "two"})
    together.take(2, {"event": "late"})
    assert seen[3:] == [(2, "late")]
    together.end(2)
    assert seen[4:] == [(1, "playbook_on_play_start"), (1, "two")]
    together.end(1)


# --- meshctl report --merge


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--merge", "RUN"], "--merge needs two runs or more"),
        (["--merge", "RUN", "RUN"], "--merge names the run one twice"),
        (["RUN", "OTHER"], "2 runs are named: name one, or merge them with --merge"),
        (["--merge", "--compare", "RUN", "OTHER"], "leave out RUN, --query and --merge"),
    ],
)
def test_what_cannot_be_merged_is_refused(words: list[str], message: str, reports: dict[str, str]) -> None:
    refused = CliRunner().invoke(app, ["report", *(reports.get(word, word) for word in words)])
    assert isinstance(refused.exception, BadInputError)
    assert message in str(refused.exception)


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import rundir
    from report_builder import passing

    monkeypatch.setenv("MESHCTL_RUNS_DIR", str(tmp_path / "runs"))
    for name in ("one", "other"):
        (tmp_path / name).mkdir(mode=0o700)
        rundir.write_json(passing(), tmp_path / name)
    return {"RUN": str(tmp_path / "one"), "OTHER": str(tmp_path / "other")}


def test_merged_reports_are_a_run_of_their_own(reports: dict[str, str], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", "--merge", *reports.values(), "--query", "[verdict, run_id]"])
    assert done.exit_code == ExitCode.PASSED, done.output
    (directory,) = (tmp_path / "runs").glob("*-merged")
    assert '"passed"' in done.output
    assert directory.name in done.output
    assert {"report.json", "junit.xml", "report.html"} <= {path.name for path in directory.iterdir()}
