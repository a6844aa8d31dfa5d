# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Break a mesh and check that the doctor names the fault, and nothing else."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .lab_driver import LabDriver, Machine, Play, standing, wait_for

pytestmark = pytest.mark.integration

_ONE, _TWO, _THREE, _SERVER, _RELAY = "client-node-1", "client-node-2", "client-node-3", "headscale-server", "relay"
_CONFIG = "/etc/headscale/config.yaml"
# What lets everybody reach everybody, and is a policy.
_OPEN = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'


@dataclass
class Finding:
    """A bad check of the doctor."""

    id: str
    source: str
    target: str | None
    hint: str


class BrokenMesh:
    """A mesh to break and to repair."""

    def __init__(self, lab: LabDriver) -> None:
        """Use a mesh that is up."""
        self.lab = lab
        self.last: Play | None = None

    def examine(self, *arguments: str) -> list[Finding]:
        """Run the doctor and return what it found to be wrong."""
        run_dir = self.lab.machine.home / f"{self.lab.name}-doctor"
        self.last = self.lab.play(
            "doctor.yml", *arguments, MESHCTL_RUN_DIR=str(run_dir),
            ANSIBLE_CALLBACKS_ENABLED="meshctl.headscale.report,record_results",
        )  # fmt: skip
        report = json.loads((run_dir / "report.json").read_text(encoding="utf-8"))
        assert report["checks"], self.last.output[-2000:]
        bad = [check for check in report["checks"] if check["verdict"] in ("failed", "error")]
        assert all(check["hint"] for check in bad), "every finding has its cause and remedy"
        return [Finding(check["id"], check["source"], check["target"], check["hint"]) for check in bad]

    def sh(self, machine: str, script: str) -> str:
        """Run a script in a machine."""
        return self.lab.shell(machine, script)

    def headscale(self, words: str) -> Any:
        """Return what the server's own command prints."""
        return json.loads(self.sh(_SERVER, f"headscale {words} -o json") or "null")

    def status(self, machine: str) -> dict[str, Any]:
        """Return what a client says of itself and its peers."""
        found: dict[str, Any] = json.loads(self.sh(machine, "tailscale status --json"))
        return found

    def peer(self, machine: str, other: str) -> dict[str, Any]:
        """Return what a client says of a peer."""
        peers = self.status(machine).get("Peer") or {}
        return next((peer for peer in peers.values() if peer["HostName"] == other), {})

    def restart(self, *, healthy: bool = True) -> None:
        """Start the server anew, as after a change of its configuration."""
        self.sh(_SERVER, "s6-svc -r /etc/service/headscale")
        if healthy:
            wait_for(self._serving, "headscale serves again")

    def _serving(self) -> bool:
        return '"pass"' in self.sh(_SERVER, "curl -sk --max-time 2 https://127.0.0.1/health || true")

    def online(self) -> bool:
        """Whether the server and every client have all of them online."""
        nodes = self.headscale("nodes list") or []
        mine = [self.status(machine) for machine in (_ONE, _TWO, _THREE)]
        return sum(bool(node.get("online")) for node in nodes) >= 3 and all(
            status["Self"]["Online"] and sum(peer["Online"] for peer in (status.get("Peer") or {}).values()) >= 2
            for status in mine
        )

    @contextlib.contextmanager
    def config(self, script: str, *, healthy: bool = True, restart: bool = True) -> Iterator[None]:
        """Change the server's configuration for a while."""
        self.sh(_SERVER, f"cp {_CONFIG} /run/config.good; {script}")
        try:
            if restart:
                self.restart(healthy=healthy)
            yield
        finally:
            self.sh(_SERVER, f"cp /run/config.good {_CONFIG}")
            if restart:
                self.restart()
                wait_for(self.online, "everybody is back")

    @contextlib.contextmanager
    def firewall(self, machine: str, rules: str) -> Iterator[None]:
        """Have a table of rules in a machine for a while."""
        self.sh(machine, f"nft -f - <<'END'\ntable inet illness {{\n{rules}\n}}\nEND")
        try:
            yield
        finally:
            self.sh(machine, "nft delete table inet illness")


@pytest.fixture(scope="module")
def patient(machine: Machine) -> Iterator[BrokenMesh]:
    with standing(LabDriver(machine)) as lab:
        lab.play("up.yml").succeeded()
        found = BrokenMesh(lab)
        wait_for(found.online, "everybody is online")
        yield found


def ids(findings: list[Finding], **fields: str) -> set[str]:
    """Return the ids of findings with these fields."""
    return {f.id for f in findings if all(getattr(f, key) == value for key, value in fields.items())}


