# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A second relay, and a second upstream resolver, by inventory data alone: nodes use both, and survive either.

The kernel of some machines cannot delay a link, so which of two equally near relays a node chooses is left to chance.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .lab_driver import LabDriver, Machine, standing, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ONE, TWO, _THREE = CLIENTS = ("client-node-1", "client-node-2", "client-node-3")
RELAYS = {"lab": "relay", "lab-2": "relay-2"}
_SECOND = {"mesh_subnet": "wan", "mesh_address": "203.0.113.11", "mesh_names": ["relay-2.lab.test", "second.lab.test"]}
_REHOMED_S = 90.0
_NO_UDP = "table inet closed { chain out { type filter hook output priority 0; oifname eth0 udp dport != { 53, 3478 } drop; }\n}\n"
_ASK = """python3 -c '
import socket, struct, sys
name = b"".join(bytes([len(part)]) + part.encode() for part in sys.argv[2].split(".")) + b"\\0"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(5)
    sock.sendto(struct.pack("!6H", 7, 256, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1), (sys.argv[1], 53))
    answer = sock.recv(512)
print(answer[3] & 15, ".".join(map(str, answer[-4:])))' """


@pytest.fixture(scope="module")
def mesh(machine: Machine) -> Iterator[LabDriver]:
    """Return the seed's mesh with a second relay."""
    driver = LabDriver(machine)
    driver.hosts("relays")["relay-2"] = _SECOND
    with standing(driver):
        driver.play("up.yml").succeeded()
        yield driver


def _status(mesh: LabDriver, client: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(mesh.shell(client, "tailscale status --json"))
    return found


def _home(mesh: LabDriver, client: str) -> str:
    """Return the code of a client's home region."""
    own = _status(mesh, client)["Self"]
    return str(own["Relay"]) if isinstance(own, dict) else ""


def _homes(mesh: LabDriver) -> set[str]:
    return {_home(mesh, client) for client in CLIENTS}


def _ping(mesh: LabDriver) -> str:
    address = mesh.shell(TWO, "tailscale ip -4").strip()
    return mesh.shell(ONE, f"tailscale ping --until-direct=false -c 2 --timeout 5s {address} || true")


def test_a_mesh_with_two_relays_is_well(mesh: LabDriver) -> None:
    regions = json.loads(mesh.shell(ONE, "tailscale debug derp-map"))["Regions"]
    assert {number: region["RegionCode"] for number, region in regions.items()} == {"900": "lab", "901": "lab-2"}
    mesh.play("stories/us1.yml").succeeded()
    mesh.play("doctor.yml").succeeded()
    assert mesh.play("up.yml").succeeded().changed() == []


def test_each_upstream_resolver_knows_its_own_names(mesh: LabDriver) -> None:
    first, second = "203.0.113.10", "203.0.113.11"
    assert mesh.shell(ONE, f"{_ASK} {second} second.lab.test").split() == ["0", second]
    assert mesh.shell(ONE, f"{_ASK} {first} second.lab.test").split()[0] == "3", "NXDOMAIN"
    assert mesh.shell(ONE, f"{_ASK} {second} outside.lab.test").split()[0] == "3", "NXDOMAIN"
    for server in (first, second):
        assert mesh.shell(ONE, f"{_ASK} {server} headscale.lab.test").split()[0] == "0"


def test_nodes_leave_a_relay_that_dies_and_do_not_hasten_back(mesh: LabDriver) -> None:
    lost = str(wait_for(lambda: _home(mesh, TWO), "the node has a home"))
    kept = next(code for code in RELAYS if code != lost)
    mesh.shell(ONE, f"printf '%s' '{_NO_UDP}' | nft -f -")
    mesh.shell(RELAYS[lost], "s6-svc -wd -T 10000 -d /etc/service/derper")
    try:
        wait_for(lambda: _homes(mesh) == {kept}, "every node uses the other relay", seconds=_REHOMED_S)
        wait_for(lambda: f"via DERP({kept})" in _ping(mesh), "packets take the other relay", seconds=_REHOMED_S)
    finally:
        mesh.shell(RELAYS[lost], "s6-svc -wU -T 15000 -u /etc/service/derper")
        mesh.shell(ONE, "nft delete table inet closed")
    mesh.play("stories/us1.yml").succeeded()
    mesh.play("doctor.yml").succeeded()
