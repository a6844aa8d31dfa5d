# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Break each step between two nodes, and check that `why` names this step, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model, walk

from .broken_mesh import ONE, OPEN, THREE, TWO, BrokenMesh, patient
from .lab_driver import wait_for

__all__ = ["patient"]
pytestmark = pytest.mark.integration
HTTP = "tcp/80"  # the mesh service of the lab
PORT = 8443


@dataclass
class Why:
    """The answer to a question."""

    status: int
    data: dict[str, Any]
    output: str

    @property
    def failed(self) -> str | None:
        """Return the first step that fails."""
        return self.data["failed_step"]

    @property
    def headline(self) -> str:
        """Return the answer in one sentence."""
        return str(self.data["headline"])

    def states(self) -> dict[str, str]:
        """Return the state of each step."""
        return {step["step"]: step["state"] for step in self.data["steps"]}

    def named(self, step: str, *words: str) -> Why:
        """Check that this step fails first, and that its sentence has these words."""
        assert self.failed == step, self.data
        assert self.status != 0
        assert self.data["reachable"] is False
        assert all(word in self.headline for word in words), self.headline
        assert "failed" not in [state for name, state in self.states().items() if name != step], self.data
        return self

    def reached(self) -> Why:
        """Check that the target answers, with every step passed."""
        assert self.data["reachable"] is True, self.data
        assert self.status == 0, self.output[-2000:]
        assert set(self.states().values()) == {"passed"}, self.data
        return self


def why(mesh: BrokenMesh, source: str, target: str, service: str = "icmp") -> Why:
    """Ask why a node cannot reach another."""
    run_dir = mesh.lab.machine.home / f"{mesh.lab.name}-why"
    play = mesh.lab.play(
        "why.yml", "-e", f"why_source={source}", "-e", f"why_target={target}", "-e", f"why_service={service}",
        MESHCTL_RUN_DIR=str(run_dir), ANSIBLE_CALLBACKS_ENABLED="meshctl.headscale.report,record_results",
    )  # fmt: skip
    assert play.changed() == [], "it only looks"
    report = model.load(run_dir).as_dict()
    found = walk.as_data(report["checks"])
    assert found.get("headline"), play.output[-3000:]
    assert report["headline"] == found["headline"]
    return Why(play.status, found, play.output)


@contextlib.contextmanager
def listening(mesh: BrokenMesh, machine: str, address: str, kind: str = "tcp") -> Iterator[None]:
    """Have a program listen in a machine; by UDP it sends back what it gets."""
    script = {
        "tcp": "s.listen()\nwhile 1: s.accept()[0].close()",
        "udp": "while 1:\n d, a = s.recvfrom(2048); s.sendto(d, a)",
        "udp-silent": "while 1: s.recvfrom(2048)",
    }[kind]
    family = "AF_INET6" if ":" in address else "AF_INET"
    sock = "SOCK_STREAM" if kind == "tcp" else "SOCK_DGRAM"
    code = (
        f"import socket\ns = socket.socket(socket.{family}, socket.{sock})\n"
        f"s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\ns.bind(('{address}', {PORT}))\n{script}"
    )
    mesh.sh(
        machine,
        f"cat >/run/listener.py <<'END'\n{code}\nEND\npython3 /run/listener.py >/dev/null 2>&1 </dev/null & echo $! >/run/listener.pid",
    )
    wait_for(lambda: f":{PORT} " in mesh.sh(machine, "ss -Hlntu"), "it listens")
    try:
        yield
    finally:
        mesh.sh(machine, "kill $(cat /run/listener.pid)")
        wait_for(lambda: f":{PORT} " not in mesh.sh(machine, "ss -Hlntu"), "it has ended")


@contextlib.contextmanager
def opening(mesh: BrokenMesh, ports: str) -> Iterator[None]:
    """Have a policy for a while that opens only the IPv4 address of a node, and wait until the node has it."""

    def rules() -> str:
        return mesh.sh(
            ONE,
            "curl -s --unix-socket /var/run/tailscale/tailscaled.sock "
            "http://local-tailscaled.sock/localapi/v0/debug-packet-filter-matches",
        )

    before = rules()
    address = mesh.status(ONE)["Self"]["TailscaleIPs"][0]
    mesh.policy(f'{{"acls": [\n{{"action": "accept", "src": ["*"], "dst": ["{address}:{ports}"]}}]}}')
    try:
        wait_for(lambda: rules() != before, "the policy arrives")
        yield
    finally:
        mesh.policy(OPEN)
        wait_for(lambda: rules() == before, "the open policy is back")


