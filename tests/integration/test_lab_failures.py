# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is killed, what breaks, what is missing: nothing is left, and the next `up` works."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from .lab_driver import ORDINARY_UID, LabDriver, Machine, alive, end_group, family, start_time, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def _everything(driver: LabDriver) -> set[tuple[int, str]]:
    """Return the lab's processes: those below its supervisor, and any other that carries its name."""
    found: set[tuple[int, str]] = set()
    with contextlib.suppress(OSError, ValueError):
        found = family(driver.supervisor())
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if driver.name.encode() in command and (started := start_time(int(entry.name))):
                    found.add((int(entry.name), started))
    return found


def _nothing_is_left(driver: LabDriver, before: set[tuple[int, str]]) -> None:
    driver.down().succeeded()
    assert not driver.directory.exists()
    wait_for(lambda: not alive(before), f"the lab's processes end: {alive(before)}", seconds=10)
    assert not _everything(driver)


# A dozen moments of an `up` that takes some five seconds, each with a victim.
_MOMENTS = [
    (0.45, "ansible"),
    (0.6, "ansible"),
    (0.65, "supervisor"),
    (0.7, "init"),
    (0.75, "ansible"),
    (0.8, "machine"),
    (0.85, "ansible"),
    (0.95, "supervisor"),
    (1.2, "ansible"),
    (1.6, "init"),
    (2.2, "machine"),
    (3.0, "ansible"),
    (3.6, "interrupt"),
    (0.7, "interrupt"),
]


def _strike(driver: LabDriver, process: subprocess.Popen[str], victim: str) -> None:
    """Kill a part of what runs; a part that is not there yet is waited for."""
    if victim == "ansible":
        os.killpg(process.pid, signal.SIGKILL)
    elif victim == "interrupt":
        os.killpg(process.pid, signal.SIGINT)
    else:
        part = {
            "supervisor": driver.supervisor,
            "init": driver.init,
            "machine": lambda: driver.process("client-node-2"),
        }
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError, ValueError, IndexError, KeyError):
                os.kill(part[victim](), signal.SIGKILL)
                return
            time.sleep(0.002)


@pytest.mark.parametrize(("moment", "victim"), _MOMENTS)
def test_a_kill_at_any_moment_of_up(new_lab: Callable[..., LabDriver], moment: float, victim: str) -> None:
    driver = new_lab()
    process = driver.start("up.yml")
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    seen = _everything(driver)
    _strike(driver, process, victim)
    try:
        process.communicate(timeout=90)
    finally:
        end_group(process)
    seen |= _everything(driver)
    # Half of the moments go on with `up`, the others with `down`.
    if int(moment * 100) % 2:
        driver.build().succeeded()
    _nothing_is_left(driver, seen)
    driver.build().succeeded()


@pytest.mark.parametrize("victim", ["supervisor", "init"])
def test_the_supervisor_takes_everything_with_it(new_lab: Callable[..., LabDriver], victim: str) -> None:
    driver = new_lab()
    driver.build().succeeded()
    seen = _everything(driver)
    assert len(seen) > 10
    os.kill(driver.supervisor() if victim == "supervisor" else driver.init(), signal.SIGKILL)
    wait_for(lambda: not alive(seen), "every process of the lab is gone", seconds=10)
    gone = driver.tasks("client-node-1", [{"ansible.builtin.command": "true"}])
    assert gone.status == 4
    assert f"the lab '{driver.name}' is not up; start it with `meshctl up --lab {driver.name}`" in gone.messages()
    assert driver.build().succeeded().of("Build")["localhost"]["created"]


def test_a_killed_machine_comes_back_alone_with_what_it_had_written(new_lab: Callable[..., LabDriver]) -> None:
    driver = new_lab()
    driver.build().succeeded()
    driver.shell("client-node-1", "echo kept > /var/lib/kept; echo gone > /run/gone")
    before = driver.record()["machines"]
    os.kill(driver.process("client-node-1"), signal.SIGKILL)
    wait_for(lambda: not start_time(before["client-node-1"][0]), "the machine is gone")
    gone = driver.tasks("client-node-1", [{"ansible.builtin.command": "true"}])
    assert gone.status == 4
    assert (
        f"machine 'client-node-1' of the lab '{driver.name}' is gone; `meshctl up` starts it again" in gone.messages()
    )

    result = driver.build().succeeded().of("Build")["localhost"]
    assert result["changes"] == ["machine client-node-1 started again"]
    after = driver.record()["machines"]
    assert {name for name in after if after[name] != before[name]} == {"client-node-1"}
    assert driver.shell("client-node-1", "cat /var/lib/kept; ls /run") == "kept\nlock\n"
    driver.shell("client-node-1", "ping -c 1 -W 2 203.0.113.10")
    assert driver.build().succeeded().changed() == []


