# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody's own mesh, reached through real sshd, that meshctl did not deploy: judged rightly, and left as it is."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import walk
from ansible_collections.meshctl.headscale.plugins.plugin_utils._stories import stories

from .lab_driver import PLAYBOOKS, LabDriver, wait_for
from .own_hosts import OwnMesh, Ran, differences, needs_root, own_mesh, settled

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(needs_root(), reason="entering the machines of own hosts is left to root"),
]

_ONE, _TWO, _THREE, _SERVER = "client-node-1", "client-node-2", "client-node-3", "headscale-server"
_PLACES = {_ONE: ("left", "192.168.1.10"), _TWO: ("right", "10.0.0.10"), _THREE: ("right", "10.0.0.11")}
STORIES = [story.id for story in stories(PLAYBOOKS / "stories")]
# SQLite's files change when a node tells its endpoints, or when anybody reads: the database is compared by what is in it.
_DATABASE = "var/lib/headscale/db.sqlite"


@pytest.fixture
def own(own_lab: LabDriver, tmp_path: Path) -> Iterator[OwnMesh]:
    with own_mesh(own_lab, tmp_path / "own") as found:
        yield found


def _verdicts(ran: Ran) -> dict[str, str]:
    return {story["id"]: story["verdict"] for story in ran.report["stories"]}


def test_run_all_judges_and_changes_nothing(own: OwnMesh) -> None:
    machines = [*_PLACES, _SERVER]
    before = {name: own.snapshot(name) for name in machines}
    assert len(before[_ONE]["files"].splitlines()) > 100, "the snapshot sees the files"
    assert "tailscaled" in before[_ONE]["processes"]
    assert "net.ipv4.ip_forward" in before[_ONE]["sysctls"]
    ran = own.play("all.yml")
    after = {name: own.snapshot(name) for name in machines}
    assert ran.bad() == []
    assert ran.status == 0, ran.output[-3000:]
    unsupported = {story: "skipped" for story in STORIES if ran.checks(f"{story}.supported")}
    assert _verdicts(ran) == {**dict.fromkeys(STORIES, "passed"), **unsupported}
    assert ran.output.count("not run: ") == len(unsupported)
    changed = {name: differences(before[name], after[name]) for name in machines}
    assert "api_keys" in before[_SERVER]["database"]
    changed[_SERVER] = [line for line in changed[_SERVER] if _DATABASE not in line]
    assert changed == {name: [] for name in machines}
    reasons = {check["id"]: check["hint"] for check in ran.checks(verdict="skipped")}
    assert set(reasons) == {
        "us1.reachable",
        "us1.reachable.flow",
        "us1.reachable.stream",
        "us1.rejoins",
        "us2.addressed",
        "us2.encrypted.bulk",
        "us2.isolated",
        "us3.supported",
        "us4.propagates",
        "us5.supported",
        "us6.supported",
    }
    assert all(reasons.values())
    for family in ("ipv4", "ipv6"):
        assert len(ran.checks(f"us1.reachable.{family}", verdict="passed")) == 6, "every pair"


def test_named_ports_prove_tcp_and_udp(own: OwnMesh) -> None:
    ran = own.play("us1.yml", "-e", json.dumps({"mesh_probe_ports": [45100, 45101]}))
    assert ran.bad() == []
    for aspect in ("tcp", "udp", "bulk", "steady", "stream", "flow"):
        checks = ran.checks(f"us1.reachable.{aspect}", verdict="passed")
        assert len(checks) == 12, "every pair, over both families"
    ports = {check["expected"]["port"] for check in ran.checks("us1.reachable.tcp")}
    assert ports <= {45100, 45101}
    for name in _PLACES:
        assert "python" not in own.lab.shell(name, "ss -Hltunp"), "listeners end with the story"


def test_named_ports_prove_the_policy_and_nothing_is_written(own: OwnMesh) -> None:
    before = own.snapshot(_SERVER)
    ran = own.play("us5.yml", "-e", json.dumps({"mesh_probe_ports": [45110, 45111]}))
    assert ran.bad() == []
    for protocol in ("tcp", "udp"):
        assert len(ran.checks(f"us5.policy.{protocol}", verdict="passed")) == 12, "every pair, over both families"
    assert len(ran.checks("us5.policy.stated", verdict="passed")) == 3
    assert [check["hint"] for check in ran.checks("us5.policy.installed", verdict="skipped")] == []
    assert "policies" in before["database"]
    assert [line for line in differences(before, own.snapshot(_SERVER)) if _DATABASE not in line] == []


