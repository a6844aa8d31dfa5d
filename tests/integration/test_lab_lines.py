# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines and routers, measured: impairments, NAT kinds, and what can be changed in a lab that stands."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .lab_driver import LabDriver, Machine, standing, wait_for

pytestmark = pytest.mark.integration

RELAY = "203.0.113.10"

# Answers each UDP packet with the address that it came from: what STUN does.
_MIRROR = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
while True:
    try:
        data, sender = s.recvfrom(2048)
        s.sendto(f"{sender[0]}:{sender[1]}".encode(), sender)
    except OSError as exc:  # the answer to an earlier packet was refused
        print(exc, flush=True)
"""

# Asks two mirrors from one socket, and prints what each saw; "-" where none answered.
_ASK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 41000))
s.settimeout(1)
for port in (7001, 7002):
    for _ in range(3):
        s.sendto(b"?", (sys.argv[1], port))
        try:
            print(s.recv(100).decode())
            break
        except OSError as exc:
            last = exc
    else:
        print("-")
"""

# Sends for some seconds over TCP and prints the rate that arrived, in bits per second.
_SINK = """
import socket, time
s = socket.create_server(("0.0.0.0", 7100))
print("ready", flush=True)
c, _ = s.accept()
total, start = 0, None
while data := c.recv(65536):
    start = start or time.monotonic()
    total += len(data)
print(int(total * 8 / (time.monotonic() - start)))
"""


@pytest.fixture(scope="module")
def lines(machine: Machine) -> Iterator[LabDriver]:
    """Return a lab without a mesh, whose lines and routers the tests of this file change."""
    with standing(LabDriver(machine)) as driver:
        driver.build().succeeded()
        for port in (7001, 7002):
            _background(driver, "relay", _MIRROR, str(port))
        yield driver


def _background(driver: LabDriver, machine: str, code: str, *arguments: str) -> None:
    words = " ".join(arguments)
    path = f"/tmp/{hash(code + words) & 0xFFFFFF:x}"
    driver.shell(
        machine,
        f"cat > {path}.py <<'END'\n{code}\nEND\nsetsid python3 {path}.py {words} > {path}.out 2>&1 </dev/null &",
    )
    wait_for(lambda: "ready" in driver.shell(machine, f"cat {path}.out"), f"{machine}: {code[:40]} is ready")


def _seen_as(driver: LabDriver, machine: str) -> list[str]:
    return driver.shell(machine, f"python3 - {RELAY} <<'END'\n{_ASK}\nEND").split()


def _changes(driver: LabDriver) -> list[str]:
    changes: list[str] = driver.build().succeeded().of("Build")["localhost"]["changes"]
    assert driver.build().succeeded().changed() == [], "a second time changes nothing"
    return changes


def test_easy_nat_keeps_the_port_for_every_destination(lines: LabDriver) -> None:
    assert _seen_as(lines, "client-node-2") == ["203.0.113.3:41000"] * 2


def test_nat_kinds_are_changed_in_place(lines: LabDriver) -> None:
    subnet: dict[str, Any] = lines.vars["mesh_subnets"]["subnet-b"]
    pids = lines.record()["machines"]

    subnet["nat"] = "hard"
    assert _changes(lines) == ["subnet subnet-b: nat changed"]
    first, second = _seen_as(lines, "client-node-2")
    assert first.startswith("203.0.113.3:")
    assert first != second, "one port for each destination"
    assert "203.0.113.3:41000" not in (first, second), "flows of before are translated the new way"

    subnet["nat"] = "none"
    assert _changes(lines) == ["subnet subnet-b: nat changed"]
    assert _seen_as(lines, "client-node-2") == ["10.0.0.10:41000"] * 2
    lines.shell("relay", "ping -c 1 -W 2 10.0.0.10")

    subnet["nat"] = "udp_blocked"
    assert _changes(lines) == ["subnet subnet-b: nat changed"]
    assert _seen_as(lines, "client-node-2") == ["-", "-"]
    lines.shell("client-node-2", f"ping -c 1 -W 2 {RELAY}")

    subnet["nat"] = "easy"
    assert _changes(lines) == ["subnet subnet-b: nat changed"]
    assert _seen_as(lines, "client-node-2") == ["203.0.113.3:41000"] * 2
    assert lines.record()["machines"] == pids, "no machine was started again for that"


