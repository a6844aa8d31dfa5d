# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a story has disturbed is undone after Ctrl-C, in a lab that is up, and nowhere else."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from meshctl_headscale import _collection, _run
from meshctl_headscale._commands import run
from meshctl_headscale._exit import ExitCode
from meshctl_headscale._options import Show
from meshctl_headscale._play import Interruption, Request

SHOW = Show(as_json=False, quiet=True, verbose=0)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Note what is played, instead of playing it."""
    requests: list[Request] = []
    monkeypatch.setattr(_run, "play", lambda request, **_more: requests.append(request))
    monkeypatch.setattr(_run, "summary", lambda *_result, **_more: None)
    return requests


@pytest.mark.parametrize(
    ("backend", "record", "books"),
    [("lab", "there", ["up.yml"]), ("libvirt", "there", ["up.yml"]), ("lab", None, []), ("hosts", "there", [])],
)
def test_only_a_lab_that_is_up_is_brought_back(
    monkeypatch: pytest.MonkeyPatch, played: list[Request], backend: str, record: str | None, books: list[str]
) -> None:
    monkeypatch.setattr(run, "_known", lambda _request: {"mesh_backend": backend, "lab_name": "x"})
    monkeypatch.setattr(_collection.lab, "Lab", lambda _name: SimpleNamespace(record=record))
    request = Request(playbooks=[Path("us1.yml")], inventory="lab.yml", limit=["one"], tags="a", skip_tags="b")
    result: Any = SimpleNamespace(run_dir=Path("runs/1"), code=ExitCode.INTERRUPTED)
    run._restore(request, result, SHOW)
    assert [Path(book).name for request in played for book in request.playbooks] == books
    assert all((found.limit, found.tags, found.skip_tags) == ((), "", "") for found in played)


def test_every_request_to_stop_is_counted() -> None:
    said: list[str] = []
    interruption = Interruption(said.append)
    with interruption.watched():
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
    assert (interruption.count, interruption.heard) == (2, [signal.SIGINT, signal.SIGTERM])
    assert len(said) == 2