def hint(findings: list[Finding], check: str) -> str:
    """Return the hints of a finding."""
    return " | ".join(finding.hint for finding in findings if finding.id == check)


def test_a_well_mesh_has_no_findings(patient: BrokenMesh) -> None:
    assert patient.examine() == []
    assert patient.last is not None
    assert patient.last.status == 0
    assert patient.last.changed() == [], "the doctor only looks"


def test_1_traffic_that_is_relayed(patient: BrokenMesh) -> None:
    rules = "chain out { type filter hook output priority 0; oifname eth0 udp dport != { 53, 3478 } drop; }"
    with patient.firewall(_ONE, rules):
        wait_for(lambda: not patient.peer(_ONE, _TWO).get("CurAddr"), "the direct path is given up")
        findings = patient.examine()
    assert {f.target for f in findings if f.id == "doctor.path" and f.source == _ONE} == {_TWO, _THREE}
    assert ids(findings) == {"doctor.path"}


def test_2_a_proxy_that_breaks_the_upgrade(patient: BrokenMesh) -> None:
    proxy = (
        "printf '%s' 'events {} http { access_log off; server { listen 443 ssl; ssl_certificate "
        "/etc/meshctl/tls/cert.pem; "
        "ssl_certificate_key /etc/meshctl/tls/key.pem; location / { proxy_pass https://127.0.0.1:8443; } } } "
        "pid /run/proxy.pid;"
        " error_log stderr; user root;' >/etc/proxy.conf\n"
        f"sed -i 's/^listen_addr:.*/listen_addr: 127.0.0.1:8443/' {_CONFIG}"
    )
    with patient.config(proxy, healthy=False):
        wait_for(lambda: "8443" in patient.sh(_SERVER, "ss -Hltn"), "headscale has moved")
        patient.sh(_SERVER, "nginx -c /etc/proxy.conf >/dev/null 2>&1 </dev/null")
        try:
            wait_for(patient._serving, "the proxy answers")
            findings = patient.examine()
        finally:
            patient.sh(_SERVER, "kill $(cat /run/proxy.pid)")
            wait_for(lambda: ":443 " not in patient.sh(_SERVER, "ss -Hltn"), "the proxy has gone")
    assert {f.source for f in findings if f.id == "doctor.proxy"} == {_ONE, _TWO, _THREE}
    assert "nginx" in hint(findings, "doctor.proxy")
    assert "doctor.server" not in ids(findings), "the server itself answers"


def test_3_a_server_url_that_clients_lose(patient: BrokenMesh) -> None:
    join = (
        "timeout 3 tailscale up --login-server=http://headscale.lab.test --reset --hostname=client-node-3 "
        "--force-reauth --accept-risk=all --auth-key=none"
    )
    patient.sh(_THREE, f"{join} >/dev/null 2>&1 || true")
    try:
        findings = patient.examine()
    finally:
        patient.lab.play("up.yml").succeeded()
        wait_for(patient.online, "everybody is back")
    assert ids(findings, source=_THREE) >= {"doctor.server_url", "doctor.client"}
    assert "port 443" in hint(findings, "doctor.server_url")


