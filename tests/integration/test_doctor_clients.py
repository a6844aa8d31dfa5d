# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Break clients as public bug reports describe it: one cause is found, and its remedy works."""

from __future__ import annotations

import pytest

from .broken_mesh import ONE, OPEN, SERVER, THREE, TWO, BrokenMesh, Finding, hint, ids, patient, roots
from .lab_driver import wait_for

__all__ = ["patient"]
pytestmark = pytest.mark.integration
_TAILSCALED = "/etc/meshctl/services/tailscaled/run"


def _the(findings: list[Finding], check: str) -> Finding:
    """Return the only finding of an id."""
    (found,) = [finding for finding in findings if finding.id == check]
    return found


def _approve(patient: BrokenMesh, name: str, routes: str) -> None:
    patient.headscale(f"nodes approve-routes -i {patient.node(name)['id']} -r '{routes}'")


def test_a_hosts_own_subnet_that_is_routed_into_the_mesh(patient: BrokenMesh) -> None:
    patient.sh(TWO, "sysctl -qw net.ipv4.ip_forward=1; tailscale set --advertise-routes=10.0.0.0/24")
    try:
        wait_for(lambda: patient.node(TWO).get("available_routes"), "the server hears of the route")
        _approve(patient, TWO, "10.0.0.0/24")
        wait_for(lambda: patient.peer(THREE, TWO).get("PrimaryRoutes"), "the route arrives")
        assert patient.examine() == []
        advice = [check for check in patient.report["checks"] if check["id"] == "doctor.routes.accepted"]
        assert [check["source"] for check in advice] == [ONE], "only a host outside of that subnet gains from the route"
        patient.sh(THREE, "tailscale set --accept-routes")
        findings = patient.examine()
        assert ids(findings) == {"doctor.own_subnet"}
        assert f"10.0.0.0/24 (to {TWO})" in patient.headline
        patient.follow(findings[0])
        assert patient.examine() == []
    finally:
        patient.sh(THREE, "tailscale set --accept-routes=false")
        patient.sh(TWO, "tailscale set --advertise-routes=")
        _approve(patient, TWO, "")


def test_an_exit_node_that_works_may_carry_nothing_and_is_offline(patient: BrokenMesh) -> None:
    patient.sh(
        TWO, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; tailscale set --advertise-exit-node"
    )
    use = f"tailscale set --exit-node={patient.status(TWO)['TailscaleIPs'][0]}"
    try:
        wait_for(lambda: patient.node(TWO).get("available_routes"), "the server hears of the exit node")
        _approve(patient, TWO, "0.0.0.0/0,::/0")
        wait_for(lambda: patient.peer(ONE, TWO).get("ExitNodeOption"), "the exit node is offered")
        patient.sh(ONE, use)
        assert patient.examine() == [], "an exit node in use is no fault"
        patient.policy('{"acls": [{"action": "accept", "src": ["default@"], "dst": ["default@:*"]}]}')
        wait_for(lambda: not patient.sh(ONE, "curl -skm 2 https://203.0.113.10/ || true"), "the exit node is closed")
        denied = patient.examine()
        patient.policy(OPEN)
        patient.sh(TWO, "tailscale down")
        wait_for(lambda: patient.peer(ONE, TWO).get("Online") is False, "the exit node is offline", seconds=30)
        offline = patient.examine()
        patient.sh(TWO, "tailscale up")
        patient.follow(_the(offline, "doctor.exit_node"))
        wait_for(patient.online, "all nodes are back", seconds=30)
        assert patient.examine() == []
    finally:
        patient.policy(OPEN)
        patient.sh(ONE, "tailscale set --exit-node=")
        patient.sh(TWO, "tailscale up 2>/dev/null || true; tailscale set --advertise-exit-node=false")
        _approve(patient, TWO, "")
    assert roots(denied) == {"doctor.exit_node"}
    assert "autogroup:internet" in hint(denied, "doctor.exit_node")
    assert roots(offline) == {"doctor.exit_node", "doctor.client"}
    assert f"goes through exit node {TWO}, which is offline" in patient.headline or "offline" in hint(
        offline, "doctor.exit_node"
    )
    assert {finding.because for finding in offline if finding.source == ONE} == {"", "doctor.exit_node"}


def test_an_expired_node_is_one_cause(patient: BrokenMesh) -> None:
    patient.headscale(f"nodes expire -i {patient.node(THREE)['id']}")
    wait_for(lambda: patient.status(THREE)["BackendState"] == "NeedsLogin", "the client hears of it")
    findings = patient.examine()
    assert roots(findings) == {"doctor.expiry"}
    assert patient.headline.startswith(f"{THREE}: its key has expired")
    patient.follow(_the(findings, "doctor.expiry"))
    wait_for(patient.online, "the node is back")
    assert patient.examine() == []


@pytest.mark.slow
def test_a_stopped_client_is_one_cause(patient: BrokenMesh) -> None:
    patient.sh(THREE, "tailscale down")
    wait_for(lambda: patient.peer(ONE, THREE).get("Online") is False, "the others hear of it", seconds=30)
    findings = patient.examine()
    assert roots(findings) == {"doctor.client"}
    assert "tailscale up" in patient.headline
    patient.sh(THREE, "tailscale up")
    wait_for(patient.online, "the node is back")