def test_the_doctor_changes_nothing_either(own: OwnMesh) -> None:
    before = {name: own.snapshot(name) for name in _PLACES}
    ran = own.play("doctor.yml")
    assert ran.bad() == []
    assert {name: differences(before[name], own.snapshot(name)) for name in _PLACES} == {name: [] for name in _PLACES}


def _why(own: OwnMesh, source: str, target: str) -> tuple[Ran, dict[str, Any]]:
    ran = own.play("why.yml", "-e", f"why_source={source} why_target={target}")
    return ran, walk.as_data(ran.report["checks"])


def test_why_changes_nothing_either(own: OwnMesh) -> None:
    before = {name: own.snapshot(name) for name in _PLACES}
    ran, answer = _why(own, _TWO, _ONE)
    assert ran.status == 0, ran.output[-2000:]
    assert {step["state"] for step in answer["steps"]} == {"passed"}, answer
    assert {name: differences(before[name], own.snapshot(name)) for name in _PLACES} == {name: [] for name in _PLACES}


@pytest.mark.slow
def test_why_claims_nothing_of_hosts_that_cannot_be_logged_in_to(own: OwnMesh) -> None:
    own.hosts("clients")[_ONE]["ansible_port"] = 2222
    ran, answer = _why(own, _TWO, _ONE)
    assert ran.status == 0, ran.output[-2000:]
    assert answer["reachable"] is True, "the source connects to it all the same"
    assert "client-node-1 cannot be logged in to" in str(answer["steps"])
    ran, answer = _why(own, _ONE, _TWO)
    assert ran.status != 0
    assert answer["reachable"] is None
    assert answer["failed_step"] is None
    assert "client-node-1 cannot be logged in to" in answer["headline"]
    server = next(iter(own.hosts("headscale")))
    own.hosts("headscale")[server] = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 2222}
    ran, answer = _why(own, _TWO, _THREE)
    assert answer["reachable"] is True, answer
    assert f"{server} cannot be logged in to" in answer["steps"][0]["said"]


@pytest.mark.slow
def test_why_as_an_ordinary_user(own: OwnMesh) -> None:
    for name in (_ONE, _TWO):
        own.hosts("clients")[name].update({**own.ssh(name, "meshop")})
    ran, answer = _why(own, _TWO, _ONE)
    assert answer["failed_step"] is None, answer
    assert "become" in str(answer["steps"])
    assert ran.status != 0 or answer["reachable"] is True


def test_an_unreachable_host_is_an_error_and_the_rest_goes_on(own: OwnMesh) -> None:
    own.hosts("clients")[_THREE]["ansible_port"] = 2222
    ran = own.play("all.yml", "-e", "mesh_keep_going=true")
    assert ran.status != 0
    # This inventory has no service, no ports to try and no routes, whoever answers.
    unsupported = {"us3", "us5", "us6"}
    assert _verdicts(ran) == {story: "skipped" if story in unsupported else "error" for story in STORIES}
    bad = ran.checks(verdict="error") + ran.checks(verdict="failed")
    assert {check["id"] for check in bad} == {f"{story}.host_reachable" for story in {*STORIES} - unsupported}
    assert {check["source"] for check in bad} == {_THREE}
    # It is a member of the mesh all the same, and the others are asked about it.
    for other in (_ONE, _TWO):
        assert ran.checks("us1.reachable.ipv4", source=other, target=_THREE, verdict="passed")
        assert ran.checks("us4.resolves.name", source=other, target=_THREE, verdict="passed")


def test_without_keep_going_a_lost_host_fails_its_story(own: OwnMesh) -> None:
    own.hosts("clients")[_THREE]["ansible_port"] = 2222
    ran = own.play("all.yml")
    assert ran.status != 0
    assert _verdicts(ran) == {"us1": "error"}
    assert ran.report["not_run"] == STORIES[1:]