def test_physical_networks_have_no_route_to_each_other(lines: LabDriver) -> None:
    before = lines.counter("router-subnet-a", "cross_subnet")
    refused = lines.shell("client-node-1", "ping -c 1 -W 2 10.0.0.10 || true")
    assert "Destination Net Unreachable" in refused
    assert lines.counter("router-subnet-a", "cross_subnet") == before + 1


def test_a_router_drops_what_nobody_asked_for(lines: LabDriver) -> None:
    before = lines.counter("router-subnet-a", "unsolicited")
    lines.shell("relay", "! ping -c 1 -W 1 203.0.113.2")
    assert lines.counter("router-subnet-a", "unsolicited") == before + 1


def test_rate(lines: LabDriver) -> None:
    lines.hosts("clients")["client-node-3"]["mesh_link"] = {"rate": "8mbit"}
    assert _changes(lines) == ["client-node-3: link changed"]
    for sender, receiver, address in (
        ("client-node-3", "relay", RELAY),
        ("client-node-2", "client-node-3", "10.0.0.11"),
    ):
        _background(lines, receiver, _SINK)
        send = f"import socket,time\nc=socket.create_connection(({address!r},7100))\nend=time.monotonic()+1.5\n"
        send += "while time.monotonic()<end: c.sendall(bytes(16384))\nc.close()"
        lines.shell(sender, f"python3 - <<'END'\n{send}\nEND")
        path = f"/tmp/{hash(_SINK) & 0xFFFFFF:x}.out"
        rate = int(wait_for(lambda: re.findall(r"\d+", lines.shell(receiver, f"cat {path}")), "the sink's figure")[0])  # noqa: B023
        assert 5e6 < rate < 9e6, f"{sender} to {receiver}: {rate / 1e6:.1f} Mbit/s"


def test_loss(lines: LabDriver) -> None:
    lines.hosts("clients")["client-node-3"]["mesh_link"] = {"loss": "20%"}
    assert _changes(lines) == ["client-node-3: link changed"]
    lines.shell("client-node-2", "ping -c 1 -W 2 10.0.0.1")  # the neighbour's line is whole
    said = lines.shell("client-node-2", "ping -q -c 400 -i 0.002 -W 1 10.0.0.11 || true")
    lost = float(re.findall(r"([\d.]+)% packet loss", said)[0])
    assert 26 < lost < 46, "20 % on the way there and 20 % on the way back are 36 %"
    del lines.hosts("clients")["client-node-3"]["mesh_link"]
    assert _changes(lines) == ["client-node-3: link changed"]
    assert " 0% packet loss" in lines.shell("client-node-2", "ping -q -c 50 -i 0.002 -W 1 10.0.0.11")


def test_mtu(lines: LabDriver) -> None:
    lines.hosts("clients")["client-node-3"]["mesh_link"] = {"mtu": 1300}
    assert _changes(lines) == ["client-node-3: link changed"]
    assert json.loads(lines.shell("client-node-3", "ip -j link show eth0"))[0]["mtu"] == 1300
    lines.shell("client-node-3", f"ping -c 1 -W 2 -M do -s 1272 {RELAY}")
    lines.shell("client-node-3", f"! ping -c 1 -W 2 -M do -s 1273 {RELAY} 2>/dev/null")


def test_an_impaired_line_of_a_router(lines: LabDriver) -> None:
    lines.vars["mesh_subnets"]["subnet-a"]["link"] = {"loss": "100%"}
    assert "subnet subnet-a: link changed" in _changes(lines)
    lines.shell("client-node-1", f"! ping -c 2 -i 0.1 -W 1 {RELAY}")
    lines.shell("client-node-1", "ping -c 1 -W 1 192.168.1.5")
    del lines.vars["mesh_subnets"]["subnet-a"]["link"]
    _changes(lines)
    lines.shell("client-node-1", f"ping -c 1 -W 2 {RELAY}")


def test_delay_is_made_or_refused_but_never_left_out(lines: LabDriver) -> None:
    line = {"delay": "30ms", "jitter": "1ms"}
    lines.hosts("clients")["client-node-3"]["mesh_link"] = line
    play = lines.build()
    del lines.hosts("clients")["client-node-3"]["mesh_link"]
    if play.status == 0:
        said = lines.shell("client-node-2", "ping -q -c 3 -i 0.1 10.0.0.11")
        assert 50 < float(re.findall(r"= [\d.]+/([\d.]+)/", said)[0]) < 90
        lines.build().succeeded()
    else:
        assert "the link of client-node-3 has a delay, but this kernel cannot give links a delay" in play.messages()
        assert "load the kernel module sch_netem" in play.messages()
        assert "client-node-3" in lines.record()["machines"], "the lab that stood still stands"


