# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor finds nothing in a healthy mesh, whatever its shape.

Two shapes are elsewhere: PostgreSQL in test_postgresql.py, systemd-resolved in test_own_hosts.py.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from proxies import PROGRAMS, Places, command, documented

from .broken_mesh import CONFIG, ONE, OPEN, SERVER, TWO, BrokenMesh, patient
from .lab_driver import LabDriver, Machine, standing, wait_for

__all__ = ["patient"]
pytestmark = [pytest.mark.integration, pytest.mark.slow]
_FRONT = Path("/run/front")
# headscale behind a proxy on its own host, as the documentation has it.
_BEHIND = (
    f"sed -i -e 's/^listen_addr:.*/listen_addr: 127.0.0.1:8080/' -e 's/^tls_\\(cert\\|key\\)_path:.*/tls_\\1_path: \"\"/' {CONFIG}; "
    f"echo 'trusted_proxies: [127.0.0.1/32]' >>{CONFIG}"
)
# Caddy serves no address without a name.
_HEALTH = "curl -sk --max-time 2 --resolve headscale.lab.test:443:127.0.0.1 https://headscale.lab.test/health || true"
_TAGGED = (
    '{"tagOwners": {"tag:router": ["default@"]}, "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}], '
    '"autoApprovers": {"routes": {"10.0.0.0/24": ["tag:router"]}, "exitNode": ["tag:router"]}}'
)


def test_a_mesh_with_sqlite_and_a_relay_of_its_own(patient: BrokenMesh) -> None:
    assert patient.examine() == []


@contextlib.contextmanager
def _behind(patient: BrokenMesh, name: str) -> Iterator[None]:
    """Put a proxy with its documented configuration in front of headscale."""
    places = Places(_FRONT, 443, 8080, 3340)
    text = documented(name).replace("headscale.example.com", "headscale.lab.test")
    content, words = command(name, places, text, _FRONT / name)
    # The tests' own proxies listen on loopback only.
    content = content.replace("127.0.0.1:443", "443" if name in ("nginx", "apache") else ":443")
    content = content.replace("default_bind 127.0.0.1\n", "")
    head = "user root;\n" if name == "nginx" else ""
    patient.sh(
        SERVER,
        f"mkdir -p {_FRONT}; cd {_FRONT}; cp /etc/meshctl/tls/cert.pem chain.pem; cp /etc/meshctl/tls/key.pem key.pem\n"
        f"cat chain.pem key.pem >both.pem; cat >{name} <<'END'\n{head}{content}\nEND",
    )
    with patient.config(_BEHIND, healthy=False):
        wait_for(lambda: ":8080 " in patient.sh(SERVER, "ss -Hltn"), "headscale has moved")
        run = f"cd {_FRONT}; HOME={_FRONT} nohup {shlex.join(words)} >{name}.log 2>&1 </dev/null & echo $! >{name}.id"
        patient.sh(SERVER, run)
        try:
            wait_for(lambda: '"pass"' in patient.sh(SERVER, _HEALTH), f"{name} serves headscale")
            wait_for(patient.online, f"all connect through {name}", seconds=60)
            yield
        finally:
            patient.sh(SERVER, f"kill $(cat {_FRONT}/{name}.id)")
            wait_for(lambda: ":443 " not in patient.sh(SERVER, "ss -Hltn"), f"{name} has gone")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_mesh_behind_a_proxy(name: str, patient: BrokenMesh) -> None:
    with _behind(patient, name):
        assert patient.examine() == []


def test_a_mesh_with_tags_routes_and_an_exit_node_in_use(patient: BrokenMesh) -> None:
    patient.policy(_TAGGED)
    node = patient.node(TWO)["id"]
    try:
        patient.headscale(f"nodes tag -i {node} -t tag:router")
        wait_for(lambda: patient.status(TWO)["Self"].get("Tags"), "the node has its tag")
        patient.sh(TWO, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        patient.sh(TWO, "tailscale set --advertise-exit-node --advertise-routes=10.0.0.0/24")
        wait_for(lambda: patient.peer(ONE, TWO).get("ExitNodeOption"), "the exit node is offered")
        wait_for(lambda: "10.0.0.0/24" in str(patient.peer(ONE, TWO).get("PrimaryRoutes")), "the route is served")
        patient.sh(ONE, f"tailscale set --accept-routes --exit-node={patient.status(TWO)['TailscaleIPs'][0]}")
        assert patient.examine() == []
    finally:
        patient.sh(ONE, "tailscale set --accept-routes=false --exit-node=")
        patient.sh(TWO, "tailscale set --advertise-exit-node=false --advertise-routes=")
        patient.headscale(f"nodes approve-routes -i {node} -r ''")
        patient.policy(OPEN)


def test_a_mesh_with_ipv4_alone_whose_server_is_its_relay(machine: Machine) -> None:
    with standing(LabDriver(machine)) as lab:
        # A relay in a node's own network would not show that node its public address.
        lab.hosts("headscale")[SERVER] = {
            "mesh_subnet": "wan",
            "mesh_address": "203.0.113.5",
            "mesh_names": ["headscale.lab.test"],
        }
        lab.vars["mesh_resolved_families"] = ["ipv4"]
        shape = '{"mesh_relays": [], "headscale_server_prefix_v6": ""}'
        lab.play("up.yml", "-e", shape).succeeded()
        found = BrokenMesh(lab)
        wait_for(found.online, "everybody is online")
        assert all(":" not in known for known in found.status(ONE)["TailscaleIPs"])
        assert found.status(ONE)["Self"]["Relay"] == "headscale"
        assert found.examine("-e", shape) == []


@pytest.mark.slow
def test_a_mesh_with_ipv6_alone(machine: Machine) -> None:
    with standing(LabDriver(machine)) as lab:
        shape = '{"headscale_server_prefix_v4": ""}'
        lab.play("up.yml", "-e", shape).succeeded()
        found = BrokenMesh(lab)
        wait_for(found.online, "everybody is online")
        assert all(":" in known for known in found.status(ONE)["TailscaleIPs"])
        assert found.examine("-e", shape) == []
