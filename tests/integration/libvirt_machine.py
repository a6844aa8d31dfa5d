# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine with a libvirtd, for the tests of virtual machines: namespaces of their own, whatever this machine has."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt import modules

ROOT = Path(__file__).parents[2]
INVENTORY = "inventory/libvirt.yml"
PROGRAMS = ("libvirtd", "virsh", "qemu-system-x86_64", "qemu-img", "mmdebstrap", "dnsmasq", "ssh")
FOREIGN_DOMAIN = """<domain type="qemu"><name>somebody-elses</name><memory unit="MiB">64</memory>
<os><type arch="x86_64">hvm</type></os></domain>"""
# Of the names that a lab called `vmtest` uses, and not made by it.
FOREIGN_NETWORK = """<network><name>meshctl-vmtest-of-somebody</name><bridge name="foreign0"/>
<ip address="192.168.77.1" prefix="24"/></network>"""


def missing() -> str:
    """Say why there can be no such machine here; nothing when there can."""
    if os.geteuid() != 0:
        return "virtual machines need root"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    if lacking := [name for name in PROGRAMS if not shutil.which(name, path=path)]:
        return f"not installed: {', '.join(lacking)}"
    if lack := modules.missing():
        return f"{lack[0]}: {lack[1]}"
    # A container without privileges has a root that may do little.
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "ip", "tuntap", "add", "mode", "tap", "try"],
        capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return f"root may make no machines here: {tried.stderr.strip()}" if tried.returncode else ""


@dataclass
class Machine:
    """A machine with libvirt, of which the tests see everything."""

    directory: Path
    supervisor: subprocess.Popen[bytes]
    lab: str = "vmtest"

    @property
    def init(self) -> int:
        """Return process 1 of the machine, as this one sees it."""
        pid = self.supervisor.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()[0])

    def enter(self, *command: str) -> list[str]:
        """Return a command that runs inside."""
        return ["nsenter", "--target", str(self.init), "--net", "--mount", "--pid", f"--wd={ROOT}", *command]

    def environment(self, **more: str) -> Mapping[str, str]:
        """Return the environment of meshctl inside."""
        own = {
            "MESHCTL_STATE_DIR": str(self.directory / "state"),
            "MESHCTL_RUNS_DIR": str(self.directory / "runs"),
            "MESHCTL_LAB": self.lab,
            "PYTHONPATH": f"{ROOT / 'collection'}:{ROOT / 'runner'}",
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
            "NO_COLOR": "1",
        }
        return {**os.environ, **own, **more}

    def run(self, *command: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        return subprocess.run(
            self.enter(*command), capture_output=True, text=True, check=False, timeout=seconds,
            env=self.environment(), stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def meshctl(self, *words: str, seconds: float = 900.0) -> subprocess.CompletedProcess[str]:
        """Run meshctl inside."""
        return self.run(sys.executable, "-m", "meshctl_headscale", *words, seconds=seconds)

    def playbook(self, name: str, seconds: float = 1200.0, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Run a playbook inside, with variables."""
        program = str(Path(sys.executable).parent / "ansible-playbook")
        extra = json.dumps({"lab_name": self.lab, **variables})
        return self.run(program, "-i", INVENTORY, "-e", extra, f"playbooks/{name}.yml", seconds=seconds)

    def virsh(self, *words: str) -> str:
        """Ask libvirt, which must answer."""
        done = self.run("virsh", "--quiet", "--connect", "qemu:///system", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def domains(self) -> set[str]:
        """Return all domains."""
        return set(self.virsh("list", "--all", "--name").split())

    def networks(self) -> set[str]:
        """Return all networks."""
        return set(self.virsh("net-list", "--all", "--name").split())

    def links(self) -> set[str]:
        """Return all interfaces."""
        return {link["ifname"] for link in json.loads(self.run("ip", "-j", "link").stdout)}

    def processes(self) -> list[str]:
        """Return the machine's own processes but libvirtd: commands, without those that have ended."""
        lines = self.run("ps", "-eo", "stat=,args=").stdout.splitlines()
        mine = ("ps -eo", "sh ", "libvirtd", "wait")
        found = [line.split(maxsplit=1)[1] for line in lines if not line.startswith("Z")]
        return [command for command in found if not command.startswith(mine)]

    def disks(self) -> list[str]:
        """Return what is in the directory of disks."""
        return sorted(path.name for path in (self.directory / "libvirt/var/lib/libvirt/images").iterdir())

    def restart_libvirtd(self) -> None:
        """End libvirtd; the machine starts another."""
        before = (self.directory / "libvirt/libvirtd.pid").read_text(encoding="utf-8").strip()
        assert self.run("kill", "-KILL", before).returncode == 0
        wait_until(
            lambda: (self.directory / "libvirt/libvirtd.pid").read_text(encoding="utf-8").strip() not in ("", before)
        )
        self.wait_for_libvirt()

    def wait_for_libvirt(self) -> None:
        """Wait until libvirt answers."""
        wait_until(lambda: self.run("virsh", "--connect", "qemu:///system", "version").returncode == 0)


def wait_until(condition: Any, seconds: float = 60.0) -> None:
    """Wait for a condition that is about to hold."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.1)


@contextlib.contextmanager
def started(directory: Path) -> Iterator[Machine]:
    """Start a machine with libvirt below `directory`, with a domain and a network of somebody else."""
    own = directory / "libvirt"
    own.mkdir()
    script = str(Path(__file__).with_name("libvirtd.sh"))
    with (directory / "machine.log").open("wb") as log:
        supervisor = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", script, str(own)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    machine = Machine(directory=directory, supervisor=supervisor)
    try:
        wait_until((own / "libvirtd.pid").exists)
        machine.wait_for_libvirt()
        for command, xml in (("define", FOREIGN_DOMAIN), ("net-define", FOREIGN_NETWORK)):
            path = directory / f"{command}.xml"
            path.write_text(xml, encoding="utf-8")
            machine.virsh(command, str(path))
        machine.virsh("net-start", "meshctl-vmtest-of-somebody")
        yield machine
    finally:
        supervisor.send_signal(signal.SIGKILL)
        supervisor.wait(30)


def require() -> None:
    """Skip where there can be no such machine."""
    if reason := missing():
        pytest.skip(reason)