def test_an_up_that_was_killed_while_it_added_a_machine(new_lab: Callable[..., LabDriver]) -> None:
    driver = new_lab()
    driver.build().succeeded()
    record = (driver.directory / "record.json").read_text(encoding="utf-8")
    driver.hosts("clients")["newcomer"] = {"mesh_subnet": "subnet-b"}
    driver.build().succeeded()
    # As if it had been killed just before it wrote what it had done: the machine is there, and nobody knows.
    (driver.directory / "record.json").write_text(record, encoding="utf-8")
    assert driver.build().succeeded().of("Build")["localhost"]["changes"] == ["machine newcomer added"]
    driver.shell("newcomer", "ping -c 1 -W 2 203.0.113.10")


def test_an_up_that_failed_while_it_added_a_machine_leaves_none_of_it(new_lab: Callable[..., LabDriver]) -> None:
    driver = new_lab()
    driver.build().succeeded()
    assert driver.inside(driver.init(), ["touch", "/run/lab/disk/newcomer"]).returncode == 0  # where its disk would be
    driver.hosts("clients")["newcomer"] = {"mesh_subnet": "subnet-b"}
    driver.vars["mesh_subnets"]["subnet-b"]["nat"] = "hard"
    assert driver.build().status == 2
    assert "newcomer" in driver.inside(driver.init(), ["ls", "/run/netns"]).stdout
    del driver.hosts("clients")["newcomer"]
    driver.vars["mesh_subnets"]["subnet-b"]["nat"] = "easy"
    assert driver.build().succeeded().of("Build")["localhost"]["changes"] == [
        "machine newcomer removed",
        "links and NAT applied again after an unfinished change",
    ]
    assert "newcomer" not in driver.inside(driver.init(), ["ls", "/run/netns"]).stdout
    assert driver.build().succeeded().changed() == []
    driver.shell("client-node-2", "ping -c 1 -W 2 203.0.113.10")


def test_a_program_that_was_replaced_at_its_path_is_noticed(new_lab: Callable[..., LabDriver], user: Machine) -> None:
    driver = new_lab(machine=user)
    path = user.home / f"own-{driver.name}"
    build = [{"name": "Build", "meshctl.headscale.lab": {"programs": {"headscale": str(path)}}}]
    for text, seconds in (("one", 0), ("one", 5)):  # it is the same after it was installed again
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        os.utime(path, (time.time() - seconds,) * 2)
        assert driver.tasks("localhost", build).succeeded().of("Build")["localhost"]["changed"] is (seconds == 0)
    path.write_text("two", encoding="utf-8")
    refused = driver.tasks("localhost", build)
    assert refused.status == 2
    assert (
        f"the lab '{driver.name}' runs another headscale; take it down with `meshctl down --lab {driver.name}` first"
        in refused.messages()
    )


def test_a_lab_without_a_readable_record_is_built_anew(new_lab: Callable[..., LabDriver]) -> None:
    driver = new_lab()
    driver.build().succeeded()
    seen = _everything(driver)
    (driver.directory / "record.json").write_text("{", encoding="utf-8")
    assert driver.build().succeeded().of("Build")["localhost"]["created"]
    assert not alive(seen)


def _broken(driver: LabDriver, name: str, script: str) -> None:
    """Have the lab use another program in place of a real one."""
    path = driver.machine.home / f"broken-{driver.name}"
    path.write_text(script, encoding="utf-8")
    path.chmod(0o755)
    driver.vars["mesh_binaries"] = {name: str(path)}


def _logs_of(play_messages: str) -> Path:
    return Path(play_messages.partition("its logs are in ")[2].split()[0])


def test_a_server_that_cannot_start_rolls_the_lab_back(new_lab: Callable[..., LabDriver]) -> None:
    driver = new_lab()
    _broken(driver, "headscale", '#!/bin/sh\n[ "$1" = version ] && exec echo v0.29.3\necho no such luck >&2\nexit 1\n')
    play = driver.play("up.yml")
    assert play.status == 2, play.output[-3000:]
    assert "Run Headscale: headscale was started but is not ready" in play.messages()
    assert "no such luck" in play.messages()
    assert "undefined" not in play.messages()
    assert not driver.directory.exists()
    assert not _everything(driver)
    log = _logs_of(play.messages()) / "logs" / "headscale-server" / "headscale" / "current"
    assert "no such luck" in log.read_text(encoding="utf-8")