def test_tags_that_were_not_granted(patient: BrokenMesh) -> None:
    patient.policy(
        '{"tagOwners": {"tag:routers": ["group:other"]}, "groups": {"group:other": []}, '
        '"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
    )
    up = f"tailscale up --reset --hostname={TWO} --login-server=https://headscale.lab.test --timeout=5s"
    patient.sh(TWO, f"{up} --advertise-tags=tag:routers || true")
    try:
        wait_for(patient.online, "the client has connected again")
        findings = patient.examine()
        assert ids(findings) == {"doctor.tags"}
        assert "group:other" in patient.headline
        patient.follow(findings[0])
        wait_for(lambda: patient.status(TWO)["Self"].get("Tags"), "the tag arrives")
        assert patient.examine() == []
    finally:
        patient.policy(OPEN)
        patient.sh(TWO, f"{up} || true")
        patient.lab.play("up.yml").succeeded()


def test_a_tailscaled_without_a_tun_device(patient: BrokenMesh) -> None:
    restart = "s6-svc -r /etc/service/tailscaled"
    patient.sh(
        ONE, f"cp {_TAILSCALED} /run/run.good; sed -i s/--tun=tailscale0/--tun=userspace-networking/ {_TAILSCALED}"
    )
    patient.sh(ONE, restart)
    try:
        wait_for(lambda: patient.status(ONE).get("TUN") is False and patient.online(), "all are online", seconds=30)
        findings = patient.examine()
    finally:
        patient.sh(ONE, f"cp /run/run.good {_TAILSCALED}; {restart}")
        wait_for(lambda: patient.status(ONE).get("TUN") is True and patient.online(), "all are back", seconds=30)
    assert roots(findings) == {"doctor.tun"}
    assert patient.headline.startswith(f"{ONE}: tailscaled runs with --tun=userspace-networking")


def test_an_interface_without_an_address(patient: BrokenMesh) -> None:
    patient.sh(TWO, "ip link set tailscale0 mtu 900")
    try:
        findings = patient.examine()
        assert roots(findings) == {"doctor.interface.ipv6"}
        assert f"{TWO}: tailscale0 has an MTU of 900" in patient.headline
        patient.follow(_the(findings, "doctor.interface.ipv6"))
    finally:
        patient.sh(TWO, "ip link set tailscale0 mtu 1280; s6-svc -wr -T 10000 -r /etc/service/tailscaled")
    wait_for(patient.online, "all are back", seconds=30)
    assert patient.examine() == []


def test_large_packets_that_are_dropped(patient: BrokenMesh) -> None:
    rules = (
        "chain in { type filter hook input priority 0; iifname eth0 meta length > 1200 udp dport != 53 drop; }\n"
        "chain out { type filter hook output priority 0; oifname eth0 meta length > 1200 udp dport != 53 drop; }"
    )
    with patient.firewall(TWO, rules):
        findings = patient.examine()
    assert roots(findings) == {"doctor.mtu"}, findings
    assert {finding.source for finding in findings} >= {ONE, TWO}


# On a busy machine the path may be named before the cause.
@pytest.mark.slow
def test_the_users_and_families_of_a_policy(patient: BrokenMesh) -> None:
    address = patient.status(THREE)["TailscaleIPs"][1]
    patient.policy('{"acls": [{"action": "accept", "src": ["*"], "dst": ["%s:22"]}]}' % address)  # noqa: UP031
    try:
        wait_for(lambda: not patient.peer(ONE, TWO), "the policy arrives")
        family = patient.examine()
        patient.policy('{"acls": []}')
        wait_for(lambda: not patient.peer(ONE, THREE), "the policy arrives")
        closed, closed_headline = patient.examine(), patient.headline
        patient.policy('{"acls": [{"action": "accept", "src": ["default@"], "dst": ["default@:*"]}], '
                       '"autoApprovers": {"routes": {"10.42.0.0/16": ["ghost@"]}}}')  # fmt: skip
        patient.headscale("users rename -i 1 --new-name family")
        patient.sh(SERVER, "sleep 3")
        renamed = patient.examine()
    finally:
        patient.headscale("users rename -i 1 --new-name default")
        patient.policy(OPEN)
        wait_for(patient.online, "all nodes are back")
    assert roots(family) == {"doctor.policy.reach"}
    assert "(ipv4)" in hint(family, "doctor.policy.reach")
    assert "firewall" not in hint(family, "doctor.policy.reach")
    assert closed_headline.startswith("all 3 clients: the policy lets it reach no other node")
    assert roots(closed) == {"doctor.policy.reach"}
    assert roots(renamed) == {"doctor.policy.names"}
    assert "default@, ghost@" in hint(renamed, "doctor.policy.names") or "ghost@" in hint(
        renamed, "doctor.policy.names"
    )


# On a busy machine the path may be named before the cause.
@pytest.mark.slow
def test_two_hosts_with_one_key(patient: BrokenMesh) -> None:
    state = "/var/lib/tailscale/tailscaled.state"
    copied = patient.sh(TWO, f"base64 -w0 {state}")
    stop, start = "s6-svc -wd -d /etc/service/tailscaled", "s6-svc -u /etc/service/tailscaled"
    patient.sh(THREE, f"{stop}; cp {state} /run/state.good; echo {copied} | base64 -d >{state}; {start}")
    try:
        wait_for(lambda: patient.status(THREE).get("BackendState") == "Running", "the clone runs")
        findings = patient.examine()
    finally:
        patient.sh(THREE, f"{stop}; cp /run/state.good {state}; {start}")
        patient.sh(TWO, "s6-svc -r /etc/service/tailscaled")
        wait_for(patient.online, "all nodes are back", seconds=60)
    assert "doctor.keys" in ids(findings)
    assert f"{TWO} and {THREE} have the same node key" in patient.headline
    assert SERVER in {finding.source for finding in findings}
