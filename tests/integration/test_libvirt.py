# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mesh on virtual machines, from nothing to nothing: true guests under libvirt, emulated where there is no KVM.

One machine for the whole file, and its tests in order: what a test leaves is what the next one begins with.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _binaries
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt import image
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt.model import Settings
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model

from . import libvirt_machine
from .libvirt_machine import INVENTORY, Machine, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.libvirt]

GUESTS = {f"meshctl-vmtest-{name}" for name in ("headscale-server", *(f"client-node-{i}" for i in range(1, 5)))}
NETWORKS = {"meshctl-vmtest-subnet-a", "meshctl-vmtest-subnet-b"}
FOREIGN = ({"somebody-elses"}, {"meshctl-vmtest-of-somebody"})


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    libvirt_machine.require()
    # Here and not in the machine, which has no way to a mirror.
    image.ensure_image(Settings(), print)
    _binaries.find(_binaries.PROGRAMS)
    with libvirt_machine.started(tmp_path_factory.mktemp("vm")) as found:
        yield found


def assert_nothing_left(machine: Machine) -> None:
    assert (machine.domains(), machine.networks()) == FOREIGN
    assert machine.disks() == []
    assert not [name for name in machine.links() if name not in {"lo", "foreign0"}]
    wait_until(lambda: not [p for p in machine.processes() if "foreign" not in p and "of-somebody" not in p])
    assert not list((machine.directory / "state/labs").glob("*"))
    assert "foreign0" in machine.links()


