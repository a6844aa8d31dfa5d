# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection `netns`: what Ansible's own modules need of it, on real machines of a lab."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab_driver import LabDriver, Machine, Play, standing

pytestmark = pytest.mark.integration

NODE = "client-node-1"


@pytest.fixture(scope="module")
def lab(user: Machine) -> Iterator[LabDriver]:
    """Return a lab without a mesh, as root and as an ordinary user."""
    with standing(LabDriver(user)) as driver:
        driver.build().succeeded()
        yield driver


@pytest.fixture(params=["true", "false"], ids=["pipelining", "no-pipelining"])
def pipelining(request: pytest.FixtureRequest) -> str:
    """Return how Ansible is to send modules."""
    value: str = request.param
    return value


def _all_modules(directory: Path) -> list[dict[str, object]]:
    here = {"register": "seen"}
    return [
        {"name": "Command", "ansible.builtin.command": {"argv": ["hostname"]}},
        {
            "name": "Shell",
            "ansible.builtin.shell": "echo \"äöü $0 '$HOME'\" | tee /tmp/ü.txt; exit 3",
            "failed_when": False,
        },
        {"name": "Standard input", "ansible.builtin.command": {"cmd": "cat", "stdin": "grüße"}},
        {"name": "Environment", "ansible.builtin.command": "env"},
        {
            "name": "Copy",
            "ansible.builtin.copy": {"src": f"{directory}/big", "dest": "/var/lib/big ü", "mode": "0640"},
            **here,
        },
        {
            "name": "Copy again",
            "ansible.builtin.copy": {"src": f"{directory}/big", "dest": "/var/lib/big ü", "mode": "0640"},
        },
        {"name": "Content", "ansible.builtin.copy": {"content": "ä\n", "dest": "/var/lib/content", "mode": "0600"}},
        {
            "name": "Template",
            "ansible.builtin.template": {"src": f"{directory}/t.j2", "dest": "/etc/templated", "mode": "0644"},
        },
        {
            "name": "Fetch",
            "ansible.builtin.fetch": {"src": "/var/lib/big ü", "dest": f"{directory}/back", "flat": True},
        },
        {
            "name": "Fetch nothing",
            "ansible.builtin.fetch": {"src": "/nowhere", "dest": f"{directory}/no"},
            "ignore_errors": True,
        },
        {"name": "Script", "ansible.builtin.script": f"{directory}/script.sh 'a b'"},
        {"name": "Slurp", "ansible.builtin.slurp": {"src": "/var/lib/content"}},
        {"name": "Raw", "ansible.builtin.raw": "cat /etc/templated"},
        {"name": "Facts", "ansible.builtin.setup": {"gather_subset": ["!all", "network"]}},
        {
            "name": "Start",
            "ansible.builtin.command": "sh -c 'sleep 0.5; echo late'",
            "async": 30,
            "poll": 0,
            "register": "job",
        },
        {
            "name": "Await",
            "ansible.builtin.async_status": {"jid": "{{ job.ansible_job_id }}"},
            "register": "job_result",
            "until": "job_result.finished",
            "retries": 50,
            "delay": 0.2,
        },
        {"name": "Elsewhere", "ansible.builtin.command": "hostname", "delegate_to": "relay"},
    ]


def test_every_kind_of_module(lab: LabDriver, pipelining: str) -> None:
    directory = lab.machine.home / f"files-{pipelining}"
    directory.mkdir(exist_ok=True)
    content = os.urandom(8 << 20)
    (directory / "big").write_bytes(content)
    (directory / "t.j2").write_text("{{ inventory_hostname }} ünï {{ lab_name }}\n", encoding="utf-8")
    (directory / "script.sh").write_text('#!/bin/sh\necho "$1 on $(hostname)"\n', encoding="utf-8")
    lab.machine.give(directory)
    lab.shell(NODE, "rm -f '/var/lib/big ü' /var/lib/content /etc/templated")

    play = lab.tasks(NODE, _all_modules(directory), ANSIBLE_PIPELINING=pipelining, LC_ALL="C.UTF-8").succeeded()

    def of(task: str) -> dict[str, object]:
        return play.of(task)[NODE]

    assert of("Command")["stdout"] == NODE
    assert of("Shell")["stdout"] == "äöü /bin/sh '/root'"
    assert of("Shell")["rc"] == 3
    assert of("Standard input")["stdout"] == "grüße"
    environment = str(of("Environment")["stdout"])
    assert "MESHCTL_" not in environment, "nothing of the controller's environment is passed on"
    assert str(lab.machine.home) not in environment
    assert of("Copy")["checksum"] == hashlib.sha1(content).hexdigest()  # noqa: S324 (what the module reports)
    assert of("Copy again")["changed"] is False
    assert (directory / "back").read_bytes() == content
    assert "does not exist" in str(of("Fetch nothing")["msg"])
    assert str(of("Script")["stdout"]).strip() == f"a b on {NODE}"
    assert str(of("Raw")["stdout"]).strip() == f"{NODE} ünï {lab.name}"
    facts = of("Facts")["ansible_facts"]
    assert isinstance(facts, dict)
    assert facts["ansible_eth0"]["ipv4"]["address"] == "192.168.1.10"
    assert of("Await")["stdout"] == "late"
    assert of("Elsewhere")["stdout"] == "relay"
    assert not Path("/tmp/ü.txt").exists(), "the machine's /tmp is its own"


def _unreachable(play: Play) -> str:
    assert play.status == 4
    assert {result["status"] for result in play.results} == {"unreachable"}
    return play.messages()


def test_a_machine_that_the_lab_has_not(lab: LabDriver) -> None:
    play = lab.tasks(NODE, [{"ansible.builtin.command": "true"}], "-e", "ansible_host=client-node-9")
    assert f"the lab '{lab.name}' has no machine 'client-node-9'; it has headscale-server, relay," in _unreachable(play)


def test_a_lab_that_is_not_up(lab: LabDriver) -> None:
    play = lab.tasks(NODE, [{"ansible.builtin.command": "true"}], "-e", "lab_name=nosuch")
    assert "the lab 'nosuch' is not up; start it with `meshctl up --lab nosuch`" in _unreachable(play)


def test_a_file_that_cannot_be_written_is_a_failed_task(lab: LabDriver) -> None:
    play = lab.tasks(NODE, [{"ansible.builtin.copy": {"content": "x", "dest": "/usr/x", "mode": "0644"}}])
    assert play.status == 2
    assert "Read-only file system" in play.messages() or "not writable" in play.messages()
