# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Ansible prints acts on no terminal, whoever wrote it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.utils.display import Display
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import display, visible
from ansible_site import COLLECTIONS

_PLAY = r"""
- hosts: localhost
  gather_facts: false
  tasks:
    - debug: {msg: "a\x9b2Jb\u202ec\x1b[8md"}
    - set_fact: {"name": "a\x9b2Jb\u202ec"}
    - fail: {msg: "a\x9b2Jb\u202ec\x1b]0;t\x07d"}
"""


def test_colours_stay_and_nothing_else_acts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Display, "display", Display.display)
    display.show_controls()
    display.show_controls()
    shown = Display()
    shown.display("\x1b[0;32mok\x1b[0m\x9b2J\u202e\x1b[8mhidden\r\n\tnext", screen_only=True)
    assert capsys.readouterr().out == "\x1b[0;32mok\x1b[0m\\x9b2J\\u202e\\x1b[8mhidden\n\tnext\n"


@pytest.mark.parametrize("codes", ["8", "30;40", "7", "5", "1;31;8", "0;0;0;8", "48;5;0", "38;5;1;8"])
def test_a_text_cannot_hide_what_follows(codes: str) -> None:
    assert visible.coloured(f"a\x1b[{codes}mb") == f"a\\x1b[{codes}mb"


def test_a_playbook_prints_no_foreign_text_raw(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(_PLAY, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-vvv", "-i", "localhost,", "-c", "local", str(tmp_path / "play.yml")],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_CALLBACKS_ENABLED": "meshctl.headscale.report",
            "MESHCTL_RUNS_DIR": str(tmp_path / "runs"),
        },
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )  # fmt: skip
    shown = done.stdout + done.stderr
    assert shown.count("a\\x9b2Jb\\u202ec") >= 3
    assert not re.search("[\x07\x1b\x9b\u202e]", shown)
