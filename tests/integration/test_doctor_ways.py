# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Break what lies between a client and the others: its network, its HTTP proxy, one route, one name."""

from __future__ import annotations

import pytest

from .broken_mesh import CONFIG, ONE, SERVER, THREE, TWO, BrokenMesh, patient, roots
from .lab_driver import wait_for

__all__ = ["patient"]
pytestmark = [pytest.mark.integration, pytest.mark.slow]
_ROUTER, _OTHER = "router-subnet-b", "nas"
_REFUSE = "FORWARD -p tcp -d 203.0.113.10 --dport 443 -j REJECT --reject-with tcp-reset"
_DIRECT = "OUTPUT -p tcp --dport 443 -d 203.0.113.0/24 -j REJECT --reject-with tcp-reset"
_RUN = "$(readlink -f /etc/service/tailscaled/run)"
_RESTART = "s6-svc -wr -T 10000 -r /etc/service/tailscaled"
# A proxy that knows CONNECT alone.
_PROXY = """
import socket, threading
def copy(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    for end in (one, other):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
def serve(client):
    head = b""
    while b"\\r\\n\\r\\n" not in head:
        head += client.recv(4096)
    host, port = head.split()[1].decode().rsplit(":", 1)
    server = socket.create_connection((host, int(port)))
    client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
    threading.Thread(target=copy, args=(client, server), daemon=True).start()
    copy(server, client)
listener = socket.create_server(("", 3128))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def test_a_relay_that_the_network_of_two_clients_refuses(patient: BrokenMesh) -> None:
    patient.sh(_ROUTER, f"iptables -I {_REFUSE}")
    try:
        findings = patient.examine()
    finally:
        patient.sh(_ROUTER, f"iptables -D {_REFUSE}")
    assert roots(findings) == {"doctor.relay.https"}
    assert (
        f"does not answer this host at 203.0.113.10 (refused), but answers {ONE}: look at the firewall"
        in patient.headline
    )


def test_one_node_that_the_kernel_does_not_reach(patient: BrokenMesh) -> None:
    to = patient.address(TWO)
    patient.sh(ONE, f"ip rule add to {to} pref 90 table 77; ip route add blackhole default table 77")
    try:
        findings = patient.examine()
    finally:
        patient.sh(ONE, "ip rule del pref 90; ip route flush table 77")
    assert roots(findings) == {"doctor.kernel_route"}
    assert f"{ONE}: the kernel does not send packets for other nodes into the mesh: {to} nowhere" in patient.headline


def test_a_vpn_whose_rule_takes_the_packets_of_the_mesh(patient: BrokenMesh) -> None:
    # As wg-quick does: its rule gets a number before those of tailscaled.
    patient.sh(TWO, "ip route add default via 10.0.0.1 dev eth0 table 51820; ip rule add not fwmark 51820 table 51820")
    try:
        findings = patient.examine()
        (taken,) = [finding for finding in findings if not finding.because]
        patient.follow(taken)
        assert patient.examine() == []
    finally:
        patient.sh(TWO, "ip rule del table 51820; ip route flush table 51820")
    assert taken.id == "doctor.kernel_route"
    assert patient.examine() == []


def test_a_rule_that_rewrites_the_source_of_packets(patient: BrokenMesh) -> None:
    nat = "chain nat { type nat hook postrouting priority 90; oifname tailscale0 snat ip to 10.0.0.10; }"
    with patient.firewall(TWO, nat):
        findings = patient.examine()
        headline = patient.headline
    assert roots(findings) == {"doctor.policy.reach"}
    assert headline.startswith(f"{TWO}: ")
    assert f"(chains that rewrite addresses, {TWO}: inet illness nat: exclude tailscale0 there)" in headline


def test_a_record_that_hides_a_node(patient: BrokenMesh) -> None:
    name = patient.status(TWO)["Self"]["DNSName"].rstrip(".")
    record = f"{{name: {name}, type: A, value: 10.9.9.9}}"
    with patient.config(f"sed -i 's#extra_records:.*#extra_records: [{record}]#' {CONFIG}"):
        wait_for(patient.online, "all clients have connected again", seconds=60)
        wait_for(lambda: "10.9.9.9" in patient.sh(TWO, f"getent ahosts {name} || true"), "the client has the record")
        findings = patient.examine()
    assert roots(findings) == {"doctor.magic_dns"}
    assert (
        f"own name {name} to 10.9.9.9 and not to its mesh addresses, as an entry of that name in dns.extra_records"
        in patient.headline
    )


def test_a_client_that_asks_through_an_http_proxy(patient: BrokenMesh) -> None:
    patient.sh(
        _OTHER,
        f"cat >/run/proxy.py <<'END'\n{_PROXY}\nEND\npython3 /run/proxy.py >/dev/null 2>&1 </dev/null & echo $! >/run/proxy.pid",
    )
    variable = "export HTTPS_PROXY=http://user:sesame@10.0.0.20:3128"
    patient.sh(TWO, f"cp {_RUN} /run/tailscaled.good; sed -i '2i {variable}' {_RUN}; iptables -I {_DIRECT}; {_RESTART}")
    try:
        wait_for(patient.online, "the client connects through the proxy", seconds=60)
        healthy = patient.examine()
        patient.sh(_OTHER, "kill $(cat /run/proxy.pid)")
        wait_for(lambda: not patient.status(TWO)["Self"]["Online"], "the client is cut off", seconds=60)
        findings, headline, report = patient.examine(), patient.headline, patient.report
    finally:
        patient.sh(_OTHER, "kill $(cat /run/proxy.pid) 2>/dev/null || true")
        patient.sh(TWO, f"cat /run/tailscaled.good >{_RUN}; iptables -D {_DIRECT}; {_RESTART}")
        wait_for(patient.online, "all are back", seconds=60)
    assert healthy == []
    assert roots(findings) == {"doctor.server"}
    assert headline.startswith(f"{TWO}: ")
    assert (
        "tailscaled asks through the HTTP proxy 10.0.0.20:3128 of its environment, which does not answer (refused)"
        in headline
    )
    assert "sesame" not in str(report)


def test_a_node_that_was_deleted_joins_again_as_the_hint_says(patient: BrokenMesh) -> None:
    number = patient.node(THREE)["id"]
    patient.headscale(f"nodes delete -i {number} --force")
    findings = patient.examine()
    assert roots(findings) == {"doctor.registration"}
    (make, join) = (part for part in patient.headline.split("`") if part.startswith(("headscale ", "tailscale ")))
    user = patient.headscale("users list")[0]["id"]
    key = patient.sh(SERVER, f"{make} --user {user}").strip().splitlines()[-1]
    # Other options of this client: its name.
    patient.sh(THREE, f"echo {key} >/run/key; {join.replace('KEYFILE', '/run/key')} --hostname={THREE}; rm /run/key")
    wait_for(patient.online, "the node is back", seconds=60)
    wait_for(lambda: patient.examine() == [], "nothing is wrong any more", seconds=60)