def test_a_host_without_python_is_an_error_and_the_rest_goes_on(own: OwnMesh) -> None:
    python = own.lab.shell(_THREE, "readlink -f /usr/bin/python3").strip()
    own.lab.shell(_THREE, f"mount --bind /dev/null {python}")
    try:
        ran = own.play("us1.yml", "us4.yml", "-e", "mesh_keep_going=true mesh_deadline_s=3")
    finally:
        own.lab.shell(_THREE, f"umount {python}")
    assert set(_verdicts(ran).values()) == {"error"}
    bad = ran.checks(verdict="error") + ran.checks(verdict="failed")
    assert {check["source"] for check in bad} == {_THREE}
    assert all("install Python 3.8 or later" in check["hint"] for check in bad), ran.bad()
    for other in (_ONE, _TWO):
        assert ran.checks("us1.reachable.ipv4", source=other, target=_THREE, verdict="passed")


def test_a_wrong_key_is_an_error_of_what_is_asked_with_it(own: OwnMesh) -> None:
    own.key_file.write_text("hskey-api-" + "a" * 12 + "-" + "b" * 64 + "\n", encoding="utf-8")
    ran = own.play("us1.yml", "-e", "mesh_deadline_s=3")
    bad = ran.checks(verdict="error") + ran.checks(verdict="failed")
    assert {check["id"] for check in bad} == {"us1.registered"}
    assert all("refuses the API key" in check["hint"] for check in bad), ran.bad()
    assert len(ran.checks("us1.reachable.ipv4", verdict="passed")) == 6, "the clients are asked all the same"


def test_an_inventory_without_a_server_is_told_so(own: OwnMesh) -> None:
    del own.inventory["all"]["children"]["headscale"]
    ran = own.play("us1.yml")
    assert ran.status != 0
    assert "the inventory has no host in the group headscale" in ran.output


def test_nothing_is_deployed_on_this_machine(own: OwnMesh) -> None:
    own.vars["mesh_manage"] = True
    # Were it not refused, nothing would be changed all the same.
    ran = own.play("up.yml", "--check")
    assert ran.status != 0
    assert "is reached with ansible_connection local, which is this machine" in ran.output


def test_what_a_deployment_needs_is_named_before_anything_is_changed(own: OwnMesh) -> None:
    own.start_sshd(_SERVER)
    own.hosts("headscale").clear()
    own.hosts("headscale")["server"] = own.ssh(_SERVER)
    own.vars.update(mesh_manage=True, tailscale_client_program="/usr/sbin/tailscaled")
    before = own.snapshot(_SERVER)
    ran = own.play("up.yml")
    assert ran.status != 0
    assert f"{_ONE} has no /usr/sbin/tailscaled: put it there" in ran.output
    assert differences(before, own.snapshot(_SERVER)) == []


def test_an_ordinary_user_who_becomes_root(own: OwnMesh) -> None:
    own.hosts("clients")[_TWO].update(own.as_ordinary_user(_TWO))
    ran = own.play("us2.yml")
    assert ran.bad() == []
    assert ran.checks("us2.encrypted", source=_TWO, verdict="passed"), "a capture needs root"


def test_an_ordinary_user_without_become_is_told_what_is_missing(own: OwnMesh) -> None:
    own.hosts("clients")[_TWO].update({**own.ssh(_TWO, "meshop")})
    ran = own.play("us2.yml")
    errors = ran.checks("us2.encrypted", source=_TWO, verdict="error")
    assert errors
    assert any("become" in check["hint"] for check in errors), [check["hint"] for check in errors]
    assert ran.checks("us2.encrypted", source=_ONE, verdict="passed")


def _jumping(own: OwnMesh) -> dict[str, Any]:
    """Return the connection variables of mesh addresses: this controller is no member, and jumps over one."""
    login = f"IdentitiesOnly yes\nIdentityFile {own.home}/user_key\nUserKnownHostsFile {own.home}/known_hosts\n"
    config = own.home / "ssh_config"
    config.write_text(
        f"Host jump\nHostName 10.0.0.10\nUser meshop\nHost *\nHostKeyAlias own\n{login}", encoding="utf-8"
    )
    return {
        "ansible_user": "root",
        "ansible_ssh_args": "-o ControlMaster=no",
        "ansible_ssh_common_args": f"-F {config} -J jump",
    }


