# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turns of processes that share cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.turns import turn

_FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path / "state"))


def _hold(ready: object, *, at_once: int = 1) -> multiprocessing.process.BaseProcess:
    def run() -> None:
        with turn("x", at_once=at_once, seconds=30):
            ready.set()  # type: ignore[attr-defined]
            signal.pause()

    process = _FORK.Process(target=run)
    process.start()
    assert ready.wait(20)  # type: ignore[attr-defined]
    return process


def test_others_wait_until_a_place_is_free_even_if_its_process_was_killed() -> None:
    first = _hold(_FORK.Event())
    try:
        began = time.monotonic()
        with turn("x", at_once=1, seconds=0.2):
            assert time.monotonic() - began >= 0.2
    finally:
        os.kill(first.pid or 0, signal.SIGKILL)
        first.join(20)
    began = time.monotonic()
    with turn("x", at_once=1, seconds=60):
        assert time.monotonic() - began < 30


def test_as_many_have_a_turn_as_may_and_another_name_has_its_own() -> None:
    first = _hold(_FORK.Event(), at_once=2)
    try:
        for name in ("x", "y"):
            began = time.monotonic()
            with turn(name, at_once=2, seconds=60):
                assert time.monotonic() - began < 30
    finally:
        os.kill(first.pid or 0, signal.SIGKILL)
        first.join(20)


def test_no_process_waits_if_there_is_no_place_for_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_STATE_DIR", "/proc/none")
    began = time.monotonic()
    with turn("x", at_once=1, seconds=60):
        assert time.monotonic() - began < 30