def test_one_client_of_three_that_cannot_register_rolls_the_lab_back(new_lab: Callable[..., LabDriver]) -> None:
    driver = new_lab()
    driver.hosts("clients")["client-node-3"]["tailscale_client_hostname"] = "x" * 300
    play = driver.play("us1.yml")
    assert play.status == 2
    assert "client-node-3" in play.messages()
    assert "is too long to be a DNS name" in play.messages()
    assert not driver.directory.exists(), "the story must not go on with two nodes"
    assert not any("reach" in result["task"] for result in play.results)
    assert (_logs_of(play.messages()) / "logs" / "client-node-3" / "tailscaled" / "current").exists()


def test_a_lab_that_stood_before_is_not_taken_down(new_lab: Callable[..., LabDriver]) -> None:
    driver = new_lab()
    driver.build().succeeded()
    driver.hosts("headscale")["headscale-server"]["headscale_server_listen_port"] = 70000
    play = driver.play("up.yml")
    assert play.status == 2
    assert "taken down" not in play.messages()
    assert driver.shell("client-node-1", "hostname").strip() == "client-node-1"


def test_a_machine_that_cannot_be_built_takes_the_lab_down(new_lab: Callable[..., LabDriver]) -> None:
    driver = new_lab()
    result = driver.tasks(
        "localhost", [{"name": "Build", "meshctl.headscale.lab": {"programs": {"headscale": "/nonexistent/headscale"}}}]
    )
    assert result.status == 2
    assert "everything it started was removed again, its logs are in" in result.messages()
    assert not driver.directory.exists()
    assert not _everything(driver)


def _inside_own_mounts(driver: LabDriver, prepare: str) -> str:
    """Build the lab where the file system is a little different, for this command only; return what it said."""
    command = driver.machine.command
    wrapped = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-ec", f'{prepare}\nexec "$@"', "sh"]
    driver.machine = replace(driver.machine)
    driver.machine.command = lambda words: wrapped + command(words)  # type: ignore[method-assign]
    play = driver.build()
    assert play.status == 2
    return play.messages()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="hides a system file in a mount namespace: needs root")


@needs_root
def test_a_missing_program_is_named_with_its_package(new_lab: Callable[..., LabDriver]) -> None:
    message = _inside_own_mounts(new_lab(), f"mount --bind /dev/null {os.path.realpath(shutil.which('nft') or '')}")
    assert message.startswith("programs are missing (nft): install them; Debian and Ubuntu: apt-get install")
    assert message.endswith("nftables")


@needs_root
def test_without_tun_the_message_names_the_condition(new_lab: Callable[..., LabDriver], ordinary: Machine) -> None:
    play = new_lab(machine=replace(ordinary, tun_mode="0600")).build()
    assert play.status == 2
    assert (
        "/dev/net/tun: Permission denied: let this user read and write it (chmod 0666 /dev/net/tun), or run as root"
        in play.messages()
    )


@needs_root
def test_without_user_namespaces_the_message_names_the_condition(
    new_lab: Callable[..., LabDriver], ordinary: Machine
) -> None:
    # In a user namespace of the test's own, where the limit is the test's and not this machine's.
    prefix = (
        f"unshare --user --map-user={ORDINARY_UID} --keep-caps "
        "/bin/sh -ec 'echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"' sh"
    )
    play = new_lab(machine=replace(ordinary, prefix=prefix)).build()
    assert play.status == 2
    assert "this user cannot create a user namespace with its own network" in play.messages()
    assert "as root: sysctl -w user.max_user_namespaces=10000; or run as root" in play.messages()


@needs_root
def test_a_state_directory_that_cannot_be_written(new_lab: Callable[..., LabDriver], ordinary: Machine) -> None:
    play = new_lab(machine=replace(ordinary, environment={"MESHCTL_STATE_DIR": "/usr/lib/meshctl-state"})).build()
    assert play.status == 2
    assert "/usr/lib/meshctl-state/labs cannot be written (Permission denied): set MESHCTL_STATE_DIR" in play.messages()


@needs_root
def test_a_full_disk_is_named(new_lab: Callable[..., LabDriver]) -> None:
    driver = new_lab()
    driver.machine.state_dir.mkdir(exist_ok=True)
    message = _inside_own_mounts(driver, f"mount -t tmpfs -o size=20m small {driver.machine.state_dir}")
    assert re.search(r"has (19|20) MiB free, 300 MiB are needed: free some space, or set MESHCTL_STATE_DIR", message)


def test_bad_input_is_one_sentence_and_starts_nothing(new_lab: Callable[..., LabDriver]) -> None:
    driver = new_lab()
    driver.hosts("clients")["client-node-1"]["mesh_address"] = "10.9.9.9"
    play = driver.play("up.yml")
    assert play.status == 2
    assert (
        play.messages()
        == "host client-node-1: mesh_address: 10.9.9.9 is not a host address of its subnet 192.168.1.0/24"
    )
    assert not driver.directory.exists()