def test_hosts_behind_a_jump_host(own: OwnMesh) -> None:
    for name in (_ONE, _THREE):
        address = json.loads(own.lab.shell(name, "tailscale status --json"))["Self"]["TailscaleIPs"][0]
        own.hosts("clients")[name] = {"ansible_host": address, **_jumping(own)}
    ran = own.play("us2.yml")
    assert ran.bad() == []
    assert ran.status == 0, ran.output[-3000:]
    assert ran.checks("us2.encrypted", source=_ONE, verdict="passed")


def test_places_and_a_service_that_the_inventory_states(own: OwnMesh) -> None:
    own.vars.update(
        mesh_subnets={"left": {"cidr": "192.168.1.0/24", "gateway": "192.168.1.1"}, "right": {"cidr": "10.0.0.0/24"}},
        mesh_isolated=True,
        mesh_service_host=_ONE,
    )
    for name, (subnet, address) in _PLACES.items():
        own.hosts("clients")[name].update(mesh_subnet=subnet, mesh_address=address)
    ran = own.play("us2.yml", "us3.yml")
    assert ran.bad() == []
    assert {check["source"] for check in ran.checks("us2.addressed.gateway", verdict="passed")} == {_ONE}
    walls = {(_ONE, _TWO), (_ONE, _THREE), (_TWO, _ONE), (_THREE, _ONE)}
    for aspect in ("icmp", "tcp"):
        passed = ran.checks(f"us2.isolated.{aspect}", verdict="passed")
        assert {(check["source"], check["target"]) for check in passed} == walls
    assert len(ran.checks("us3.http", verdict="passed")) == 9, "two nodes by three names, three refusals"
    assert [check["hint"] for check in ran.checks("us3.listening", verdict="skipped")], "no restart"


def test_a_canary_is_disturbed_and_nobody_else(own: OwnMesh) -> None:
    own.vars["mesh_canaries"] = [_TWO]
    pids = {name: own.lab.shell(name, "pidof tailscaled") for name in _PLACES}
    ran = own.play("us1.yml")
    assert ran.bad() == []
    assert {check["id"] for check in ran.checks("us1.rejoins", verdict="passed")} >= {
        "us1.rejoins.down",
        "us1.rejoins.killed",
    }
    assert {check["source"] for check in ran.checks("us1.rejoins")} == {_TWO}
    assert [check["hint"] for check in ran.checks("us1.rejoins", verdict="skipped")] == [
        "meshctl cannot pull the cable of an existing host"
    ]
    now = {name: own.lab.shell(name, "pidof tailscaled") for name in _PLACES}
    assert {name for name in _PLACES if now[name] != pids[name]} == {_TWO}


def test_routes_are_verified_and_left_as_they_are(own: OwnMesh) -> None:
    approve = "headscale nodes approve-routes -i $(headscale nodes list -o json | jq '.[] | select(.name == \"{}\").id') -r '{}'"
    own.vars["mesh_routes"] = [{"prefix": "10.0.0.0/24", "routers": [_TWO], "target": "10.0.0.1"}]
    own.lab.shell(_TWO, "sysctl -qw net.ipv4.ip_forward=1; tailscale set --advertise-routes=10.0.0.0/24")
    own.lab.shell(_ONE, "tailscale set --accept-routes")
    try:
        unapproved = own.play("us6.yml", "-e", "mesh_deadline_s=3")
        wait_for(
            lambda: own.lab.shell(_SERVER, f"{approve.format(_TWO, '10.0.0.0/24')} >/dev/null; echo done"),
            "the route is approved",
        )
        wait_for(lambda: "10.0.0.0/24" in own.lab.shell(_ONE, "ip route show table 52"), "the route is there")
        before = {name: own.snapshot(name) for name in _PLACES}
        ran = own.play("us6.yml")
        after = {name: own.snapshot(name) for name in _PLACES}
    finally:
        own.lab.shell(_ONE, "tailscale set --accept-routes=false")
        own.lab.shell(_TWO, "tailscale set --advertise-routes=; sysctl -qw net.ipv4.ip_forward=0")
        own.lab.shell(_SERVER, f"{approve.format(_TWO, '')} >/dev/null")
    assert "is not approved" in unapproved.checks("us6.served.approved", verdict="failed")[0]["hint"]
    assert {check["id"] for check in unapproved.checks("us6.routed", source=_ONE, verdict="failed")} == {
        "us6.routed.route",
        "us6.routed.icmp",
    }
    assert ran.bad() == []
    assert len(ran.checks("us6.routed", source=_ONE, verdict="passed")) == 2
    assert {name: differences(before[name], after[name]) for name in _PLACES} == {name: [] for name in _PLACES}


