# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands in a report can be pasted into a shell, whatever a server or a node calls itself."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.addressed import judge_addressed
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import CheckContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.quoting import on_host, quoted
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.registered import (
    Registered,
    Wanted,
    judge_registered,
)
from doctor import CONFIG, examine_server, node
from project import COLLECTION
from unquoted import Module

EVIL = [
    "a; touch owned",
    "$(touch owned)",
    "`touch owned`",
    "'; touch owned #",
    "a\ntouch owned",
    "a|touch owned",
    '"',
    "-f",
    "*",
]


@pytest.mark.parametrize("name", EVIL)
def test_a_name_is_one_word_and_no_option(name: str, tmp_path: Path) -> None:
    (word,) = shlex.split(quoted(name))
    assert not word.startswith("-")
    done = subprocess.run(
        ["sh", "-c", f"echo {quoted(name)}"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == name
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", EVIL)
def test_the_shell_behind_ssh_does_not_run_a_name_either(name: str, tmp_path: Path) -> None:
    check = CheckContext(story="s", assertion="a", source="h", shell="ssh h ").check(  # noqa: S604 - a prefix
        False, expected=None, observed=None, command=f"echo {quoted(name)}"
    )
    # As ssh does: its words go to another shell.
    _ssh, _host, *words = shlex.split(check.reproduce)
    done = subprocess.run(["sh", "-c", " ".join(words)], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == name
    assert not list(tmp_path.iterdir())


def test_what_needs_no_quotes_has_none() -> None:
    assert on_host("ssh h ", f"ping -c 1 {quoted('100.64.0.1')}") == "ssh h ping -c 1 100.64.0.1"
    assert on_host("meshctl exec a -- ", f"grep {quoted('a b')}") == "meshctl exec a -- grep 'a b'"


def _remedies(checks: list[Check]) -> list[str]:
    return [command for check in checks for command in re.findall("`([^`]*)`", check.hint)]


def _of_a_server() -> list[Check]:
    """Return the findings about a server that puts commands into whatever it says."""
    evil, old = "1;>owned;:", "2020-01-01T00:00:00Z"
    route = "10.0.0.0/8;>owned"
    nodes = [
        node(1, "a$(>owned)", id=evil, givenName="a$(>owned)-1", expiry=old, availableRoutes=[route]),
        node(2, "b", id=evil, approvedRoutes=[route]),
        node(3, "c", id=evil, ipAddresses=["100.64.0.2"], lastSeen=old, online=False),
    ]
    settings = f"{CONFIG}noise: {{private_key_path: '/k;>owned'}}\n"
    modes = {"/k;>owned": {"mode": "644"}}
    config = {"path": "config.yaml", "text": settings}
    return examine_server({"nodes": {"nodes": nodes}, "config": config, "modes": modes})


def _of_a_registration() -> list[Check]:
    listed = [node(1, "one", id="1;>owned;:", expiry="2020-01-01T00:00:00Z")]
    wanted = Registered(nodes=(Wanted(name="one"),))
    return judge_registered(mesh.answer(nodes=mesh.seen({"nodes": listed})), mesh.context("registered"), wanted)


def _of_a_route() -> list[Check]:
    route = {"dst": "fd00::1%$(>owned)", "dev": "eth0"}
    place = replace(mesh.PLACE, elsewhere=("fd00::/64",))
    answer = mesh.answer(addresses=mesh.seen(mesh.links()), routes=mesh.seen({"routes": [route]}))
    return judge_addressed(answer, mesh.context("addressed"), place)


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        (_of_a_server, {"approve-routes", "set", "expire", "rename", "delete", "o="}),
        (_of_a_registration, {"expire"}),
        (_of_a_route, {"del"}),
    ],
)
def test_a_remedy_that_is_pasted_runs_nothing_else(
    checks: Callable[[], list[Check]], expected: set[str], tmp_path: Path
) -> None:
    remedies = [command for command in _remedies(checks()) if "owned" in command]
    assert {word for command in remedies for word in shlex.split(command)[:3]} >= expected
    for command in remedies:
        subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, env={"PATH": "/"}, capture_output=True, check=False)
        assert not list(tmp_path.iterdir()), command


def test_every_command_quotes_what_is_put_into_it() -> None:
    plugins = COLLECTION / "plugins"
    folders = [
        plugins / "action",
        *(plugins / "plugin_utils" / name for name in ("_judge", "_doctor", "_why", "_action")),
    ]
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    found = {str(path.relative_to(plugins)): Module(path.read_text(encoding="utf-8")).unquoted() for path in files}
    assert len(found) > 100
    assert not {path: values for path, values in found.items() if values}


@pytest.mark.parametrize(
    ("line", "unquoted"),
    [
        ('return f"run `ping {name}`"', ["name"]),
        ('return f"{name}: run `ping {quoted(name)}`, {name}"', []),
        ('return f"run `ping " f"-c 1 {name[0]}` there"', ["name[0]"]),
        ('return context.check(command=f"ping {name}")', ["name"]),
        ('return context.check(command=("ping " if six else f"ping -4 {name}"))', ["name"]),
        ('return "run `ping " + name', ["'run `ping ' + name"]),
        ('return "run `ping {}`".format(name)', ["'run `ping {}`'.format(name)"]),
        ('return f"run `ping {name:.0f}`"', []),
        ('word = quoted(name)\n    return f"run `ping {word}`"', []),
        ('word = quoted(name)\n    word = name\n    return f"run `ping {word}`"', ["word"]),
        ('for word in name:\n        return f"run `ping {word}`"', ["word"]),
        ('return f"run `{other(name)}`"', ["other(name)"]),
        ('return f"run `{helper(name)}`"', []),
        ('return f"run `ping {name}"', ["name", "an open backtick"]),
    ],
)
def test_the_search_for_unquoted_values_finds_them(line: str, unquoted: list[str]) -> None:
    source = f"def judge(name):\n    {line}\n\ndef helper(name):\n    return f'ping {{quoted(name)}}'\n"
    assert sorted(Module(source).unquoted()) == sorted(unquoted)
