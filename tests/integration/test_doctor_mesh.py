# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Break a mesh and check that the doctor names the fault, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .broken_mesh import CONFIG, ONE, OPEN, RELAY, SERVER, THREE, TWO, BrokenMesh, hint, ids, patient, roots
from .lab_driver import wait_for

__all__ = ["patient"]
pytestmark = pytest.mark.integration


def test_a_well_mesh_has_no_findings(patient: BrokenMesh) -> None:
    assert patient.examine() == []
    assert patient.last is not None
    assert patient.last.status == 0
    assert patient.last.changed() == [], "the doctor only looks"


def test_1_traffic_that_is_relayed(patient: BrokenMesh) -> None:
    rules = "chain out { type filter hook output priority 0; oifname eth0 udp dport != { 53, 3478 } drop; }"
    with patient.firewall(ONE, rules):
        wait_for(lambda: not patient.peer(ONE, TWO).get("CurAddr"), "the direct path is given up")
        findings = patient.examine()
    assert {f.target for f in findings if f.id == "doctor.path" and f.source == ONE} == {TWO, THREE}
    assert ids(findings) == {"doctor.path"}


def test_2_a_proxy_that_breaks_the_upgrade(patient: BrokenMesh) -> None:
    proxy = (
        "printf '%s' 'events {} http { access_log off; server { listen 443 ssl; ssl_certificate "
        "/etc/meshctl/tls/cert.pem; "
        "ssl_certificate_key /etc/meshctl/tls/key.pem; location / { proxy_pass https://127.0.0.1:8443; } } } "
        "pid /run/proxy.pid;"
        " error_log stderr; user root;' >/etc/proxy.conf\n"
        f"sed -i 's/^listen_addr:.*/listen_addr: 127.0.0.1:8443/' {CONFIG}"
    )
    with patient.config(proxy, healthy=False):
        wait_for(lambda: "8443" in patient.sh(SERVER, "ss -Hltn"), "headscale has moved")
        patient.sh(SERVER, "nginx -c /etc/proxy.conf >/dev/null 2>&1 </dev/null")
        try:
            wait_for(patient._serving, "the proxy answers")
            findings = patient.examine()
        finally:
            patient.sh(SERVER, "kill $(cat /run/proxy.pid)")
            wait_for(lambda: ":443 " not in patient.sh(SERVER, "ss -Hltn"), "the proxy has gone")
    assert {f.source for f in findings if f.id == "doctor.proxy"} == {ONE, TWO, THREE}
    assert "nginx" in hint(findings, "doctor.proxy")
    assert "doctor.server" not in ids(findings), "the server itself answers"


def test_3_a_server_url_that_clients_lose(patient: BrokenMesh) -> None:
    join = (
        "timeout 3 tailscale up --login-server=http://headscale.lab.test --reset --hostname=client-node-3 "
        "--force-reauth --accept-risk=all --auth-key=none"
    )
    patient.sh(THREE, f"{join} >/dev/null 2>&1 || true")
    try:
        findings = patient.examine()
    finally:
        patient.lab.play("up.yml").succeeded()
        wait_for(patient.online, "everybody is back")
    assert ids(findings, source=THREE) >= {"doctor.server_url", "doctor.client"}
    assert "port 443" in hint(findings, "doctor.server_url")


def test_4_stun_and_relay_that_do_not_answer(patient: BrokenMesh) -> None:
    with patient.firewall(RELAY, "chain in { type filter hook input priority 0; udp dport 3478 drop; }"):
        findings = patient.examine()
    assert ids(findings) == {"doctor.relay.stun"}
    assert {f.source for f in findings} == {ONE, TWO, THREE}
    with patient.firewall(
        RELAY, "chain in { type filter hook input priority 0; tcp dport 443 reject with tcp reset; }"
    ):
        findings = patient.examine()
    assert "doctor.relay.https" in ids(findings)
    assert "doctor.relay.stun" not in ids(findings)


def test_4_a_proxy_before_the_relay_that_breaks_the_upgrade(patient: BrokenMesh) -> None:
    proxy = (
        "events {} http { access_log off; server { listen 8443 ssl; ssl_certificate /etc/meshctl/tls/cert.pem; "
        "ssl_certificate_key /etc/meshctl/tls/key.pem; location / { proxy_pass https://127.0.0.1:443; proxy_ssl_server_name on; "
        "proxy_ssl_name relay.lab.test; } } } pid /run/proxy.pid; error_log stderr; user root;"
    )
    patient.sh(RELAY, f"printf '%s' '{proxy}' >/run/proxy.conf; nginx -c /run/proxy.conf >/dev/null 2>&1 </dev/null")
    try:
        # Connections that stand already go on; whoever comes now meets the proxy.
        with patient.firewall(
            RELAY, "chain in { type nat hook prerouting priority -100; tcp dport 443 redirect to :8443; }"
        ):
            findings = patient.examine()
    finally:
        patient.sh(RELAY, "kill $(cat /run/proxy.pid)")
    assert roots(findings) == {"doctor.relay.upgrade"}, "its pages answer"
    assert {f.source for f in findings if f.id == "doctor.relay.upgrade"} == {ONE, TWO, THREE}
    assert " in front of the relay does not forward the upgrade" in hint(findings, "doctor.relay.upgrade")


