# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watch a real mesh, and collect evidence from it: metrics, messages, kills, alerts; and a simulated week."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tracemalloc
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from meshctl_headscale._history import summary
from meshctl_headscale._history.store import Store
from meshctl_headscale._watch import schedule
from watch_reports import START
from watch_scene import MINUTE, Scene

from .broken_mesh import RELAY, SERVER, BrokenMesh, patient
from .lab_driver import PLAYBOOKS, alive, family, wait_for

__all__ = ["patient"]
pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "collection/ansible_collections/meshctl/headscale/roles/mesh_watch"
RULES = ROLE / "files" / "meshctl.rules.yml"
NO_STUN = "chain in { type filter hook input priority 0; udp dport 3478 drop; }"


class Receiver:
    """Receives the messages of a watch."""

    def __init__(self) -> None:
        """Begin to listen."""
        self.messages: list[dict[str, Any]] = []
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


def test_the_evidence_of_a_mesh_is_in_one_archive(patient: BrokenMesh, tmp_path: Path) -> None:
    patient.lab.play("down.yml", "--list-hosts")
    archive = tmp_path / "evidence.tar.gz"
    words = ["collect", "--anonymous", "-i", str(patient.lab.path), "--output", str(archive)]
    environment = patient.lab.machine.env(PYTHONPATH=":".join(sys.path))
    done = subprocess.run(
        [sys.executable, "-m", "meshctl_headscale", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{archive}\n"), done.stderr
    with tarfile.open(archive) as opened:
        found = {member.name: opened.extractfile(member).read().decode() for member in opened}  # type: ignore[union-attr]
    whole = "".join([*found, *found.values()])
    for kind in ("status", "prefs", "netmap", "routes4", "firewall_nft", "log_tailscaled"):
        assert len([name for name in found if f"/{kind}." in name and found[name].strip()]) >= 3, kind
    assert "BackendState" in whole
    assert any("log_headscale" in name and found[name].strip() for name in found)
    assert "[redacted]" not in found["evidence/about.json"]
    for word in ("client-node-1", "lab.test", "mesh.internal", "192.168.1.", "203.0.113.", "hskey-"):
        assert word not in whole, word
    key = patient.sh(SERVER, "cat /var/lib/headscale/meshctl_api_key").strip()
    assert key
    assert key not in whole
    private = patient.sh(SERVER, "cat /var/lib/headscale/noise_private.key").strip()
    assert private
    assert private not in whole


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


def test_the_alert_rules_do_what_they_say(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path)
    shutil.copy(ROOT / "tests" / "support" / "prometheus" / "meshctl.rules.test.yml", tmp_path)
    for words in (["check", "rules", "meshctl.rules.yml"], ["test", "rules", "meshctl.rules.test.yml"]):
        done = subprocess.run(["promtool", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _ask(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.loads(answer.read())
    except OSError:
        return None


def _port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def _server(words: list[str], log: Path) -> Iterator[None]:
    with log.open("ab") as output, subprocess.Popen(words, stdout=output, stderr=output, cwd=log.parent) as process:
        try:
            yield
        finally:
            process.terminate()


@pytest.mark.slow
def test_an_alert_fires_with_its_cause_and_resolves(patient: BrokenMesh, tmp_path: Path) -> None:
    """A real Prometheus and a real Alertmanager: a fault, the alert with its cause, the repair, and the end of the alert."""
    metrics, prometheus, alertmanager = _port(), _port(), _port()
    receiver, log = Receiver(), tmp_path / "log"
    shutil.copy(RULES, tmp_path)
    (tmp_path / "alertmanager.yml").write_text(
        "route: {receiver: hook, group_wait: 0s, group_interval: 1s, repeat_interval: 1h, group_by: [alertname]}\n"
        f"receivers: [{{name: hook, webhook_configs: [{{url: 'http://127.0.0.1:{receiver.server.server_port}/'}}]}}]\n"
    )
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [meshctl.rules.yml]\n"
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager}']}}]}}]}}\n"
        f"scrape_configs: [{{job_name: mesh, static_configs: [{{targets: ['127.0.0.1:{metrics}']}}]}}]\n"
    )
    listen = ["--listen", f"127.0.0.1:{metrics}", "--history", str(tmp_path / "history" / "h.sqlite")]
    database = [
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{prometheus}",
    ]
    manager = [
        "prometheus-alertmanager",
        "--config.file=alertmanager.yml",
        "--storage.path=silences",
        "--cluster.listen-address=",
    ]
    manager.append(f"--web.listen-address=127.0.0.1:{alertmanager}")

    def value(query: str) -> str:
        answer = _ask(f"http://127.0.0.1:{prometheus}/api/v1/query?query={urllib.parse.quote(query)}") or {}
        found = answer.get("data", {}).get("result") or []
        return str(found[0]["value"][1]) if found else ""

    def told(status: str) -> list[dict[str, Any]]:
        alerts = [alert for message in list(receiver.messages) for alert in message["alerts"]]
        return [
            alert
            for alert in alerts
            if alert["status"] == status and alert["labels"]["alertname"] == "MeshctlStoryFails"
        ]

    with (
        _server(database, tmp_path / "prometheus.log"),
        _server(manager, tmp_path / "alertmanager.log"),
        watching(patient, log, *listen),
    ):
        passed = 'meshctl_story_verdict{story="doctor",verdict="passed"}'
        wait_for(lambda: value(passed) == "1", "Prometheus knows that the doctor passes", seconds=120)
        assert not told("firing")
        with patient.firewall(RELAY, NO_STUN):
            wait_for(lambda: told("firing"), "the alert fires", seconds=120)
        wait_for(lambda: told("resolved"), "the alert resolves", seconds=180)
    assert {alert["labels"]["story"] for alert in told("firing")} == {"doctor"}
    causes = {alert["annotations"]["cause"] for alert in told("firing")}
    assert all("UDP port 3478" in cause for cause in causes), causes


# The role is applied to copies of these directories.
_OVERLAY = """
mount -t tmpfs none "$1"
for dir in /etc /opt /var; do
  mkdir -p "$1$dir/upper" "$1$dir/work"
  mount -t overlay overlay -o "lowerdir=$dir,upperdir=$1$dir/upper,workdir=$1$dir/work" "$dir"
done
shift
exec "$@"
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="the role requires root")
@pytest.mark.parametrize("mode", ["service", "timer"])
def test_the_role_installs_a_hardened_service(mode: str, tmp_path: Path) -> None:
    wheel = tmp_path / "meshctl_headscale-9.9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        info = "meshctl_headscale-9.9.dist-info"
        packed.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: meshctl-headscale\nVersion: 9.9\n")
        packed.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        packed.writestr(f"{info}/entry_points.txt", "[console_scripts]\nmeshctl = json.tool:main\n")
        packed.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (tmp_path / "lock.txt").write_text(f"{wheel} --hash=sha256:{digest}\n")
    (tmp_path / "wrong.txt").write_text(f"{wheel} --hash=sha256:{digest[::-1]}\n")
    (tmp_path / "hosts.yml").write_text("all: {hosts: {}}\n")
    (tmp_path / "cert.pem").write_text("certificate\n")
    textfiles = tmp_path / "text files"
    textfiles.mkdir()
    arguments = {
        "mesh_watch_inventory": str(tmp_path / "hosts.yml"), "mesh_watch_package": str(wheel), "mesh_watch_mode": mode,
        "mesh_watch_lock": str(tmp_path / "lock.txt") if mode == "service" else "",
        "mesh_watch_stories": ["us1", "us4"], "mesh_watch_notify": ["json://host/s3cret"], "mesh_watch_ssh_key": "PRIVATE s3cret",
        "mesh_watch_tls_cert": str(tmp_path / "cert.pem"), "mesh_watch_tls_key": "s3cret", "mesh_watch_password": "a:s3cret",
        "mesh_watch_textfile": str(textfiles / "mesh.prom"), "mesh_watch_start": False, "mesh_watch_user": "mesh-test",
    }  # fmt: skip
    playbook = [
        {"hosts": "localhost", "connection": "local", "gather_facts": False, "roles": ["meshctl.headscale.mesh_watch"]}
    ]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(playbook))
    (tmp_path / "vars.json").write_text(json.dumps(arguments))
    ansible = f"ansible-playbook -i localhost, -e @{tmp_path}/vars.json -e ansible_python_interpreter=/usr/bin/python3 {tmp_path}/play.yml"
    # The service says where its virtual environment is.
    remove = f"{ansible} -e mesh_watch_state=absent -e mesh_watch_directory=/opt/other"
    unit = f"/etc/systemd/system/meshctl-watch.{mode}"
    script = f"""
{ansible} -e mesh_watch_package=meshctl-headscale || true
{ansible} -e mesh_watch_lock={tmp_path}/wrong.txt -e mesh_watch_directory=/opt/wrong || true
echo '--- install'; {ansible} --check && {ansible} && {ansible}
echo '--- secrets'; stat -c '%a %U %n' /etc/meshctl-watch/notify /etc/meshctl-watch/id_ssh /etc/meshctl-watch/password
echo '--- verify'; systemd-analyze verify {unit} 2>&1 | grep meshctl-watch
echo '--- exposure'; systemd-analyze security --offline=true --no-pager /etc/systemd/system/meshctl-watch.service | tail -1
echo '--- command'; grep ^ExecStart /etc/systemd/system/meshctl-watch.service
echo '--- removal'; {remove} && {remove}; ls -d /etc/meshctl-watch /etc/systemd/system/meshctl-watch.* /opt/meshctl-watch
"""
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collection"), "ANSIBLE_NOCOLOR": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", _OVERLAY, "sh", str(overlay), "sh", "-c", script],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    output = done.stdout + done.stderr
    refused, _, rest = output.partition("--- install")
    assert "mesh_watch_package is 'meshctl-headscale': name a version" in refused
    assert "DO NOT MATCH THE HASHES" in refused
    plays, _, rest = rest.partition("--- secrets")
    assert "s3cret" not in refused + plays
    assert re.findall(r"changed=(\d+) .*failed=0", plays)[-1] == "0", output[-3000:]
    secrets, _, rest = rest.partition("--- verify")
    assert re.findall(r"^(\d+) (\S+)", secrets, re.MULTILINE) == [("400", "mesh-test")] * 3
    verified, _, rest = rest.partition("--- exposure")
    assert not verified.strip(), verified
    exposure, _, rest = rest.partition("--- command")
    command, _, removal = rest.partition("--- removal")
    assert float(re.findall(r"[\d.]+", exposure.partition(":")[2])[0]) < 2.0, exposure
    assert f"--textfile '{textfiles}/mesh.prom'" in command
    assert ("--once" in command) == (mode == "timer")
    # Alerts compare the age of the last round with it, in both modes.
    assert "--every 5m" in command
    assert " us1 us4\n" in command
    assert "s3cret" not in command
    assert [changed != "0" for changed in re.findall(r"changed=(\d+) .*failed=0", removal)] == [True, False], removal
    assert removal.count("No such file or directory") == 3, removal
