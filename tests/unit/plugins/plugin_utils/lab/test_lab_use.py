# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab is used by one play at a time, and by none that is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import supervisor, use
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.lab import Lab
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.supervisor import LabError, Process
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.use import Play
from lab_inventory import Inventory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "labs" / "x"


@pytest.fixture
def other() -> Iterator[Play]:
    """Another play, which runs."""
    child = subprocess.Popen(["sleep", "60"])
    process = Process.of(child.pid)
    assert process
    yield Play(process=process, command="ansible-playbook playbooks/us1.yml", since="2026-01-31T15:04:12+00:00")
    child.kill()
    child.wait()


def _mine() -> Play:
    return Play.this("ansible-playbook playbooks/up.yml")


def _left(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.parent.iterdir())


def test_another_play_is_refused_with_the_one_that_is_there(directory: Path, other: Play) -> None:
    use.claim(directory, other)
    with pytest.raises(LabError) as caught:
        use.claim(directory, _mine(), patience_s=0)
    assert str(caught.value) == (
        f"the lab 'x' is in use by `ansible-playbook playbooks/us1.yml` (process {other.process.pid}), "
        "since 15:04:12: wait for it, or use another lab (--lab)"
    )
    assert _left(directory) == [".x.use"]


def test_a_play_uses_its_own_lab_as_often_as_it_likes(directory: Path) -> None:
    use.claim(directory, _mine())
    use.claim(directory, _mine(), patience_s=0)


def test_another_lab_is_free(directory: Path, other: Play) -> None:
    use.claim(directory, other)
    use.claim(directory.with_name("y"), _mine(), patience_s=0)


def test_a_play_that_is_gone_counts_for_nothing(directory: Path, other: Play) -> None:
    gone = Play(process=Process(other.process.pid, other.process.started + 1), command=other.command, since=other.since)
    use.claim(directory, gone)
    use.claim(directory, _mine(), patience_s=0)
    with pytest.raises(LabError, match=r"in use by `ansible-playbook playbooks/up\.yml`"):
        use.claim(directory, other, patience_s=0)


def test_a_play_that_is_ending_is_waited_for(directory: Path) -> None:
    child = subprocess.Popen(["sleep", "0.5"])
    process = Process.of(child.pid)
    assert process
    use.claim(directory, Play(process=process, command="x", since="2026-01-31T15:04:12+00:00"))
    use.claim(directory, _mine())
    child.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1, "started": "x", "command": "", "since": ""}'])
def test_a_record_that_cannot_be_read_counts_for_nothing(directory: Path, text: str) -> None:
    directory.parent.mkdir()
    directory.with_name(".x.use").write_text(text)
    use.claim(directory, _mine(), patience_s=0)


def test_the_play_of_a_task_is_the_process_that_started_it() -> None:
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    worker = context.Process(target=lambda: answer.put(_mine().process.pid))
    worker.start()
    worker.join()
    assert answer.get() == os.getpid()


def test_of_many_at_once_one_gets_the_lab(directory: Path) -> None:
    context = multiprocessing.get_context("fork")
    answer, done = context.SimpleQueue(), context.Event()

    def play() -> None:
        me = Process.of(os.getpid())
        assert me
        try:
            use.claim(directory, Play(process=me, command="x", since="2026-01-31T15:04:12+00:00"), patience_s=0)
            answer.put("has it")
            done.wait(30)
        except LabError:
            answer.put("refused")

    plays = [context.Process(target=play) for _number in range(6)]
    for started in plays:
        started.start()
    said = sorted(answer.get() for _play in plays)
    done.set()
    for started in plays:
        started.join()
    assert said == ["has it", *["refused"] * 5]


def test_down_goes_on_and_forgets_the_play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, other: Play) -> None:
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path))
    lab = Lab("x")
    use.claim(lab.directory, other)
    lab.directory.mkdir()
    lab.down()
    assert _left(lab.directory) == []
    use.claim(lab.directory, _mine(), patience_s=0)


def test_a_lab_that_could_not_be_built_is_nobody_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path))
    lab = Lab("x")

    def refuse(*_arguments: object) -> None:
        raise LabError("no")

    monkeypatch.setattr("ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.preflight.require", refuse)
    with pytest.raises(LabError, match=r"^no$"), use.claimed(lab.directory, _mine()):
        lab.up(Inventory().read(), {})
    assert _left(lab.directory) == []


def test_a_lab_in_use_is_refused_without_waiting_for_what_is_being_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, other: Play
) -> None:
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(use.claim, "__kwdefaults__", {"patience_s": 0.0})
    lab = Lab("x")
    use.claim(lab.directory, other)
    with (
        supervisor.lock(lab.directory),
        pytest.raises(LabError, match="is in use by"),
        use.claimed(lab.directory, _mine()),
    ):
        pytest.fail("the lab was not reserved")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_task_that_is_ended_cleans_up_before_ansible_s_handler_runs(number: signal.Signals) -> None:
    order: list[str] = []
    before = signal.signal(number, lambda *_: order.append("handler"))
    try:
        with pytest.raises(use.Stopped), use.unwinding():
            try:
                os.kill(os.getpid(), number)
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)  # a second one does not interrupt the cleanup
                order.append("cleanup")
        assert order == ["cleanup", "handler"]
    finally:
        signal.signal(number, before)