def test_5_a_relay_map_that_cannot_be_loaded(patient: BrokenMesh) -> None:
    script = f"sed -i 's#^  urls: .*#  urls: [https://maps.lab.test/derp.json]#; /^  paths:/,+1d' {CONFIG}"
    with patient.config(script, healthy=False):
        wait_for(lambda: not patient._serving(), "headscale has stopped")
        findings = patient.examine()
    assert "does not start" in hint(findings, "doctor.config")
    assert {f.source for f in findings if f.id == "doctor.server"} == {ONE, TWO, THREE}
    assert "doctor.api" in ids(findings)


def test_6_names_of_the_mesh_that_do_not_resolve(patient: BrokenMesh) -> None:
    patient.sh(ONE, "tailscale set --accept-dns=false")
    # tailscaled takes the file back when it can.
    patient.sh(TWO, "echo nameserver 203.0.113.10 >/run/other; mount --bind /run/other /etc/resolv.conf")
    try:
        findings = patient.examine()
    finally:
        patient.sh(ONE, "tailscale set --accept-dns=true")
        patient.sh(TWO, "umount /etc/resolv.conf")
    assert ids(findings) == {"doctor.magic_dns"}
    by = {f.source: f.hint for f in findings}
    assert "--accept-dns" in by[ONE]
    assert "rewrites /etc/resolv.conf" in by[TWO]


def test_7_a_domain_that_hides_real_names(patient: BrokenMesh) -> None:
    with patient.config(f"sed -i 's/^  base_domain:.*/  base_domain: relay.lab.test/' {CONFIG}"):
        wait_for(lambda: patient.status(ONE)["MagicDNSSuffix"] == "relay.lab.test", "the new domain arrives")
        wait_for(patient.online, "everybody is back")
        findings = patient.examine()
    assert "relay.lab.test" in hint(findings, "doctor.domain")
    assert {f.source for f in findings if f.id == "doctor.domain"} == {ONE, TWO, THREE}


def test_8_names_outside_that_do_not_resolve(patient: BrokenMesh) -> None:
    patient.sh(RELAY, "s6-svc -d /etc/service/resolver")
    try:
        findings = patient.examine()
    finally:
        patient.sh(RELAY, "s6-svc -u /etc/service/resolver")
        wait_for(lambda: ":53 " in patient.sh(RELAY, "ss -Hlun"), "the resolver answers")
    assert {f.source for f in findings if f.id == "doctor.upstream_dns"} == {ONE, TWO, THREE}
    assert "nameservers" in hint(findings, "doctor.upstream_dns")
    assert "doctor.magic_dns" not in ids(findings)


def test_9_two_nodes_of_one_name(patient: BrokenMesh) -> None:
    key = "hskey-authreq-" + "d" * 24
    patient.sh(SERVER, f"headscale debug create-node --name {ONE} --user default --key {key} >/dev/null")
    made = patient.headscale(f"auth register --auth-id {key} --user default")
    try:
        findings = patient.examine()
    finally:
        patient.headscale(f"nodes delete -i {made['id']} --force")
    assert "doctor.names" in ids(findings, target=ONE)
    assert f"delete what is stale of those that are offline, {made['id']} (" in hint(findings, "doctor.names")


def test_10_a_node_that_the_server_thinks_is_offline(patient: BrokenMesh) -> None:
    def thinks(online: bool) -> Callable[[], bool]:
        return lambda: (
            {node["name"]: bool(node.get("online")) for node in patient.headscale("nodes list")}[THREE] is online
        )

    rules = (
        "chain in { type filter hook input priority 0; ip saddr 203.0.113.2 tcp sport 443 reject with tcp reset; }\n"
        "chain out { type filter hook output priority 0; ip daddr 203.0.113.2 tcp dport 443 tcp flags syn "
        "reject with tcp reset; }"
    )
    with patient.firewall(THREE, rules):
        wait_for(thinks(online=False), "the server misses it", seconds=90)
        findings = patient.examine()
    wait_for(thinks(online=True), "the server has it again", seconds=60)
    wait_for(patient.online, "everybody is back", seconds=60)
    assert "doctor.online" in ids(findings, target=THREE)
    assert "its connection to the server is broken" in hint(findings, "doctor.online")


def test_11_a_node_that_is_not_registered(patient: BrokenMesh) -> None:
    node = next(node for node in patient.headscale("nodes list") if node["name"] == THREE)
    patient.headscale(f"nodes delete -i {node['id']} --force")
    for key in patient.headscale("preauthkeys list") or []:
        patient.headscale(f"preauthkeys expire --id {key['id']}")
    try:
        findings = patient.examine()
    finally:
        patient.lab.play("up.yml").succeeded()
        wait_for(patient.online, "everybody is back")
    assert "doctor.registration" in ids(findings, target=THREE)
    assert "was deleted there" in hint(findings, "doctor.registration")
    assert "no usable preauthkey" in hint(findings, "doctor.registration")


