# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands in a report can be pasted into a shell, whatever a server or a node calls itself."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import CheckContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.quoting import on_host, quoted
from project import COLLECTION

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


# What is put into a command without quotes: our own numbers and constants.
_OWN = {
    "'u' if aspect == 'udp' else ''",
    "_NC[protocol]",
    "QUAD_100",
    "HOSTS",
    "LARGE_BYTES",
    "total",
    "port",
    "expect.port",
    "'u' if expect.proto == 'udp' else 't'",
    "way.port",
    "_FILTER",
    "switch",
    # A command whose parts are quoted where it is put together.
    "curl",
}


def test_every_command_quotes_what_is_put_into_it() -> None:
    places = [
        (path.name, inside)
        for folder in ("_judge", "_doctor")
        for path in (COLLECTION / "plugins" / "plugin_utils" / folder).rglob("*.py")
        for body in re.findall(r'command ?= ?f"([^"\n]*)"', path.read_text(encoding="utf-8"))
        for inside in re.findall(r"\{([^{}]+)\}", body)
    ]
    assert len(places) > 20
    assert not [place for place in places if not place[1].startswith("quoted(") and place[1] not in _OWN]