def test_an_exit_node_in_use_is_verified_and_left_as_it_is(own: OwnMesh) -> None:
    approve = "headscale nodes approve-routes -i $(headscale nodes list -o json | jq '.[] | select(.name == \"{}\").id') -r '{}'"
    own.vars["mesh_exit_nodes"] = [_TWO]
    own.lab.shell(
        _TWO, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; tailscale set --advertise-exit-node"
    )
    try:
        wait_for(
            lambda: own.lab.shell(_SERVER, f"{approve.format(_TWO, '0.0.0.0/0,::/0')} >/dev/null; echo done"),
            "the exit node is approved",
        )
        wait_for(
            lambda: own.lab.shell(_ONE, f"tailscale set --exit-node={_TWO} 2>&1 && echo done || true").endswith(
                "done\n"
            ),
            "the exit node is offered and chosen",
        )
        before = {name: own.snapshot(name) for name in _PLACES}
        ran = own.play("us6.yml")
        after = {name: own.snapshot(name) for name in _PLACES}
        own.lab.shell(_TWO, "sysctl -qw net.ipv4.ip_forward=0")
        own.lab.shell(_ONE, "ip rule add pref 100 to 198.51.100.0/24 lookup main")
        broken = own.play("us6.yml", "-e", "mesh_deadline_s=3")
    finally:
        own.lab.shell(_ONE, "ip rule del pref 100 2>/dev/null || true; tailscale set --exit-node=")
        switches = "net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0"
        own.lab.shell(_TWO, f"tailscale set --advertise-exit-node=false; sysctl -qw {switches}")
        own.lab.shell(_SERVER, f"{approve.format(_TWO, '')} >/dev/null")
    assert ran.bad() == []
    passed = {(check["id"], check["source"]) for check in ran.checks("us6", verdict="passed")}
    assert {("us6.egress.route", _ONE), ("us6.egress.answers", _ONE), ("us6.forwards.forwarding", _TWO)} <= passed
    assert f"{_TWO} uses no exit node" in [check["hint"] for check in ran.checks("us6.egress", verdict="skipped")]
    assert {name: differences(before[name], after[name]) for name in _PLACES} == {name: [] for name in _PLACES}
    hints = {check["id"]: check["hint"] for check in broken.checks("us6", verdict="failed")}
    assert "does not forward packets" in hints["us6.forwards.forwarding"]
    assert f"and not to the exit node {_TWO}" in hints["us6.egress.route"]


def test_a_canary_that_is_reached_over_the_mesh_is_left_alone(own: OwnMesh) -> None:
    own.vars["mesh_canaries"] = [_TWO]
    status = json.loads(own.lab.shell(_TWO, "tailscale status --json"))
    own.hosts("clients")[_TWO]["ansible_host"] = status["Self"]["TailscaleIPs"][0]
    ran = own.play("us1.yml")
    assert ran.bad() == []
    assert "reached over the mesh itself" in ran.checks("us1.rejoins")[0]["hint"]


def test_a_caching_resolver_of_the_host(own: OwnMesh) -> None:
    # tailscaled takes the file back when it can.
    own.lab.shell(
        _THREE,
        "dnsmasq --user=root --group=root --listen-address=127.0.0.53 --bind-interfaces --no-resolv --no-hosts"
        " --min-cache-ttl=600 --neg-ttl=600 --server=100.100.100.100 --pid-file=/run/own/dnsmasq.pid\n"
        "printf 'nameserver 127.0.0.53\\nsearch mesh.internal\\n' >/run/own/resolv.conf\n"
        "mount --bind /run/own/resolv.conf /etc/resolv.conf",
    )
    try:
        first, second = own.play("us4.yml"), own.play("us4.yml")
    finally:
        own.lab.shell(_THREE, "umount /etc/resolv.conf; kill $(cat /run/own/dnsmasq.pid)")
    assert first.bad() == []
    assert second.bad() == [], "an answer from the cache is an answer"
    assert second.checks("us4.resolves.wire", source=_THREE, verdict="passed"), (
        "a name that was never asked for is asked on"
    )


