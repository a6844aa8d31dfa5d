# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watch a real mesh: metrics, notifications, and a watch that is killed; and a simulated week."""

from __future__ import annotations

import contextlib
import gc
import json
import random
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from meshctl_headscale._history import summary
from meshctl_headscale._history.store import Store
from meshctl_headscale._watch import schedule
from watch_reports import START
from watch_scene import MINUTE, Scene

from .broken_mesh import RELAY, BrokenMesh, patient
from .lab_driver import PLAYBOOKS, alive, family, wait_for

__all__ = ["patient"]
pytestmark = pytest.mark.integration

NO_STUN = "chain in { type filter hook input priority 0; udp dport 3478 drop; }"


class Receiver:
    """Receives the messages of a watch."""

    def __init__(self) -> None:
        """Begin to listen."""
        self.messages: list[dict[str, str]] = []
        messages = self.messages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """The URL of this service, with a secret."""
        return f"json://127.0.0.1:{self.server.server_port}/s3cret"


@contextlib.contextmanager
def watching(mesh: BrokenMesh, log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Watch a mesh with the doctor alone, which needs only seconds."""
    mesh.lab.play("down.yml", "--list-hosts")  # writes the inventory
    words = [
        sys.executable,
        "-m",
        "meshctl_headscale",
        "watch",
        str(PLAYBOOKS / "doctor.yml"),
        "-i",
        str(mesh.lab.path),
    ]
    with log.open("ab") as output:
        environment = mesh.lab.machine.env(PYTHONPATH=":".join(sys.path))
        process = subprocess.Popen([*words, "--every", "10s", *arguments], env=environment, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def test_a_watch_tells_of_a_fault_survives_a_kill_and_tells_of_the_recovery(
    patient: BrokenMesh, tmp_path: Path
) -> None:
    pytest.importorskip("apprise", reason="the extra `watch` is not installed")
    receiver, log, textfile, urls = Receiver(), tmp_path / "log", tmp_path / "mesh.prom", tmp_path / "urls"
    urls.touch(mode=0o600)
    urls.write_text(receiver.url)
    history = tmp_path / "history" / "h.sqlite"
    options = ("--textfile", str(textfile), "--notify", f"@{urls}", "--history", str(history))

    with watching(patient, log, *options) as process:
        wait_for(textfile.exists, "a round has passed", seconds=120)
        text = textfile.read_text()
        assert 'meshctl_story_verdict{story="doctor",verdict="passed"} 1.0' in text, log.read_text()
        assert 'meshctl_node_online{node="client-node-1"} 1.0' in text
        assert (
            'meshctl_pair_path_info{path="direct",relay="",source="client-node-1",target="client-node-2"} 1.0' in text
        )
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
        with patient.firewall(RELAY, NO_STUN):
            wait_for(lambda: bool(receiver.messages), "the fault is told", seconds=120)
            wait_for(lambda: len(family(process.pid)) > 3, "another round has begun", seconds=60)
            everything = family(process.pid)
            process.send_signal(signal.SIGKILL)
            wait_for(lambda: not alive(everything), "nothing of the watch is left")
            process.wait()
    assert "UDP port 3478" in receiver.messages[0]["message"]
    assert receiver.messages[0]["title"].endswith("doctor failed")

    with watching(patient, log, *options):
        wait_for(lambda: len(receiver.messages) > 1, "the recovery is told", seconds=180)
    assert [message["title"].rpartition(" ")[2] for message in receiver.messages] == ["failed", "recovered"]
    assert "s3cret" not in log.read_text()
    with Store(history) as store:
        found = summary.summarize(store, 0, 1e11)
    stun = [incident for incident in found.incidents if incident.id == "doctor.relay.stun"]
    assert len(stun) == 3
    assert all(incident.until for incident in stun)


@pytest.mark.slow
def test_a_simulated_week(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake clock and recorded runs every 15 minutes: nodes come and go, the history is damaged, the watch is killed."""
    monkeypatch.setenv("MESHCTL_RUNS_DIR", str(tmp_path / "runs"))
    scene = Scene(tmp_path)
    chance = random.Random(7)  # noqa: S311
    outages = sorted(START + chance.uniform(0, 6.8 * 86400) for _ in range(12))
    # Each outage and each pause is longer than a round, so that every change can be seen, and rare enough not to flap.
    spans: list[tuple[float, float]] = []
    for outage in outages:
        begin = max(outage, spans[-1][1] + 8 * 3600 if spans else outage)
        spans.append((begin, begin + chance.uniform(1800, 7200)))
    spans = [span for span in spans if span[1] < START + 6.8 * 86400]
    scene.down = lambda now: {"two"} if any(begin <= now < end for begin, end in spans) else set()
    # Ephemeral nodes with new names every hour.
    scene.nodes = lambda now: ["server", "one", "two", f"job-{int(now // 3600)}"]
    watch = scene.watch(every_s=15 * MINUTE, keep_runs=20)
    tracemalloc.start()
    used: list[int] = []
    first = scene.clock.now()
    for number in range(7 * 96):
        watch.round()
        if number % 96 == 50:
            # Killed: nothing was closed, and another process goes on.
            watch = scene.watch(every_s=15 * MINUTE, keep_runs=20)
        if number == 300:
            (scene.directory / "h" / "h.sqlite").write_bytes(b"damaged" * 3000)
        now = scene.clock.now()
        scene.clock.sleep(schedule.next_start(first, now, 15 * MINUTE, chance.random()) - now)
        if number % 96 == 95:
            del scene.said[:]
            gc.collect()
            used.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()

    told = [subject.rpartition(" ")[2] for subject, _body in scene.sent]
    assert len(spans) > 5
    assert told == ["failed", "recovered"] * len(spans)
    assert used[-1] < used[1] + 150_000, used
    assert (scene.directory / "h" / "h.sqlite.damaged").exists()
    runs = len(list((scene.directory / "runs").glob("*-us1")))
    assert runs == 7 * 96  # recorded runs are not ours to remove
    with Store(scene.directory / "h" / "h.sqlite") as store:
        found = summary.summarize(store, START, scene.clock.now())
    after_damage = START + 301 * 15 * MINUTE
    expected = [span for span in spans if span[0] > after_damage]
    incidents = [item for item in found.incidents if item.id == "us1.registered" and item.target == "two"]
    assert len([item for item in incidents if item.since > after_damage + 3600]) == len(expected)
    assert all(item.until for item in incidents)