def test_hosts_come_and_go_in_a_standing_lab(lines: LabDriver) -> None:
    before = lines.record()["machines"]
    lines.hosts("clients")["newcomer"] = {"mesh_subnet": "subnet-b", "mesh_publish": [{"proto": "udp", "port": 7200}]}
    assert _changes(lines)[0] == "machine newcomer added"
    lines.shell("newcomer", f"ping -c 1 -W 2 {RELAY}")
    assert "udp dport 7200 dnat" in lines.shell("router-subnet-b", "nft list ruleset")
    gone = lines.process("newcomer")
    del lines.hosts("clients")["newcomer"]
    assert _changes(lines) == ["machine newcomer removed"]
    assert lines.record()["machines"] == before
    assert "7200" not in lines.shell("router-subnet-b", "nft list ruleset")
    wait_for(lambda: not _runs(gone), "the machine has ended")
    ports = json.loads(lines.inside(lines.init(), ["ip", "-j", "link", "show", "type", "veth"]).stdout)
    assert len(ports) == 9 + 2 * 2, "one line for each host, two for each router"


def test_up_plugs_in_a_cable_that_an_interrupted_outage_left_out(lines: LabDriver) -> None:
    port = lines.record()["topology"]["ports"]["client-node-2"]
    lines.inside(lines.init(), ["ip", "link", "set", port, "down"])
    assert _changes(lines) == ["cable of client-node-2 plugged in"]
    lines.shell("client-node-2", f"ping -c 1 -W 5 {RELAY}")


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as comm:  # noqa: PTH123
            return bool(comm.read())
    except OSError:
        return False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda lab: lab.vars["mesh_subnets"]["subnet-b"].update(cidr="10.0.0.0/16"),
            "is up with subnet subnet-b: cidr 10.0.0.0/24, but the inventory says 10.0.0.0/16; "
            "take it down with `meshctl down --lab ",
        ),
        (
            lambda lab: lab.vars["mesh_subnets"].update(extra={"cidr": "10.7.0.0/24"}),
            "is up with the subnets subnet-a, subnet-b, but the inventory says subnet-a, subnet-b, extra; take it down",
        ),
        (
            lambda lab: lab.hosts("clients")["client-node-1"].update(mesh_address="192.168.1.77"),
            "is up with client-node-1: address 192.168.1.10, but the inventory says 192.168.1.77; take it down",
        ),
    ],
)
def test_what_cannot_be_changed_in_place_is_refused(
    lines: LabDriver, change: Callable[[LabDriver], None], message: str
) -> None:
    changed = LabDriver(lines.machine, lines.name, lines.inventory)
    change(changed)
    play = changed.build()
    assert play.status == 2
    assert f"the lab '{lines.name}' {message}" in play.messages()
    assert lines.build().succeeded().changed() == []


def _paths(driver: LabDriver, machine: str, target: str) -> list[str]:
    """Ask tailscaled for the way to a peer until it is a direct one, for a while; return the ways that it named."""
    said = driver.shell(
        machine,
        f"tailscale ping --until-direct -c 8 --timeout 2s $(tailscale ip -4 {target}) 2>&1 || true",
        seconds=60,
    )
    return re.findall(r"via (DERP|[\d.]+:\d+)", said)


@pytest.mark.parametrize(("kind", "direct"), [("easy", True), ("hard", False), ("none", True), ("udp_blocked", False)])
def test_real_nodes_behind_each_kind_of_nat(new_lab: Callable[..., LabDriver], kind: str, direct: bool) -> None:
    driver = new_lab()
    for subnet in driver.vars["mesh_subnets"].values():
        subnet["nat"] = kind
    del driver.hosts("clients")["client-node-3"]
    del driver.vars["mesh_routes"]
    driver.play("up.yml").succeeded()
    started = time.monotonic()
    ways = _paths(driver, "client-node-1", "client-node-2")
    assert ways, "client-node-2 was not reached at all"
    if direct:
        public = "10.0.0.10" if kind == "none" else "203.0.113.3"
        assert ways[-1].startswith(public), ways
        assert time.monotonic() - started < 20
    else:
        assert set(ways) == {"DERP"}, ways
