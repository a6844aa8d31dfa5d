# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A second `meshctl up` needs no playbook where nothing differs, and misses nothing that the playbook repairs."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._standing.notes import POLICY_NOTE

from .lab_driver import PROJECT, LabDriver, Machine, standing, wait_for

pytestmark = pytest.mark.integration

_COMPARE = """
import json, sys
from meshctl_headscale import _again, _inventory
from meshctl_headscale._play import Request
path, lab = sys.argv[1:]
up = _again.Up(lab=lab, request=Request(playbooks=[], inventory=path), variables=_inventory.variables(path), command="")
found = up.again(json.loads(up._path.read_text(encoding="utf-8"))["fingerprint"])
print(found if isinstance(found, str) else "")
"""


class Mesh:
    """A lab that `meshctl up` has built."""

    def __init__(self, driver: LabDriver) -> None:
        """Use the lab of a driver."""
        self.lab = driver
        driver.path.write_text(json.dumps(driver.inventory), encoding="utf-8")

    def run(self, *words: str) -> str:
        """Return what a command prints; fail the test if it fails."""
        environment = self.lab.machine.env()
        # It differs from test to test.
        environment.pop("PYTEST_CURRENT_TEST", None)
        done = subprocess.run(list(words), cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self, *options: str) -> tuple[dict[str, Any], str]:
        """Return what `meshctl up --json` prints, and its log."""
        meshctl = str(Path(sys.executable).with_name("meshctl"))
        answer = json.loads(self.run(meshctl, "up", "-i", str(self.lab.path), "--json", *options))
        return answer, (Path(answer["run_dir"]) / "meshctl.log").read_text(encoding="utf-8")

    def difference(self) -> str:
        """Return what another `up` would say that needs a playbook."""
        return self.run(sys.executable, "-c", _COMPARE, str(self.lab.path), self.lab.name).strip()


@pytest.fixture(scope="module")
def mesh(machine: Machine) -> Iterator[Mesh]:
    """Return a mesh that tests may disturb; each of them undoes that, or brings the lab up again."""
    with standing(LabDriver(machine)) as driver:
        found = Mesh(driver)
        found.up()
        yield found


def test_a_second_up_needs_no_playbook(mesh: Mesh) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer, log = mesh.up()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "no playbook was needed" in log
    assert (answer["exit_code"], answer["changed"], answer["reasons"]) == (0, False, [])
    clients = [machine for machine in answer["machines"] if machine["kind"] == "client"]
    assert [(machine["state"], machine["online"]) for machine in clients] == [("Running", True)] * 3
    run_dir = Path(answer["run_dir"])
    report = json.loads((run_dir / "report.json").read_text(encoding="utf-8"))
    assert (report["run_id"], report["verdict"]) == (run_dir.name, "passed")
    assert {"junit.xml", "report.html"} <= {path.name for path in run_dir.iterdir()}
    # It takes 1.1 s, and the playbook 4 s; processor time, because other tests may run at the same time.
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert took < 2.5, f"{took:.1f} s"


def test_other_options_take_the_playbook(mesh: Mesh) -> None:
    for options in (["-v"], ["-e", "mesh_latency_budget_ms=60"]):
        answer, log = mesh.up(*options)
        assert "no playbook was needed" not in log, options
        assert not answer["changed"]


CONFIG = "/etc/headscale/config.yaml"
RESOLVER = "/etc/lab-resolver.conf"
API_KEY = "/var/lib/headscale/meshctl_api_key"
SVC = "s6-svc -w{0} -T15000 -{1} /etc/service/{2}"
FIREWALL = "nft -f - <<END\ntable inet own { chain in { type filter hook input priority 0; tcp dport 80 reject with tcp reset; }; }\nEND"

