# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action, run by ansible-playbook: facts, what counts as changed, check mode, and how an error is told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from project import ROOT
from release_files import HEADSCALE, Release, program

if TYPE_CHECKING:
    from collections.abc import Callable

Play = dict[str, Any]

PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - meshctl.headscale.binaries:
        programs: [headscale]
        sources: [archive]
      run_once: true
    - ansible.builtin.set_fact:
        seen: "{{ mesh_binaries_found }}"
"""


COMMAND = (sys.executable, "-m", "ansible", "playbook", "-v", "-i", "a,b,", "-c", "local", "play.yml")
RESULT = re.compile(r"^\w+: \[(?P<host>\w+)\](?:: FAILED!)? => (?P<result>\{.*\})$", re.MULTILINE)


@pytest.fixture
def play(release: Release, cache: Path, tools: Path, tmp_path: Path) -> Callable[..., Play]:
    """Return what plays the playbook on two hosts, and gives its result, and the fact that each host has then."""
    (tmp_path / "play.yml").write_text(PLAYBOOK)

    def run(*arguments: str, **variables: object) -> Play:
        variables = {"mesh_release_url_headscale": f"{release.url}/headscale", **variables}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MESHCTL_"))}
        done = subprocess.run(
            [*COMMAND, "-e", json.dumps(variables), *arguments],
            cwd=tmp_path,
            env={
                **kept,
                "HOME": str(tmp_path),
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collection"),
                "ANSIBLE_NOCOLOR": "1",
                "MESHCTL_CACHE_DIR": str(cache),
                "MESHCTL_TOOLS_DIR": str(tools),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        results = [(match["host"], json.loads(match["result"])) for match in RESULT.finditer(done.stdout)]
        assert results, f"{done.stdout}\n{done.stderr}"
        return {
            "said": done.stdout,
            "result": results[0][1],
            "seen": {host: result["ansible_facts"]["seen"] for host, result in results[1:]},
        }

    return run


def test_the_first_run_fetches_the_second_changes_nothing(play: Callable[..., Play], cache: Path) -> None:
    path = str(cache / "bin" / f"headscale-{HEADSCALE}" / "headscale")
    first = play()
    result = first["result"]
    assert result["changed"] is True
    assert result["sources"] == {"headscale": "archive"}
    assert result["mesh_versions"] == {"headscale": HEADSCALE}
    assert first["seen"] == {"a": {"headscale": path}, "b": {"headscale": path}}
    assert "fetching headscale" in first["said"]
    again = play()["result"]
    assert again["changed"] is False
    assert again["mesh_binaries_found"] == {"headscale": path}


def test_check_mode_fetches_nothing(play: Callable[..., Play], release: Release, cache: Path) -> None:
    result = play("--check")["result"]
    assert result["changed"] is True
    assert result["mesh_binaries_found"] == {}
    assert release.asked == []
    assert not cache.exists()


def test_the_inventory_names_a_program_through_a_template(play: Callable[..., Play], tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(program("7.8.9"))
    mine.chmod(0o755)
    result = play(mesh_binaries={"headscale": "{{ here }}/mine"}, here=str(tmp_path))["result"]
    assert result["mesh_binaries_found"] == {"headscale": str(mine)}
    assert result["mesh_versions"] == {"headscale": "7.8.9"}
    assert result["changed"] is False


@pytest.mark.parametrize(
    ("variables", "kind", "words"),
    [
        ({"mesh_binaries": {"headscale": "/no/such/file"}}, "bad_input", "mesh_binaries.headscale is '/no/such/file'"),
        ({"mesh_binaries": "/usr/bin"}, "bad_input", "write a dictionary"),
        ({"mesh_binaries": {"hedscale": "/x"}}, "bad_input", "choose from"),
        ({"mesh_headscale_version": "newest"}, "bad_input", "'newest' is not a version of headscale"),
        ({"mesh_headscale_version": "9.9.9"}, "could_not_run", "leave out mesh_headscale_version"),
    ],
)
def test_an_error_is_one_sentence_and_of_a_kind(
    variables: dict[str, object], kind: str, words: str, play: Callable[..., Play]
) -> None:
    played = play(**variables)
    result = played["result"]
    assert "FAILED!" in played["said"]
    assert result["meshctl_error"] == kind
    assert words in result["msg"]
    assert "\n" not in result["msg"]