@pytest.fixture(scope="module")
def resolved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tree of systemd-resolved's package; installed, it would take over this machine's own resolver."""
    folder = tmp_path_factory.mktemp("resolved")
    folder.chmod(0o777)
    fetch = ["apt-get", "download", "-qq", "systemd-resolved"]
    fetched = subprocess.run(fetch, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    packages = list(folder.glob("*.deb"))
    if not packages or not shutil.which("dbus-daemon"):
        pytest.skip(f"no systemd-resolved, or no dbus-daemon, to be had: {fetched.stderr.strip()}")
    subprocess.run(["dpkg-deb", "-x", packages[0], folder / "tree"], check=True)
    return folder / "tree"


def test_a_host_whose_names_are_systemd_resolveds(own: OwnMesh, resolved: Path) -> None:
    with own.systemd_resolved(_THREE, resolved) as control:
        first, second = own.play("us4.yml"), own.play("us4.yml")
        examined = own.play("doctor.yml")
        # As when a network manager takes the link's settings back.
        own.lab.shell(_THREE, f"{control} revert tailscale0")
        ill = own.play("us4.yml", "-e", "mesh_deadline_s=3")
    wait_for(lambda: settled(own.lab), "everybody sees everybody")
    assert first.bad() == []
    assert "127.0.0.53" in str(first.checks("us4.resolves", source=_THREE))
    assert first.checks("us4.resolves.wire", source=_THREE, verdict="passed"), "it asks tailscaled, and nobody else"
    assert second.bad() == [], "an answer from the cache is an answer"
    assert examined.bad() == []
    assert {check["source"] for check in ill.checks("us4.resolves", verdict="failed")} == {_THREE}
    assert "resolvectl status tailscale0" in ill.checks("us4.resolves.name", verdict="failed")[0]["hint"]


def test_a_policy_that_keeps_nodes_apart_as_init_proposes_it(own: OwnMesh) -> None:
    addresses = json.loads(own.lab.shell(_ONE, "tailscale status --json"))["Self"]["TailscaleIPs"]
    policy = {"acls": [{"action": "accept", "src": ["*"], "dst": [f"{address}:*" for address in addresses]}]}
    _set_policy(own, policy)
    try:
        wait_for(
            lambda: len(json.loads(own.lab.shell(_TWO, "tailscale status --json"))["Peer"]) == 1, "the policy arrives"
        )
        blind = own.play("us1.yml", "-e", "mesh_deadline_s=3")
        proposed = yaml.safe_load(_init(own).stdout)
        own.vars["mesh_expect"] = proposed["all"]["vars"]["mesh_expect"]
        told = own.play("us1.yml", "us2.yml", "us4.yml")
    finally:
        _set_policy(own, {"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]})
        wait_for(lambda: settled(own.lab), "everybody sees everybody")
    assert blind.status != 0
    assert any("policy" in check["hint"] for check in blind.checks("us1.reachable", verdict="failed"))
    assert told.bad() == []
    pairs = {(check["source"], check["target"]) for check in told.checks("us1.reachable.forbidden", verdict="passed")}
    assert pairs == {(_ONE, _TWO), (_ONE, _THREE), (_TWO, _THREE), (_THREE, _TWO)}
    hidden = {(check["source"], check["target"]) for check in told.checks("us1.connected.hidden", verdict="passed")}
    assert hidden == {(_TWO, _THREE), (_THREE, _TWO)}


def _set_policy(own: OwnMesh, policy: object) -> None:
    own.lab.shell(
        _SERVER, f"printf %s '{json.dumps(policy)}' >/run/policy; headscale policy set -f /run/policy >/dev/null"
    )


def _init(own: OwnMesh, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).with_name("meshctl")), "init", "--url", "https://headscale.lab.test",
        "--ca-file", own.vars["mesh_ca_path"], "--api-key-file", str(own.key_file), "--output", "-", *words,
    ]  # fmt: skip
    return subprocess.run(
        own.command(command), capture_output=True, text=True, check=False, env=own.lab.machine.env(**env), cwd=own.home
    )


def test_init_writes_an_inventory_that_the_stories_take(own: OwnMesh) -> None:
    done = _init(own)
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)["all"]
    assert set(found["children"]["clients"]["hosts"]) == set(_PLACES)
    assert found["vars"]["mesh_api_key_file"] == str(own.key_file)
    assert "mesh_expect" not in found["vars"], "everybody reaches everybody"
    assert own.key_file.read_text(encoding="utf-8").strip() not in done.stdout
    # As it was written, with the way to each host put right: this controller is no member of the mesh.
    for name, variables in found["children"]["clients"]["hosts"].items():
        variables.update(own.ssh(name))
    own.inventory = {"all": found}
    ran = own.play("us1.yml")
    assert ran.bad() == []


def _live(own: OwnMesh, **options: object) -> Path:
    """Write the source of the inventory plugin into a directory of its own."""
    source = own.home / "live" / "mesh.headscale.yml"
    source.parent.mkdir(exist_ok=True)
    asked = {
        "url": "https://headscale.lab.test",
        "ca_path": own.vars["mesh_ca_path"],
        "api_key_file": str(own.key_file),
    }
    source.write_text(yaml.safe_dump({"plugin": "meshctl.headscale.headscale", **asked, **options}), encoding="utf-8")
    return source


def _listed(own: OwnMesh, **options: object) -> dict[str, Any]:
    """Return what the inventory plugin makes of the mesh."""
    source = _live(own, **options)
    command = [str(Path(sys.executable).with_name("ansible-inventory")), "-i", str(source), "--list"]
    done = subprocess.run(
        own.command(command), capture_output=True, text=True, check=False, env=own.lab.machine.env(), cwd=own.home
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout, object_hook=lambda value: value.get("__ansible_unsafe", value))
    return found


def test_operating_systems_are_what_a_member_of_the_mesh_is_told(own: OwnMesh) -> None:
    # As on a controller that is client-node-1 itself: the API does not tell them.
    socket = f"/proc/{own.lab.process(_ONE)}/root/run/tailscale/tailscaled.sock"
    found = _listed(own, tailscaled_socket=socket)
    assert set(found["os_linux"]["hosts"]) == set(_PLACES)
    assert found["_meta"]["hostvars"][_TWO]["headscale_os"] == "linux"
    stranger = _listed(own, tailscaled_socket=str(own.home / "no-such.sock"))
    assert set(stranger["headscale_nodes"]["hosts"]) == set(_PLACES)
    assert "os_linux" not in stranger
    assert stranger["_meta"]["hostvars"][_TWO]["headscale_os"] == ""


def test_a_directory_that_asks_the_server_for_its_nodes(own: OwnMesh) -> None:
    source = _live(own, group="clients", where="headscale_online")
    del own.inventory["all"]["children"]["clients"]["hosts"]
    own.inventory["all"]["children"]["clients"]["vars"] = _jumping(own)
    (source.parent / "server.yml").write_text(yaml.safe_dump(own.inventory), encoding="utf-8")
    ran = own.run([str(Path(sys.executable).with_name("meshctl")), "run", "us2", "-i", str(source.parent)])
    assert ran.status == 0, ran.output[-3000:]
    assert {check["source"] for check in ran.checks("us2.encrypted", verdict="passed")} == set(_PLACES)


def test_init_refuses_to_overwrite(own: OwnMesh) -> None:
    target = own.home / "hosts.yml"
    target.write_text("mine\n", encoding="utf-8")
    refused = _init(own, "--output", str(target))
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert target.read_text(encoding="utf-8") == "mine\n"
    assert _init(own, "--output", str(target), "--force").returncode == 0
    assert "clients" in yaml.safe_load(target.read_text(encoding="utf-8"))["all"]["children"]


@pytest.mark.parametrize("way", ["environment", "environment-file", "vault"])
def test_the_key_is_nowhere_to_be_seen(own: OwnMesh, way: str) -> None:
    key = own.key_file.read_text(encoding="utf-8").strip()
    # Its last part may have hyphens of its own, one before the last letter too.
    secret = key[-32:]
    del own.hosts("headscale")["headscale.lab.test"]["mesh_api_key_file"]
    env, words = {}, []
    if way == "environment":
        env = {"HEADSCALE_API_KEY": key}
    elif way == "environment-file":
        env = {"HEADSCALE_API_KEY_FILE": str(own.key_file)}
    else:
        words = _vault(own, key)
    watched = own.watched_arguments()
    program = str(Path(sys.executable).with_name("meshctl"))
    with watched as seen:
        ran = own.run([program, "run", "us1", "-i", str(own.write()), "-v", *words], ANSIBLE_VERBOSITY="4", **env)
    assert ran.status == 0, ran.output[-3000:]
    assert ran.checks("us1.registered", verdict="passed")
    assert secret not in ran.output
    assert len(seen) > 20, "the process list was looked at"
    assert not [line for line in seen if secret in line]
    holders = [path for path in ran.run_dir.rglob("*") if path.is_file() and secret in path.read_text(errors="replace")]
    assert holders == []


def _vault(own: OwnMesh, key: str) -> list[str]:
    """Put the key into a vault, and return the arguments that open it."""
    password = own.home / "vault-password"
    password.write_text("open sesame\n", encoding="utf-8")
    password.chmod(stat.S_IRUSR)
    secrets = own.home / "secrets.yml"
    secrets.write_text(f"mesh_api_key: {key}\n", encoding="utf-8")
    tool = str(Path(sys.executable).with_name("ansible-vault"))
    subprocess.run(
        [tool, "encrypt", "--vault-password-file", str(password), str(secrets)], check=True, capture_output=True
    )
    assert key not in secrets.read_text(encoding="utf-8")
    own.lab.machine.environment["ANSIBLE_VAULT_PASSWORD_FILE"] = str(password)
    return ["-e", f"@{secrets}"]


def test_deploying_over_ssh_changes_nothing_the_second_time(own: OwnMesh) -> None:
    # The last one: from here on the server is its own relay.
    own.start_sshd(_SERVER)
    own.hosts("headscale").clear()
    own.hosts("headscale")["server"] = own.ssh(_SERVER)
    own.vars.update(mesh_manage=True, mesh_ca_path="/etc/ssl/certs/ca-certificates.crt", mesh_domain="mesh.internal")
    first, second = own.play("up.yml"), own.play("up.yml")
    assert (first.status, second.status) == (0, 0), first.output[-3000:] + second.output[-3000:]
    assert "automatically_add_embedded_derp_region: true" in own.lab.shell(_SERVER, "cat /etc/headscale/config.yaml")
    recap = second.output.rpartition("PLAY RECAP")[2]
    assert "changed=0" in recap
    assert not re.search(r"changed=[1-9]", recap), recap
    ran = own.play("us1.yml", "-e", "mesh_deploy=false")
    assert ran.bad() == []
    assert len(ran.checks("us1.reachable.ipv4", verdict="passed")) == 6


def test_users_and_tags_of_the_server_become_groups_and_expectations(own: OwnMesh) -> None:
    # After everything else: a node that was tagged stays so.
    nodes = json.loads(own.lab.shell(_SERVER, "headscale nodes list -o json"))
    (ident,) = [node["id"] for node in nodes if node["given_name"] == _THREE]
    rule = {"action": "accept", "src": ["group:people"], "dst": ["default@:*", "tag:printer:*"]}
    tagged = {"groups": {"group:people": ["default@"]}, "tagOwners": {"tag:printer": ["default@"]}, "acls": [rule]}
    _set_policy(own, tagged)
    own.lab.shell(_SERVER, f"headscale nodes tag -i {ident} -t tag:printer")
    found = yaml.safe_load(_init(own).stdout)["all"]
    assert set(found["children"]["tag_printer"]["hosts"]) == {_THREE}
    assert set(found["children"]["user_default"]["hosts"]) == {_ONE, _TWO}
    assert found["vars"]["mesh_expect"] == [{"from": _THREE, "to": "all", "reach": False}]
    for name, variables in found["children"]["clients"]["hosts"].items():
        variables.update(own.ssh(name))
    own.inventory = {"all": found}
    ran = own.play("us1.yml", "us4.yml")
    assert ran.bad() == []
    pairs = {(check["source"], check["target"]) for check in ran.checks("us1.reachable.forbidden", verdict="passed")}
    assert pairs == {(_THREE, _ONE), (_THREE, _TWO)}
    assert len(ran.checks("us1.reachable.ipv4", verdict="passed")) == 4