# Machine, what happens to it, how to undo that, and what is said.
DRIFTS = {
    "a file": ("relay", f"echo >> {RESOLVER}", f"sed -i '$d' {RESOLVER}", f"file {RESOLVER} written"),
    "a mode": ("headscale-server", f"chmod 600 {CONFIG}", f"chmod 644 {CONFIG}", f"file {CONFIG} written"),
    "a directory": (
        "client-node-1",
        "chmod 755 /var/lib/tailscale",
        "chmod 700 /var/lib/tailscale",
        "mode of /var/lib",
    ),
    "a link": (
        "relay",
        "cd /var/lib/derper/certs && mv relay.lab.test.crt kept && ln -s /dev/null relay.lab.test.crt",
        "cd /var/lib/derper/certs && mv kept relay.lab.test.crt",
        "link /var/lib/derper/certs/relay.lab.test.crt",
    ),
    "a command": (
        "relay",
        "echo '# x' >> /etc/meshctl/services/resolver/run",
        "sed -i '$d' /etc/meshctl/services/resolver/run",
        "services/resolver/run written",
    ),
    "a stopped service": ("printer", SVC.format("D", "d", "web"), SVC.format("u", "u", "web"), "service web started"),
    "a service that would not start again": (
        "nas",
        "touch /etc/meshctl/services/web/down",
        "rm /etc/meshctl/services/web/down",
        "file /etc/meshctl/services/web/down removed",
    ),
    "a service that is not supervised": (
        "nas",
        "mv /etc/service/web /etc/meshctl/kept",
        "mv /etc/meshctl/kept /etc/service/web",
        "service web",
    ),
    "a service that does not answer": ("web", FIREWALL, "nft delete table inet own", "web is not ready"),
    "a name": ("client-node-1", "tailscale set --hostname=x", "tailscale set --hostname=client-node-1", "hostname set"),
    "a preference": (
        "client-node-2",
        "tailscale set --accept-dns=false",
        "tailscale set --accept-dns=true",
        "accept_dns set to true",
    ),
    "a client that is down": ("client-node-3", "tailscale down", "tailscale up", "client is up"),
    "an API key": ("headscale-server", f"mv {API_KEY} /root/kept", f"mv /root/kept {API_KEY}", API_KEY),
    "a story's notes": (
        "headscale-server",
        f"echo '{{}}' > {POLICY_NOTE}",
        f"rm {POLICY_NOTE}",
        f"{POLICY_NOTE} is not empty",
    ),
}


@pytest.mark.parametrize("name", DRIFTS)
def test_each_drift_on_a_machine_is_seen(mesh: Mesh, name: str) -> None:
    machine, change, undo, said = DRIFTS[name]
    mesh.lab.shell(machine, change)
    try:
        found = mesh.difference()
        assert found.startswith((f"{machine}: ", "headscale-server: "))
        assert said in found
    finally:
        mesh.lab.shell(machine, undo)
        if "tailscale " in undo:
            wait_for(lambda: mesh.difference() == "", f"{name} is as before")


@contextlib.contextmanager
def _edited(path: Path, text: str) -> Iterator[None]:
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        path.unlink() if before is None else path.write_text(before, encoding="utf-8")


def test_each_drift_of_the_lab_itself_is_seen(mesh: Mesh) -> None:
    directory = mesh.lab.directory
    record = mesh.lab.record()
    own = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    play = {"pid": os.getpid(), "started": int(own), "command": "x", "since": "2026-01-01T00:00:00+00:00"}
    ended = {"id": "x", "title": "x", "since": "x", "undo": [], "variables": {}, "drill": [2**30, 1]}
    edits = {
        directory / "server.json": "{}",
        directory / "record.json": json.dumps({**record, "programs": {**record["programs"], "derper": "/other"}}),
        directory / "faults.json": json.dumps([ended]),
        directory.with_name(f".{directory.name}.use"): json.dumps(play),
    }
    for path, text in edits.items():
        with _edited(path, text):
            assert "have changed" in mesh.difference(), path
    port = record["topology"]["ports"]["nas"]
    mesh.lab.inside(mesh.lab.init(), ["ip", "link", "set", port, "down"])
    assert "have changed" in mesh.difference()
    mesh.lab.inside(mesh.lab.init(), ["ip", "link", "set", port, "up"])
    assert mesh.difference() == ""


def test_up_repairs_all_of_it(mesh: Mesh) -> None:
    """All drifts that `up` repairs at once, a machine that is gone, and a node that the server has forgotten."""
    lab = mesh.lab
    node = lab.shell("client-node-1", 'tailscale status --json | sed -n \'s/.*"ID": "\\([0-9]*\\)".*/\\1/p\' | head -1')
    lab.shell("headscale-server", f"headscale nodes delete --force --identifier {node.strip()}")
    assert "does not know" in mesh.difference()
    for name in DRIFTS.keys() - {
        "a service that does not answer",
        "a service that is not supervised",
        "a story's notes",
    }:
        machine, change, _undo, _said = DRIFTS[name]
        lab.shell(machine, change)
    os.kill(lab.process("web"), signal.SIGKILL)
    wait_for(lambda: "have changed" in mesh.difference(), "the machine is gone")
    assert mesh.up()[0]["changed"]
    assert mesh.difference() == ""
    answer, log = mesh.up()
    assert "no playbook was needed" in log
    assert all(machine["online"] for machine in answer["machines"] if machine["kind"] == "client")