def recap(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(line for line in done.stdout.splitlines() if "changed=" in line)


def stories_passed(machine: Machine, *stories: str) -> set[str]:
    """Return the ids of the checks that passed in the newest run, which is of these stories and has no bad check."""
    checks = model.load(max((machine.directory / "runs").glob("*/report.json"))).checks
    assert {check["story"] for check in checks} == set(stories)
    assert not [check["id"] for check in checks if check["verdict"] in ("failed", "error")]
    return {check["id"] for check in checks if check["verdict"] == "passed"}


def test_one_command_brings_the_guests_up_and_the_stories_pass(machine: Machine) -> None:
    # US1 follows below. US5 takes many minutes on emulated guests, and US6 has no routes to set up there.
    done = machine.meshctl("run", "us2", "us3", "us4", "--inventory", INVENTORY, "--json", seconds=2400)

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    assert machine.domains() == GUESTS | FOREIGN[0]
    assert machine.networks() == NETWORKS | FOREIGN[1]
    stories_passed(machine, "us2", "us3", "us4")


def test_the_guests_are_machines_of_their_own(machine: Machine) -> None:
    kernel = machine.meshctl("exec", "client-node-1", "--", "cat", "/proc/version", "/etc/machine-id")
    other = machine.meshctl("exec", "client-node-2", "--", "cat", "/proc/version", "/etc/machine-id")

    assert kernel.returncode == 0, kernel.stderr
    assert Path("/proc/version").read_text(encoding="utf-8").strip() not in kernel.stdout
    assert other.returncode == 0, other.stderr
    init = machine.meshctl("exec", "client-node-2", "--", "cat", "/proc/1/comm")
    assert init.stdout.strip() == "systemd"


def test_a_story_survives_a_restart_of_libvirtd_while_a_cable_is_pulled(machine: Machine) -> None:
    log = machine.directory / "us1.log"
    words = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", INVENTORY, "playbooks/us1.yml"]
    extra = ["-e", json.dumps({"lab_name": machine.lab, "mesh_deploy": False})]
    with log.open("wb") as out:
        story = subprocess.Popen(machine.enter(*words, *extra), stdout=out, stderr=out, env=machine.environment())
        try:
            wait_until(lambda: "TASK [No other node reaches it]" in log.read_text(encoding="utf-8"), seconds=300)
            machine.restart_libvirtd()
            assert story.wait(900) == 0, log.read_text(encoding="utf-8")[-4000:]
        finally:
            story.kill()
            story.wait(30)
    # The disturbing ones were made, and not skipped.
    made = stories_passed(machine, "us1")
    assert any(name.startswith("us1.rejoins.link") for name in made), sorted(made)


def test_a_second_up_changes_nothing(machine: Machine) -> None:
    done = machine.playbook("up")

    assert done.returncode == 0, done.stdout[-4000:]
    assert recap(done).count("changed=0") == len(recap(done).splitlines()) > 0, recap(done)


def test_an_up_plugs_in_the_cable_that_an_interrupted_story_left_unplugged(machine: Machine) -> None:
    line = ("meshctl-vmtest-client-node-2", "52:54:0a:00:00:0a")
    machine.virsh("domif-setlink", *line, "down")

    done = machine.playbook("up")

    assert done.returncode == 0, done.stdout[-4000:]
    assert machine.virsh("domif-getlink", *line).split()[-1] == "up"


def test_down_leaves_nothing_and_touches_nothing_else(machine: Machine) -> None:
    # As QEMU does with a guest whose disk is full: such a domain would outlive its definition.
    machine.virsh("suspend", "meshctl-vmtest-client-node-4")

    done = machine.meshctl("down", "--inventory", INVENTORY)

    assert done.returncode == 0, done.stdout + done.stderr
    assert_nothing_left(machine)


def test_down_again_finds_nothing_to_do(machine: Machine) -> None:
    assert machine.playbook("down").returncode == 0
    assert_nothing_left(machine)


def test_guests_come_back_from_their_saved_state_and_a_killed_up_is_cleaned_by_down(machine: Machine) -> None:
    program = Path(machine.environment()["PATH"].split(":")[0]) / "ansible-playbook"
    command = machine.enter(
        str(program), "-i", INVENTORY, "-e", json.dumps({"lab_name": machine.lab}), "playbooks/up.yml"
    )
    log = machine.directory / "killed.log"
    with log.open("wb") as out:
        # One process to kill, the last link of a chain that `nsenter` began.
        up = subprocess.Popen(command, stdout=out, stderr=out, env=machine.environment(), start_new_session=True)
        try:
            wait_until(lambda: "restored from their saved state" in log.read_text(encoding="utf-8"), seconds=300)
        finally:
            os.killpg(up.pid, signal.SIGKILL)
            up.wait(30)
    assert machine.domains() >= GUESTS

    done = machine.playbook("down")

    assert done.returncode == 0, done.stdout[-4000:]
    assert_nothing_left(machine)


def test_a_guest_that_never_answers_is_one_message_and_leaves_nothing(machine: Machine) -> None:
    done = machine.playbook("up", mesh_libvirt={"memory_mb": 320, "boot_seconds": 1, "accelerator": "tcg"})

    assert done.returncode != 0
    assert "does not answer ssh within 1 s (mesh_libvirt.boot_seconds)" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert_nothing_left(machine)


def test_a_full_disk_is_one_message_and_leaves_nothing(machine: Machine) -> None:
    small = machine.directory / "small"
    small.mkdir()
    assert machine.run("mount", "-t", "tmpfs", "-o", "size=64m", "small", str(small)).returncode == 0

    done = machine.playbook("up", mesh_libvirt={"disks": str(small)})

    assert done.returncode != 0
    assert f"{small} has 0.1 GiB free, virtual machines need 2 GiB" in done.stdout
    assert_nothing_left(machine)


def test_a_domain_that_has_the_name_of_a_guest_is_refused_and_left_alone(machine: Machine) -> None:
    foreign = machine.directory / "foreign.xml"
    foreign.write_text(
        libvirt_machine.FOREIGN_DOMAIN.replace("somebody-elses", "meshctl-vmtest-client-node-1"), encoding="utf-8"
    )
    machine.virsh("define", str(foreign))

    done = machine.playbook("up")
    down = machine.playbook("down")

    assert done.returncode != 0
    assert "a domain 'meshctl-vmtest-client-node-1' that this lab did not create" in done.stdout
    assert down.returncode == 0
    assert "meshctl-vmtest-client-node-1" in machine.domains()
    machine.virsh("undefine", "meshctl-vmtest-client-node-1")
    assert_nothing_left(machine)
