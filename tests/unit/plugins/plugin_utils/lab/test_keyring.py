# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of the user's session are not those of a lab."""

from __future__ import annotations

import errno
import subprocess
import threading
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import CouldNotRun
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import keyring, supervisor


def _session() -> str:
    """Return the number of the session keyring that a child of this thread has."""
    program = "import ctypes; print(ctypes.CDLL(None).syscall(250, 0, -3, 0))"
    return subprocess.run(["python3", "-Sc", program], capture_output=True, text=True, check=True).stdout.strip()


def _in_thread(work: list[str]) -> None:
    before = _session()
    supervisor.enter(1, [])
    work += [before, _session()]
    supervisor.enter(1, [])
    work.append(_session())


@pytest.mark.skipif(keyring.platform.machine() != "x86_64", reason="the test's system calls are those of x86-64")
def test_whoever_enters_a_lab_leaves_the_session_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []
    thread = threading.Thread(target=_in_thread, args=(found,))
    thread.start()
    thread.join()
    before, after, again = found
    assert before != after == again
    assert before == _session(), "other threads keep theirs"


def _fail(monkeypatch: pytest.MonkeyPatch, *errors: int) -> list[int]:
    left = list(errors)
    monkeypatch.setattr(keyring, "_left", threading.local())
    monkeypatch.setattr(keyring.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(keyring, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(keyring, "_join", lambda _number: left.pop(0) if len(left) > 1 else left[0])
    return left


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM])
def test_a_system_without_keys_has_none_to_keep(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    _fail(monkeypatch, error)
    keyring.leave()


def test_keyrings_that_are_about_to_go_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _fail(monkeypatch, errno.EDQUOT, 0)
    keyring.leave()


def test_no_lab_starts_with_the_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _fail(monkeypatch, errno.EDQUOT)
    with pytest.raises(CouldNotRun, match="session's keys: Disk quota exceeded"):
        supervisor.start(tmp_path, {})
