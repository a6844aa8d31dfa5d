# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An inventory is code: commands that only need the name of a lab do not run it. Files of secrets are plain files."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils import _files
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from meshctl_headscale._exit import BadInputError
from meshctl_headscale._watch import endpoint

_STATUS = ("status",)
_COMMANDS = (_STATUS, ("logs", "node"), ("exec", "node", "--", "true"), ("down",))


def _run(directory: Path, *words: str) -> bool:
    """Run a command with an inventory that is a program; return whether that was run."""
    script = directory / "hosts"
    script.write_text(f"#!/bin/sh\ntouch {directory}/evaluated\necho '{{}}'\n", encoding="utf-8")
    script.chmod(0o755)
    subprocess.run(
        [str(Path(sys.executable).with_name("meshctl")), *words], capture_output=True, check=False, cwd=directory, timeout=100,
        env={**os.environ, "MESHCTL_INVENTORY": str(script), "MESHCTL_STATE_DIR": str(directory / "state")},
    )  # fmt: skip
    return (directory / "evaluated").exists()


@pytest.mark.parametrize("words", _COMMANDS, ids=lambda words: words[0])
def test_a_command_with_a_lab_does_not_run_the_inventory(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert not _run(tmp_path, words[0], "--lab", "none", *words[1:])


def test_a_command_without_a_lab_does(tmp_path: Path) -> None:
    assert _run(tmp_path, *_STATUS)


def test_a_pipe_in_the_place_of_a_file_of_secrets_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "auth", 0o600)
    began = time.monotonic()
    with pytest.raises(BadInputError, match="must contain one line"):
        endpoint._credentials(tmp_path / "auth")
    assert time.monotonic() - began < 10


def test_a_pipe_that_stays_empty_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_files, "_PATIENCE_S", 0.2)
    os.mkfifo(tmp_path / "key", 0o600)
    began = time.monotonic()
    with pytest.raises(BadInput, match="nothing came from this pipe within"):
        _files.read_secret(str(tmp_path / "key"))
    assert time.monotonic() - began < 10


def test_the_key_of_a_program_is_waited_for() -> None:
    reading, writing = os.pipe()
    with subprocess.Popen(["sh", "-c", "sleep 0.3; printf hskey-; sleep 0.1; echo api-x"], stdout=writing):
        os.close(writing)
        assert _files.read_secret(f"/dev/fd/{reading}") == "hskey-api-x"
    os.close(reading)
