# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The embedded lab with the real mesh on it: comes up, stays untouched, leaves nothing."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from .lab_driver import LabDriver, Machine, alive, family

pytestmark = pytest.mark.integration

# Values that the kernel changes by itself.
_VOLATILE = re.compile(r"nf_conntrack_count|/flush$|dev_weight|/tcp_mem$|/udp_mem$|neigh/default/gc_")


def _host_state() -> dict[str, object]:
    """Return what a lab must not touch."""

    def run(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return re.sub(r"counter packets \d+ bytes \d+|(valid|preferred)_lft \S+|(expires|age) \d+\S*", "", done.stdout)

    sysctls = {}
    for path in sorted(Path("/proc/sys/net").rglob("*")):
        if path.is_file() and os.access(path, os.R_OK) and not _VOLATILE.search(str(path)):
            try:
                sysctls[str(path)] = path.read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
    return {
        "addresses": run("ip", "addr"),
        "links": run("ip", "-d", "link"),
        "routes": run("ip", "route", "show", "table", "all") + run("ip", "-6", "route", "show", "table", "all"),
        "rules": run("ip", "rule"),
        "nftables": run("nft", "list", "ruleset"),
        "resolv.conf": (Path("/etc/resolv.conf").read_text(encoding="utf-8"), Path("/etc/resolv.conf").stat().st_ino),
        "hosts": Path("/etc/hosts").read_text(encoding="utf-8"),
        "hostname": run("hostname"),
        "mounts": sorted(line.split(" ", 2)[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "netns": sorted(entry.name for entry in Path("/run/netns").iterdir()) if Path("/run/netns").is_dir() else [],
        "sysctls": sysctls,
    }


def _differences(before: dict[str, object], after: dict[str, object]) -> list[str]:
    return [f"{name}: {before[name]} became {after[name]}" for name in before if before[name] != after[name]]


def test_us1_passes_and_down_leaves_the_machine_as_it_was(user: Machine) -> None:
    driver = LabDriver(user)
    before = _host_state()
    try:
        driver.play("us1.yml").succeeded()
        during = _host_state()
        everything = family(driver.supervisor())
        assert len(everything) > 40, "a lab has more processes than that"
    finally:
        driver.down().succeeded()
    assert not alive(everything), f"processes were left: {alive(everything)}"
    assert not driver.directory.exists()
    assert list(driver.machine.state_dir.joinpath("labs").glob(f"*{driver.name}*")) == []
    assert _differences(before, during) == [], "the lab touched this machine"
    assert _differences(before, _host_state()) == [], "down left a trace"


def test_a_second_up_changes_nothing_and_is_quick(mesh: LabDriver) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    again = mesh.play("up.yml").succeeded()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert again.changed() == []
    # Processor time, and not the clock's: other tests may run at the same time.
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert took < 8, f"{took:.1f} s"


def test_check_mode_on_a_standing_mesh_changes_nothing(mesh: LabDriver) -> None:
    assert mesh.play("up.yml", "--check").succeeded().changed() == []


def test_check_mode_without_a_lab_foresees_it_and_makes_nothing(new_lab: Callable[..., LabDriver]) -> None:
    lab = new_lab()
    foreseen = lab.play("up.yml", "--check").succeeded()
    assert foreseen.of("Bring up the lab")["localhost"]["changes"] == [f"lab {lab.name} created with 11 machines"]
    assert not lab.directory.exists()


def test_what_tries_to_leave_is_rejected_and_counted(mesh: LabDriver) -> None:
    before = mesh.counter("router-subnet-a", "egress")
    # The way a program would: a name that the lab does not know, and an address outside.
    mesh.shell("client-node-1", "! ping -c 1 -W 2 198.51.100.7 && ! getent hosts example.org")
    assert mesh.counter("router-subnet-a", "egress") == before + 1


def test_real_programs_in_peace_ask_for_nothing_outside(mesh: LabDriver) -> None:
    """A fresh mesh: before any outage, neither headscale nor a client has looked for the internet."""
    tried = {
        router: mesh.shell(router, "nft list set inet router tried")
        for router in ("router-subnet-a", "router-subnet-b")
    }
    outside = {
        address
        for text in tried.values()
        for address in re.findall(r"\d+\.\d+\.\d+\.\d+", text)
        if address != "198.51.100.7"  # the test above
    }
    assert outside == set(), tried


def test_the_namespace_of_the_lab_has_no_way_out(mesh: LabDriver) -> None:
    done = mesh.inside(mesh.init(), ["ip", "-j", "-d", "link"])
    kinds = {link.get("linkinfo", {}).get("info_kind", link["link_type"]) for link in json.loads(done.stdout)}
    assert kinds <= {"loopback", "bridge", "veth"}
    # Every line's far end is in a namespace of the lab: no peer is this machine's.
    own = subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True).stdout
    assert not any(link["ifname"].startswith("br-wan") for link in json.loads(own))


def test_a_machine_cannot_write_to_this_system(mesh: LabDriver) -> None:
    for path in (
        "/usr/meshctl-test",
        "/bin/meshctl-test",
        "/dev/meshctl-test",
        "/sys/meshctl-test",
        "/opt/meshctl/bin/x",
    ):
        mesh.shell("client-node-1", f"! touch {path} 2>/dev/null")
    parents = ("/etc", "/var", "/root", "/tmp", "/home", "/run")
    mine = f"own-{mesh.name}"
    written = " ".join(f"{parent}/{mine}" for parent in parents)
    mesh.shell("client-node-1", f"touch {written} && ! ls /run/lab 2>/dev/null")
    assert not any(Path(parent, mine).exists() for parent in parents)


def test_two_labs_side_by_side_with_the_same_addresses(mesh: LabDriver) -> None:
    other = LabDriver(mesh.machine)
    other.build().succeeded()
    try:
        assert "192.168.1.10/24" in other.shell("client-node-1", "ip -4 -o addr show eth0")
        other.shell("client-node-1", "ping -c 1 -W 2 203.0.113.10")
        for driver in (mesh, other):
            assert "192.168.1.10/24" in driver.shell("client-node-1", "ip -4 -o addr show eth0")
    finally:
        other.down().succeeded()
    assert mesh.play("up.yml").succeeded().changed() == []


def _secrets(mesh: LabDriver) -> list[str]:
    keys = mesh.shell(
        "headscale-server", "cat /var/lib/headscale/meshctl_api_key /var/lib/headscale/meshctl_preauthkey"
    )
    found = keys.split()
    assert len(found) == 2, "one API key and one preauthkey"
    return found


def test_no_secret_in_logs_or_in_files_that_others_read(mesh: LabDriver) -> None:
    secrets = _secrets(mesh)
    for path in mesh.machine.state_dir.rglob("*"):
        if path.is_file():
            text = path.read_bytes().decode(errors="replace")
            assert not any(secret in text for secret in secrets), path
    for machine in ("headscale-server", "client-node-1", "relay"):
        patterns = "\n".join(secrets)
        script = f"cat > /root/secrets <<'END'\n{patterns}\nEND\nchmod 600 /root/secrets\n"
        script += (
            "find /etc /var /root /home /tmp /run -xdev -type f -perm /044 -exec grep -lFf /root/secrets {} + || true\n"
        )
        script += "rm /root/secrets"
        assert mesh.shell(machine, script).split() == [], machine


def test_private_keys_of_the_lab_are_private(mesh: LabDriver) -> None:
    assert mesh.directory.stat().st_mode & 0o077 == 0
    for path in mesh.directory.rglob("*key*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_no_secret_in_output_or_in_any_process_list(new_lab: Callable[..., LabDriver]) -> None:
    driver = new_lab()
    seen: set[bytes] = set()
    process = driver.start("up.yml", "-vvv")
    output: list[str] = []
    reader = threading.Thread(target=lambda: output.append(process.stdout.read() if process.stdout else ""))
    reader.start()
    while process.poll() is None:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    seen.add((entry / "cmdline").read_bytes())
                except OSError:
                    continue
    reader.join()
    assert process.returncode == 0, output[0][-3000:]
    assert any(b"tailscale\0up\0" in command for command in seen), "the registration was not seen"
    for secret in _secrets(driver):
        assert secret not in output[0]
        assert not any(secret.encode() in command for command in seen)