def test_a_healthy_pair_is_reachable(patient: BrokenMesh) -> None:
    found = why(patient, TWO, ONE, HTTP).reached()
    assert "arrived at client-node-1 on tailscale0" in found.headline
    found = why(patient, patient.address(TWO), f"{THREE}.mesh.internal").reached()
    assert found.data["service"] == "icmp"


def test_registered_a_node_that_logged_out(patient: BrokenMesh) -> None:
    patient.sh(THREE, "tailscale logout")
    try:
        why(patient, TWO, THREE).named("registered", "client-node-3 is logged out", "tailscale up")
    finally:
        patient.lab.play("up.yml").succeeded()
        wait_for(patient.online, "everybody is back")


def test_client_whose_tailscaled_does_not_run(patient: BrokenMesh) -> None:
    patient.sh(THREE, "s6-svc -wD -d /etc/service/tailscaled")
    try:
        why(patient, TWO, THREE).named("client", "tailscaled does not run on client-node-3", "nothing listens on")
    finally:
        patient.sh(THREE, "s6-svc -u /etc/service/tailscaled")
        wait_for(patient.online, "everybody is back")


def test_policy_that_opens_another_port(patient: BrokenMesh) -> None:
    with opening(patient, "443"):
        why(patient, TWO, ONE, HTTP).named("policy", "opens only tcp 443", "acl 1", "no rule allows tcp 80")


@pytest.mark.slow
def test_policy_that_opens_one_family(patient: BrokenMesh) -> None:
    with opening(patient, "*"):
        found = why(patient, TWO, ONE).named("policy", "by IPv6, but does by IPv4", "no rule allows ipv6 packets")
        assert found.states()["connection"] == "passed", "by IPv4"


def test_packet_filter_with_shields_up(patient: BrokenMesh) -> None:
    patient.sh(ONE, "tailscale set --shields-up")
    try:
        why(patient, TWO, ONE, HTTP).named("packet_filter", "shields are up on client-node-1")
    finally:
        patient.sh(ONE, "tailscale set --shields-up=false")


@pytest.mark.parametrize("broken", [TWO, pytest.param(ONE, marks=pytest.mark.slow)])
def test_route_that_another_rule_takes(patient: BrokenMesh, broken: str) -> None:
    # tailscaled puts its own rule back at once.
    patient.sh(broken, "ip rule add priority 100 to 100.64.0.0/10 table main")
    try:
        why(patient, TWO, ONE, HTTP).named("route", f"{broken} sends packets for 100.64", "to eth0", "takes precedence")
    finally:
        patient.sh(broken, "ip rule del priority 100")


def test_sent_with_a_firewall_at_the_source(patient: BrokenMesh) -> None:
    with patient.firewall(
        TWO, "chain out { type filter hook output priority 0; oifname tailscale0 tcp dport 80 drop; }"
    ):
        why(patient, TWO, ONE, HTTP).named("sent", "no packet got to its tailscale0", "inet illness out")


@pytest.mark.parametrize(
    ("verdict", "words"),
    [("drop", "sent no answer"), pytest.param("reject", "rejects them", marks=pytest.mark.slow)],
)
def test_firewall_at_the_target(patient: BrokenMesh, verdict: str, words: str) -> None:
    with patient.firewall(ONE, f"chain in {{ type filter hook input priority 0; tcp dport 80 {verdict}; }}"):
        why(patient, TWO, ONE, HTTP).named("firewall", words, "arrived at client-node-1", "inet illness in")


def test_listener_that_is_missing_or_elsewhere(patient: BrokenMesh) -> None:
    why(patient, TWO, ONE, "tcp/81").named("listener", "nothing listens on tcp/81 on client-node-1")
    with listening(patient, THREE, "127.0.0.1"):
        why(patient, TWO, THREE, f"tcp/{PORT}").named("listener", f"open only on 127.0.0.1:{PORT}")


def test_udp(patient: BrokenMesh) -> None:
    with listening(patient, THREE, "0.0.0.0", "udp"):
        why(patient, TWO, THREE, f"udp/{PORT}").reached()


