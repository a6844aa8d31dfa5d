# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that restrict what a command does: each takes effect, or is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from meshctl_headscale import _doctor, _inputs, _run
from meshctl_headscale._exit import BadInputError, ExitCode
from meshctl_headscale._play import Request
from meshctl_headscale.cli import app
from typer.testing import CliRunner


@pytest.fixture
def inventory(tmp_path: Path) -> str:
    path = tmp_path / "hosts.yml"
    path.write_text("all: {vars: {mesh_backend: hosts}, children: {clients: {hosts: {n1: }}}}")
    return str(path)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Note what is played, instead of playing it."""
    requests: list[Request] = []

    def play(request: Request, **_more: object) -> None:
        requests.append(request)
        raise BadInputError("not played")

    monkeypatch.setattr(_run, "play", play)
    return requests


def refusal(*words: str, env: dict[str, str] | None = None) -> str:
    """Return why a command is refused."""
    done = CliRunner().invoke(app, words, env=env)
    assert isinstance(done.exception, BadInputError), done.output
    return str(done.exception)


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["run", "us1", "--limit", ""], "--limit"),
        (["run", "us1", "--limit", ","], "--limit"),
        (["run", "us1", "--limit", ":"], "--limit"),
        (["doctor", "--mesh", "--limit", "n1", "-l", " "], "--limit"),
        (["run", "us1", "--tags", ""], "--tags"),
        (["run", "us1", "--skip-tags", " , "], "--skip-tags"),
        (["report", "--query", ""], "--query"),
        (["report", "--format", ""], "--format"),
        (["history", "--html", ""], "--html"),
        (["watch", "--listen", ""], "--listen"),
        (["doctor", "--policy", "p", "--user", ""], "--user"),
        (["faults", "drill", "--lab", ""], "--lab"),
    ],
)
def test_an_empty_option_is_refused(words: list[str], option: str) -> None:
    assert refusal(*words) == f"{option} is empty: give it a value, or leave it out."


def test_a_limit_in_a_file_must_name_something(tmp_path: Path, inventory: str, played: list[Request]) -> None:
    file = tmp_path / "failed.retry"
    words = ["run", "us1", "--no-deploy", "-i", inventory, "--limit"]
    assert refusal(*words, f"n1,@{file}") == f"There is no file {file} for --limit n1,@{file}."
    file.write_text("\n")
    assert (
        refusal(*words, f"@{file}:n1")
        == f"The file {file} for --limit @{file}:n1 is empty: write one pattern per line."
    )
    file.write_text("n1\n")
    assert refusal(*words, f"@{file}") == "not played"
    assert [request.limit for request in played] == [[f"@{file}"]]


@pytest.mark.parametrize("option", ["--tags", "--skip-tags"])
@pytest.mark.parametrize("given", [["disruptve"], ["disruptive", "disruptve"], ["disruptive,disruptve"]])
def test_a_tag_that_no_task_has_is_refused(option: str, given: list[str]) -> None:
    words = [word for tags in given for word in (option, tags)]
    assert refusal("run", "us1", "--no-deploy", *words).startswith("us1: no task has the tag 'disruptve'. There is")


def test_tags_and_limits_accumulate(inventory: str, played: list[Request]) -> None:
    words = [
        "-t",
        "disruptive",
        "-t",
        "all,tagged",
        "--skip-tags",
        "always",
        "--skip-tags",
        "untagged,",
        "-l",
        "n1",
        "--limit",
        "n2",
    ]
    assert refusal("run", "us1", "--no-deploy", "-i", inventory, *words) == "not played"
    (request,) = played
    assert (request.tags, request.skip_tags) == ("disruptive,all,tagged", "always,untagged")
    assert request.limit == ["n1", "n2"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["clients:!c1"], "clients:!c1"),
        (["clients:!c1", "routers"], "clients,!c1,routers"),
        (["routers, r[1:2]", "clients:&web"], "routers,r[1:2],clients,&web"),
        (["c[1:2]:r1", "fe80::1", "c1:22"], "c[1:2],r1,fe80::1,c1:22"),
        (["@failed.retry:!c1", "~c.*"], "@failed.retry,!c1,~c.*"),
    ],
)
def test_several_limits_mean_what_each_means_by_itself(given: list[str], meant: str) -> None:
    assert _inputs.limit(given) == meant
    words = Request(playbooks=[], inventory="a,", limit=given).arguments(None)
    assert words[words.index("--limit") + 1] == meant


def test_reading_a_limit_leaves_the_configuration_of_the_working_directory_alone(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text(f"[defaults]\nlog_path={tmp_path}/log\n")
    code = "from meshctl_headscale import _inputs; print(_inputs.limit(['a:!b', 'c']))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop("ANSIBLE_CONFIG", None)
    said = subprocess.check_output([sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, text=True)
    assert said == "a,!b,c\n"
    assert [path.name for path in tmp_path.iterdir()] == ["ansible.cfg"]


def test_tags_of_a_users_playbook_are_not_checked(tmp_path: Path, inventory: str, played: list[Request]) -> None:
    (tmp_path / "mine.yml").write_text("- {name: Mine, hosts: all}")
    words = ["run", str(tmp_path / "mine.yml"), "-i", inventory]
    assert refusal(*words, "--skip-tags", "slow", env={"MESHCTL_TAGS": "fast,quick"}) == "not played"
    assert [(request.tags, request.skip_tags) for request in played] == [("fast,quick", "slow")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status", "-i", "nosuch.yml", "--inventory=lab"], "--inventory is given more than once: name one, or a"),
        (["status", "--lab", "BAD NAME", "--lab", "ok"], "--lab is given more than once: name one lab."),
        (["exec", "--lab", "a", "--lab", "b", "n1"], "--lab is given more than once"),
        (["faults", "list", "--lab", "a", "--lab", "b"], "--lab is given more than once"),
    ],
)
def test_a_second_inventory_or_lab_is_refused(words: list[str], said: str) -> None:
    assert refusal(*words).startswith(said)


def test_one_inventory_and_one_lab_are_enough() -> None:
    # Options of the command that is run are not meshctl's.
    words = ["exec", "--lab", "none", "n1", "--", "ls", "--lab", "a", "--lab", "b"]
    for given, env in ((words, {}), (["status", "--lab", "none"], {"MESHCTL_LAB": "other"})):
        assert "The lab 'none' is not up" in str(CliRunner().invoke(app, given, env=env).exception)
    assert CliRunner().invoke(app, ["status", "--lab", "a", "--lab", "b", "--help"]).exit_code == ExitCode.PASSED
    drill = CliRunner().invoke(app, ["faults", "drill", "--lab", "a", "--lab", "b", "--fault", "none"])
    assert str(drill.exception).startswith("there is no fault 'none'.")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-i", "nosuch.yml"], "--inventory requires --mesh: without it, only this machine is examined."),
        (
            ["--lab", "a", "-l", "n1", "-e", "x"],
            "--lab, --limit and --extra-vars require --mesh: without it, only this",
        ),
        (["--slices", "2"], "--slices requires --mesh: without it"),
        (["--config", "c", "--slices", "2"], "--slices cannot be combined with --config or --policy, which examine"),
        (["--policy", "p", "-i", "lab"], "--inventory cannot be combined with --config or --policy"),
    ],
)
def test_the_doctor_of_this_machine_refuses_what_it_would_ignore(words: list[str], said: str) -> None:
    assert refusal("doctor", *words).startswith(said)


def test_variables_for_other_commands_do_not_disturb_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_doctor, "examine", lambda: {"ok": True, "findings": []})
    env = {"MESHCTL_INVENTORY": "nosuch.yml", "MESHCTL_LAB": "x", "MESHCTL_SLICES": "2", "MESHCTL_LIMIT": "n1"}
    assert CliRunner().invoke(app, ["doctor", "--json"], env=env).exit_code == ExitCode.PASSED