def test_12_a_key_that_expires_soon(patient: BrokenMesh) -> None:
    node = next(node for node in patient.headscale("nodes list") if node["name"] == TWO)
    soon = patient.sh(SERVER, "date -u -d '+2 days' +%Y-%m-%dT%H:%M:%SZ").strip()
    patient.headscale(f"nodes expire -i {node['id']} -e {soon}")
    try:
        findings = patient.examine()
        relaxed = patient.examine("-e", "mesh_expiry_warning_days=1")
    finally:
        patient.headscale(f"nodes expire -i {node['id']} --disable")
    assert ids(findings, target=TWO) == {"doctor.expiry"}
    assert "expires in 2.0 days" in hint(findings, "doctor.expiry")
    assert relaxed == []


def test_13_a_policy_that_names_nobody_and_a_firewall(patient: BrokenMesh) -> None:
    targets = [f"{address}:*" for address in patient.status(TWO)["TailscaleIPs"]]
    rules = [{"action": "accept", "src": [source], "dst": targets} for source in ("nosuch@", "*")]
    patient.policy(json.dumps({"acls": rules}))
    try:
        wait_for(lambda: not patient.peer(ONE, THREE), "the policy arrives")
        findings = patient.examine()
        expect = [{"from": "all", "to": [ONE, THREE], "reach": False}]
        agreed = patient.examine("-e", json.dumps({"mesh_expect": expect}))
    finally:
        patient.policy(OPEN)
        wait_for(patient.online, "everybody is back")
    assert "nosuch@" in hint(findings, "doctor.policy.names")
    assert "mesh_expect" in hint(findings, "doctor.policy.reach")
    assert "doctor.policy.reach" not in ids(agreed), "what is expected is what the policy says"
    with patient.firewall(
        TWO, "chain in { type filter hook input priority 0; iifname tailscale0 icmp type echo-request drop; }"
    ):
        blocked = patient.examine()
    assert f"the policy lets it reach {TWO}" in hint(blocked, "doctor.policy.reach")
    assert "nft list ruleset" in hint(blocked, "doctor.policy.reach")


def test_14_an_upgrade_that_would_fail_and_a_lost_key(patient: BrokenMesh) -> None:
    with patient.config(f"printf 'randomize_client_port: true\\n' >>{CONFIG}", restart=False):
        findings = patient.examine()
    assert ids(findings) == {"doctor.config"}
    assert "randomizeClientPort" in hint(findings, "doctor.config")
    key = "/var/lib/headscale/noise_private.key"
    patient.sh(SERVER, f"cp {key} /run/noise.good; rm {key}")
    patient.restart()
    try:
        wait_for(lambda: not patient.status(ONE)["Self"]["Online"], "the clients lose the server")
        findings = patient.examine()
    finally:
        patient.sh(SERVER, f"cat /run/noise.good >{key}")
        patient.restart()
        wait_for(patient.online, "everybody is back", seconds=90)
    assert "noise.private_key_path" in hint(findings, "doctor.identity")
    assert not ids(findings) & {"doctor.server", "doctor.proxy"}, "as far as it goes, the server is well"


def test_15_routes_that_nobody_approved(patient: BrokenMesh) -> None:
    node = next(node for node in patient.headscale("nodes list") if node["name"] == TWO)
    patient.sh(TWO, "tailscale set --advertise-routes=10.9.0.0/24")
    try:
        wait_for(lambda: _offered(patient, TWO), "the server hears of it")
        findings = patient.examine()
        patient.headscale(f"nodes approve-routes -i {node['id']} -r 10.9.0.0/24")
        approved = patient.examine()
    finally:
        patient.sh(TWO, "tailscale set --advertise-routes=")
        patient.headscale(f"nodes approve-routes -i {node['id']} -r ''")
    assert ids(findings) == {"doctor.routes", "doctor.routes.forwarding"}
    assert f"approve-routes -i {node['id']} -r 10.9.0.0/24`" in hint(findings, "doctor.routes")
    assert ids(approved) == {"doctor.routes.forwarding"}


def _offered(patient: BrokenMesh, name: str) -> bool:
    return bool(next(node for node in patient.headscale("nodes list") if node["name"] == name).get("available_routes"))


def test_an_unreachable_server_does_not_hide_what_the_clients_tell(patient: BrokenMesh, tmp_path: Path) -> None:
    findings = patient.examine("-e", "mesh_api_key_file=/nowhere")
    assert ids(findings) == {"doctor.api"}
    assert "mesh_api_key_file" in hint(findings, "doctor.api")


def test_a_client_that_waits_in_vain_says_what_it_sees_of_the_server(patient: BrokenMesh) -> None:
    rules = "chain out { type filter hook output priority 0; tcp dport 443 reject with tcp reset; }"
    patient.sh(THREE, "tailscale logout")
    with patient.firewall(THREE, rules):
        play = patient.lab.play("up.yml")
    patient.lab.play("up.yml").succeeded()
    wait_for(patient.online, "everybody is back")
    assert play.status == 2
    assert "nothing listens there" in play.messages()