def test_4_stun_and_relay_that_do_not_answer(patient: BrokenMesh) -> None:
    with patient.firewall(_RELAY, "chain in { type filter hook input priority 0; udp dport 3478 drop; }"):
        findings = patient.examine()
    assert ids(findings) == {"doctor.relay.stun"}
    assert {f.source for f in findings} == {_ONE, _TWO, _THREE}
    with patient.firewall(
        _RELAY, "chain in { type filter hook input priority 0; tcp dport 443 reject with tcp reset; }"
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
    patient.sh(_RELAY, f"printf '%s' '{proxy}' >/run/proxy.conf; nginx -c /run/proxy.conf >/dev/null 2>&1 </dev/null")
    try:
        # Connections that stand already go on; whoever comes now meets the proxy.
        with patient.firewall(
            _RELAY, "chain in { type nat hook prerouting priority -100; tcp dport 443 redirect to :8443; }"
        ):
            findings = patient.examine()
    finally:
        patient.sh(_RELAY, "kill $(cat /run/proxy.pid)")
    assert ids(findings) == {"doctor.relay.upgrade"}, "its pages answer"
    assert {f.source for f in findings} == {_ONE, _TWO, _THREE}
    assert hint(findings, "doctor.relay.upgrade").startswith("nginx")


def test_5_a_relay_map_that_cannot_be_loaded(patient: BrokenMesh) -> None:
    script = f"sed -i 's#^  urls: .*#  urls: [https://maps.lab.test/derp.json]#; /^  paths:/,+1d' {_CONFIG}"
    with patient.config(script, healthy=False):
        wait_for(lambda: not patient._serving(), "headscale has stopped")
        findings = patient.examine()
    assert "does not start" in hint(findings, "doctor.config")
    assert {f.source for f in findings if f.id == "doctor.server"} == {_ONE, _TWO, _THREE}
    assert "doctor.api" in ids(findings)


def test_6_names_of_the_mesh_that_do_not_resolve(patient: BrokenMesh) -> None:
    patient.sh(_ONE, "tailscale set --accept-dns=false")
    # tailscaled takes the file back when it can.
    patient.sh(_TWO, "echo nameserver 203.0.113.10 >/run/other; mount --bind /run/other /etc/resolv.conf")
    try:
        findings = patient.examine()
    finally:
        patient.sh(_ONE, "tailscale set --accept-dns=true")
        patient.sh(_TWO, "umount /etc/resolv.conf")
    assert ids(findings) == {"doctor.magic_dns"}
    by = {f.source: f.hint for f in findings}
    assert "--accept-dns" in by[_ONE]
    assert "rewrites /etc/resolv.conf" in by[_TWO]


def test_7_a_domain_that_hides_real_names(patient: BrokenMesh) -> None:
    with patient.config(f"sed -i 's/^  base_domain:.*/  base_domain: relay.lab.test/' {_CONFIG}"):
        wait_for(lambda: patient.status(_ONE)["MagicDNSSuffix"] == "relay.lab.test", "the new domain arrives")
        wait_for(patient.online, "everybody is back")
        findings = patient.examine()
    assert "relay.lab.test" in hint(findings, "doctor.domain")
    assert {f.source for f in findings if f.id == "doctor.domain"} == {_ONE, _TWO, _THREE}


def test_8_names_outside_that_do_not_resolve(patient: BrokenMesh) -> None:
    patient.sh(_RELAY, "s6-svc -d /etc/service/resolver")
    try:
        findings = patient.examine()
    finally:
        patient.sh(_RELAY, "s6-svc -u /etc/service/resolver")
        wait_for(lambda: ":53 " in patient.sh(_RELAY, "ss -Hlun"), "the resolver answers")
    assert {f.source for f in findings if f.id == "doctor.upstream_dns"} == {_ONE, _TWO, _THREE}
    assert "nameservers" in hint(findings, "doctor.upstream_dns")
    assert "doctor.magic_dns" not in ids(findings)


def test_9_two_nodes_of_one_name(patient: BrokenMesh) -> None:
    key = "hskey-authreq-" + "d" * 24
    patient.sh(_SERVER, f"headscale debug create-node --name {_ONE} --user default --key {key} >/dev/null")
    made = patient.headscale(f"auth register --auth-id {key} --user default")
    try:
        findings = patient.examine()
    finally:
        patient.headscale(f"nodes delete -i {made['id']} --force")
    assert "doctor.names" in ids(findings, target=_ONE)
    assert "delete the stale ones" in hint(findings, "doctor.names")


def test_10_a_node_that_the_server_thinks_is_offline(patient: BrokenMesh) -> None:
    def thinks(online: bool) -> Callable[[], bool]:
        return lambda: (
            {node["name"]: bool(node.get("online")) for node in patient.headscale("nodes list")}[_THREE] is online
        )

    rules = (
        "chain in { type filter hook input priority 0; ip saddr 203.0.113.2 tcp sport 443 reject with tcp reset; }\n"
        "chain out { type filter hook output priority 0; ip daddr 203.0.113.2 tcp dport 443 tcp flags syn "
        "reject with tcp reset; }"
    )
    with patient.firewall(_THREE, rules):
        wait_for(thinks(online=False), "the server misses it", seconds=90)
        findings = patient.examine()
    wait_for(thinks(online=True), "the server has it again", seconds=60)
    wait_for(patient.online, "everybody is back", seconds=60)
    assert "doctor.online" in ids(findings, target=_THREE)
    assert "its connection to the server is broken" in hint(findings, "doctor.online")


def test_11_a_node_that_is_not_registered(patient: BrokenMesh) -> None:
    node = next(node for node in patient.headscale("nodes list") if node["name"] == _THREE)
    patient.headscale(f"nodes delete -i {node['id']} --force")
    for key in patient.headscale("preauthkeys list") or []:
        patient.headscale(f"preauthkeys expire --id {key['id']}")
    try:
        findings = patient.examine()
    finally:
        patient.lab.play("up.yml").succeeded()
        wait_for(patient.online, "everybody is back")
    assert "doctor.registration" in ids(findings, target=_THREE)
    assert "was deleted there" in hint(findings, "doctor.registration")
    assert "no usable preauthkey" in hint(findings, "doctor.registration")


def test_12_a_key_that_expires_soon(patient: BrokenMesh) -> None:
    node = next(node for node in patient.headscale("nodes list") if node["name"] == _TWO)
    soon = patient.sh(_SERVER, "date -u -d '+2 days' +%Y-%m-%dT%H:%M:%SZ").strip()
    patient.headscale(f"nodes expire -i {node['id']} -e {soon}")
    try:
        findings = patient.examine()
        relaxed = patient.examine("-e", "mesh_expiry_warning_days=1")
    finally:
        patient.headscale(f"nodes expire -i {node['id']} --disable")
    assert ids(findings, target=_TWO) == {"doctor.expiry"}
    assert "expires in 2.0 days" in hint(findings, "doctor.expiry")
    assert relaxed == []


def _set_policy(patient: BrokenMesh, policy: str) -> None:
    patient.sh(_SERVER, f"printf %s '{policy}' >/run/policy; headscale policy set -f /run/policy >/dev/null")


def test_13_a_policy_that_names_nobody_and_a_firewall(patient: BrokenMesh) -> None:
    address = patient.status(_TWO)["TailscaleIPs"][0]
    rule = (
        f'{{"action": "accept", "src": ["nosuch@"], "dst": ["*:*"]}}, '
        f'{{"action": "accept", "src": ["*"], "dst": ["{address}:*"]}}'
    )
    _set_policy(patient, f'{{"acls": [{rule}]}}')
    try:
        wait_for(lambda: not patient.peer(_ONE, _THREE), "the policy arrives")
        findings = patient.examine()
        expect = [{"from": "all", "to": [_ONE, _THREE], "reach": False}]
        agreed = patient.examine("-e", json.dumps({"mesh_expect": expect}))
    finally:
        _set_policy(patient, _OPEN)
        wait_for(patient.online, "everybody is back")
    assert "nosuch@" in hint(findings, "doctor.policy.names")
    assert "mesh_expect" in hint(findings, "doctor.policy.reach")
    assert "doctor.policy.reach" not in ids(agreed), "what is expected is what the policy says"
    with patient.firewall(
        _TWO, "chain in { type filter hook input priority 0; iifname tailscale0 icmp type echo-request drop; }"
    ):
        blocked = patient.examine()
    assert f"firewall on {_TWO}" in hint(blocked, "doctor.policy.reach")


def test_14_an_upgrade_that_would_fail_and_a_lost_key(patient: BrokenMesh) -> None:
    with patient.config(f"printf 'randomize_client_port: true\\n' >>{_CONFIG}", restart=False):
        findings = patient.examine()
    assert ids(findings) == {"doctor.config"}
    assert "randomizeClientPort" in hint(findings, "doctor.config")
    key = "/var/lib/headscale/noise_private.key"
    patient.sh(_SERVER, f"cp {key} /run/noise.good; rm {key}")
    patient.restart()
    try:
        wait_for(lambda: not patient.status(_ONE)["Self"]["Online"], "the clients lose the server")
        findings = patient.examine()
    finally:
        patient.sh(_SERVER, f"cat /run/noise.good >{key}")
        patient.restart()
        wait_for(patient.online, "everybody is back", seconds=90)
    assert "noise.private_key_path" in hint(findings, "doctor.identity")
    assert not ids(findings) & {"doctor.server", "doctor.proxy"}, "as far as it goes, the server is well"


def test_15_routes_that_nobody_approved(patient: BrokenMesh) -> None:
    node = next(node for node in patient.headscale("nodes list") if node["name"] == _TWO)
    patient.sh(_TWO, "tailscale set --advertise-routes=10.9.0.0/24")
    try:
        wait_for(lambda: _offered(patient, _TWO), "the server hears of it")
        findings = patient.examine()
        patient.headscale(f"nodes approve-routes -i {node['id']} -r 10.9.0.0/24")
        approved = patient.examine()
    finally:
        patient.sh(_TWO, "tailscale set --advertise-routes=")
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
    patient.sh(_THREE, "tailscale logout")
    with patient.firewall(_THREE, rules):
        play = patient.lab.play("up.yml")
    patient.lab.play("up.yml").succeeded()
    wait_for(patient.online, "everybody is back")
    assert play.status == 2
    assert "nothing listens there" in play.messages()