@pytest.mark.slow
def test_udp_that_nothing_answers(patient: BrokenMesh) -> None:
    why(patient, TWO, ONE, "udp/8443").named("listener", "nothing listens on udp/8443")
    address = patient.status(THREE)["Self"]["TailscaleIPs"][0]
    with listening(patient, THREE, "0.0.0.0", "udp-silent"):
        assert why(patient, TWO, THREE, f"udp/{PORT}").data["reachable"] is True, "nothing there drops it"
        with patient.firewall(THREE, f"chain in {{ type filter hook input priority 0; udp dport {PORT} drop; }}"):
            found = why(patient, TWO, address, f"udp/{PORT}")
    assert found.data["reachable"] is None
    assert "is not known" in found.headline
    assert "inet illness in" in found.headline


@pytest.mark.slow
def test_registered_a_node_that_expired(patient: BrokenMesh) -> None:
    patient.headscale(f"nodes expire -i {patient.node(THREE)['id']}")
    try:
        why(patient, TWO, THREE).named("registered", "the key of client-node-3 expired on")
    finally:
        patient.sh(THREE, "tailscale logout")
        patient.lab.play("up.yml").succeeded()
        wait_for(patient.online, "everybody is back")


@pytest.mark.slow
def test_registered_a_node_that_was_deleted(patient: BrokenMesh) -> None:
    patient.headscale(f"nodes delete -i {patient.node(THREE)['id']} --force")
    try:
        why(patient, TWO, THREE).named("registered", "the server does not know the key of client-node-3")
    finally:
        patient.sh(THREE, "tailscale logout")
        patient.lab.play("up.yml").succeeded()
        wait_for(patient.online, "everybody is back")


@pytest.mark.slow
def test_client_that_is_down(patient: BrokenMesh) -> None:
    patient.sh(THREE, "tailscale down")
    try:
        why(patient, TWO, THREE).named("client", "tailscale is down on client-node-3")
    finally:
        patient.sh(THREE, "tailscale up")
        wait_for(patient.online, "everybody is back")


@pytest.mark.slow
def test_path_that_is_gone(patient: BrokenMesh) -> None:
    rules = "chain out { type filter hook output priority 0; oifname eth0 drop; }"
    with patient.firewall(THREE, rules):
        why(patient, TWO, THREE).named("path", "answers neither directly nor through a relay")
    wait_for(patient.online, "everybody is back", seconds=90)


@pytest.mark.slow
def test_connection_whose_answer_the_source_drops(patient: BrokenMesh) -> None:
    with patient.firewall(TWO, "chain in { type filter hook input priority 0; tcp sport 80 drop; }"):
        why(patient, TWO, ONE, HTTP).named("connection", "came back to client-node-2", "inet illness in")


@pytest.mark.slow
def test_firewall_that_is_no_firewall(patient: BrokenMesh) -> None:
    for name in ("ipv4/icmp_echo_ignore_all", "ipv6/icmp/echo_ignore_all"):
        patient.sh(THREE, f"echo 1 >/proc/sys/net/{name}")
    try:
        why(patient, TWO, THREE).named("firewall", "client-node-3 ignores echo requests", "icmp_echo_ignore_all=0")
    finally:
        for name in ("ipv4/icmp_echo_ignore_all", "ipv6/icmp/echo_ignore_all"):
            patient.sh(THREE, f"echo 0 >/proc/sys/net/{name}")


@pytest.mark.slow
def test_a_target_behind_a_subnet_router(patient: BrokenMesh) -> None:
    number = patient.node(ONE)["id"]
    asked = (patient, THREE, "headscale-server", "tcp/443")
    patient.sh(ONE, "tailscale set --advertise-routes=192.168.1.0/24; echo 1 >/proc/sys/net/ipv4/ip_forward")
    try:
        wait_for(lambda: patient.node(ONE).get("available_routes"), "the route is offered")
        patient.headscale(f"nodes approve-routes -i {number} -r 192.168.1.0/24")
        why(*asked).named("subnet", "client-node-3 does not accept the routes", "tailscale set --accept-routes")
        patient.sh(THREE, "tailscale set --accept-routes")
        wait_for(lambda: "192.168.1.0/24" in patient.sh(THREE, "ip route show table 52"), "the route is there")
        why(*asked).reached()
        patient.sh(ONE, "echo 0 >/proc/sys/net/ipv4/ip_forward")
        why(*asked).named("firewall", "client-node-1, which does not forward packets")
        patient.sh(ONE, "echo 1 >/proc/sys/net/ipv4/ip_forward")
        why(patient, THREE, "192.168.1.5", "tcp/444").named("listener", "192.168.1.5 refuses the connection")
    finally:
        patient.sh(THREE, "tailscale set --accept-routes=false")
        patient.sh(ONE, "tailscale set --advertise-routes=")
        patient.headscale(f"nodes approve-routes -i {number} -r ''")
