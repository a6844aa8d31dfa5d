# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what a client is to what it should be: which commands, and whether a key is needed."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput, CouldNotRun
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.client import (
    SOCKET,
    awaits_exit_node,
    connecting,
    plan,
)

URL = "https://headscale.lab.test"
SET = ["tailscale", "set"]
EXIT = ["0.0.0.0/0", "::/0"]
UP = ["tailscale", "up", "--reset", f"--login-server={URL}", "--auth-key=file:{secret_file}"]
PREFS = {
    "ControlURL": URL,
    "CorpDNS": True,
    "Hostname": "node",
    "RouteAll": False,
    "AdvertiseRoutes": None,
    "ShieldsUp": False,
}


def _options(**more: Any) -> dict[str, Any]:
    return {"state": "joined", "login_server": URL, "timeout": 30, **more}


CASES: list[tuple[str, dict[str, Any], str, dict[str, Any], list[list[str]], bool]] = [
    # name, options, backend state, preferences that differ, commands, needs a key
    ("joined already", _options(hostname="node"), "Running", {}, [], False),
    ("a slash more is the same server", _options(login_server=URL + "/"), "Running", {}, [], False),
    ("an unused key changes nothing", _options(auth_key="k"), "Running", {}, [], False),
    ("new, with a key", _options(auth_key="k"), "NeedsLogin", {}, [[*UP, "--timeout=30s"]], False),
    ("new, without a key", _options(), "NeedsLogin", {}, [], True),
    ("logged out", _options(auth_key="k"), "NeedsLogin", {"LoggedOut": True}, [[*UP, "--timeout=30s"]], False),
    ("another server", _options(auth_key="k"), "Running", {"ControlURL": "https://old"}, [[*UP, "--force-reauth", "--timeout=30s"]], False),
    ("forced", _options(auth_key="k", force=True), "Running", {}, [[*UP, "--force-reauth", "--timeout=30s"]], False),
    (
        "registered with preferences",
        _options(auth_key="k", hostname="n", accept_dns=False, advertise_routes=["10.0.0.0/24", "10.1.0.0/24"], advertise_tags=["tag:a"]),
        "NeedsLogin",
        {},
        [[*UP, "--hostname=n", "--accept-dns=false", "--advertise-routes=10.0.0.0/24,10.1.0.0/24", "--advertise-tags=tag:a", "--timeout=30s"]],
        False,
    ),
    ("stopped", _options(), "Stopped", {}, [["tailscale", "up"]], False),
    ("hostname", _options(hostname="new"), "Running", {}, [["tailscale", "set", "--hostname=new"]], False),
    ("stopped and renamed", _options(hostname="new"), "Stopped", {}, [["tailscale", "set", "--hostname=new"], ["tailscale", "up"]], False),
    ("routes in another order", _options(advertise_routes=["b", "a"]), "Running", {"AdvertiseRoutes": ["a", "b"]}, [], False),
    ("no routes and none", _options(advertise_routes=[]), "Running", {}, [], False),
    ("routes taken back", _options(advertise_routes=[]), "Running", {"AdvertiseRoutes": ["a"]}, [["tailscale", "set", "--advertise-routes="]], False),
    ("exit routes are not subnet routes", _options(advertise_routes=["a"], advertise_exit_node=True), "Running", {"AdvertiseRoutes": ["a", *EXIT]}, [], False),
    ("exit node no more", _options(advertise_exit_node=False), "Running", {"AdvertiseRoutes": EXIT}, [[*SET, "--advertise-exit-node=false"]], False),
    ("exit node by one family", _options(advertise_exit_node=True), "Running", {"AdvertiseRoutes": EXIT[:1]}, [[*SET, "--advertise-exit-node=true"]], False),
    ("source addresses kept", _options(snat_subnet_routes=False), "Running", {"NoSNAT": False}, [["tailscale", "set", "--snat-subnet-routes=false"]], False),
    ("source addresses kept already", _options(snat_subnet_routes=False), "Running", {"NoSNAT": True}, [], False),
    ("SSH", _options(ssh=True), "Running", {"RunSSH": False}, [["tailscale", "set", "--ssh=true"]], False),
    ("relay server on any port", _options(relay_server_port="0"), "Running", {}, [["tailscale", "set", "--relay-server-port=0"]], False),
    ("relay server off already", _options(relay_server_port=""), "Running", {}, [], False),
    ("relay server off", _options(relay_server_port=""), "Running", {"RelayServerPort": 0}, [["tailscale", "set", "--relay-server-port="]], False),
    ("exit node taken back", _options(exit_node=""), "Running", {"ExitNodeID": "2"}, [["tailscale", "set", "--exit-node="]], False),
    ("no exit node and none", _options(exit_node=""), "Running", {"ExitNodeID": ""}, [], False),
    (
        "registered with an exit node",
        _options(auth_key="k", exit_node="gateway", ssh=True, relay_server_port=""),
        "NeedsLogin",
        {},
        [[*UP, "--ssh=true", "--timeout=30s"], ["tailscale", "set", "--exit-node=gateway"]],
        False,
    ),
    ("stopped and given an exit node", _options(exit_node="gateway"), "Stopped", {}, [["tailscale", "up"], ["tailscale", "set", "--exit-node=gateway"]], False),
    ("DNS off", _options(accept_dns=False), "Running", {}, [["tailscale", "set", "--accept-dns=false"]], False),
    ("down", _options(state="down"), "Running", {}, [["tailscale", "down"]], False),
    ("down already", _options(state="down"), "Stopped", {}, [], False),
    ("down when it never joined", _options(state="down"), "NeedsLogin", {}, [], False),
    ("log out", _options(state="logged_out"), "Running", {}, [["tailscale", "logout"]], False),
    ("logged out already", _options(state="logged_out"), "NeedsLogin", {}, [], False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "backend", "prefs", "commands", "needs_key"), [pytest.param(*case[1:], id=case[0]) for case in CASES]
)
def test_plan(
    options: dict[str, Any], backend: str, prefs: dict[str, Any], commands: list[list[str]], needs_key: bool
) -> None:
    planned = plan(options, {"BackendState": backend, "HaveNodeKey": True}, PREFS | prefs)
    assert planned.commands == commands
    assert planned.needs_key is needs_key
    assert bool(planned.changes) is (bool(commands) or needs_key)


@pytest.mark.parametrize("backend", ["Starting", "NoState", ""])
@pytest.mark.parametrize("key", ["", "k"])
def test_a_registered_client_that_still_connects_does_not_register_again(backend: str, key: str) -> None:
    status = {"BackendState": backend, "HaveNodeKey": True, "Health": ["no \x1brelay", "x" * 9000]}
    with pytest.raises(CouldNotRun, match=r"is registered, but still connecting: no \\x1brelay; x{100}") as caught:
        plan(_options(auth_key=key), status, PREFS)
    assert len(str(caught.value)) < 5000
    with pytest.raises(CouldNotRun, match="the client gives no reason"):
        plan(_options(auth_key=key), status | {"Health": None}, PREFS)


@pytest.mark.parametrize("backend", ["Starting", "NoState", ""])
@pytest.mark.parametrize(
    ("status", "options", "prefs"),
    [
        ({"HaveNodeKey": False}, {}, {}),
        ({}, {}, {}),
        ({"HaveNodeKey": True}, {"force": True}, {}),
        ({"HaveNodeKey": True}, {}, {"ControlURL": "https://old"}),
        ({"HaveNodeKey": True}, {}, {"LoggedOut": True}),
    ],
)
def test_a_client_that_connects_registers_if_it_has_no_key_or_must(
    backend: str, status: dict[str, Any], options: dict[str, Any], prefs: dict[str, Any]
) -> None:
    now = {"BackendState": backend, **status}
    planned = plan(_options(auth_key="k", **options), now, PREFS | prefs)
    assert planned.commands == [[*UP, "--force-reauth", "--timeout=30s"]]
    assert plan(_options(**options), now, PREFS | prefs).needs_key
    assert not connecting(_options(**options), now, PREFS | prefs)


@pytest.mark.parametrize("state", ["down", "logged_out"])
def test_a_client_that_connects_can_be_taken_down(state: str) -> None:
    planned = plan(_options(state=state), {"BackendState": "Starting", "HaveNodeKey": True}, PREFS)
    assert len(planned.commands) == 1


@pytest.mark.parametrize(
    ("options", "backend"),
    [
        ({"auth_key": "k", "exit_node": "gateway"}, "NeedsLogin"),
        ({"hostname": "new"}, "Stopped"),
        ({"state": "down"}, "Running"),
        ({"state": "logged_out"}, "Running"),
    ],
)
def test_every_command_speaks_to_the_socket(options: dict[str, Any], backend: str) -> None:
    def commands(**more: Any) -> list[list[str]]:
        return plan(_options(**options, **more), {"BackendState": backend, "HaveNodeKey": True}, PREFS).commands

    usual = commands()
    assert usual
    assert commands(socket=SOCKET) == usual
    assert commands(socket="/run/x.sock") == [["tailscale", "--socket=/run/x.sock", *words[1:]] for words in usual]


@pytest.mark.parametrize("junk", [[], [5], [{}], {"a": [5]}, 5, "x", True])
@pytest.mark.parametrize("backend", ["Running", "NeedsLogin"])
def test_whatever_a_client_says_has_a_plan_or_an_error(junk: Any, backend: str) -> None:
    wanted = _options(hostname="n", advertise_routes=["a"], advertise_exit_node=True, exit_node="gateway", ssh=True)
    names = ("ControlURL", "AdvertiseRoutes", "Hostname", "ExitNodeID", "ExitNodeIP", "NoSNAT", "RunSSH", "LoggedOut")
    peer = dict.fromkeys(("ID", "DNSName", "TailscaleIPs", "ExitNodeOption"), junk)
    states = (
        {"Peer": {"a": peer, "b": junk}},
        {"Peer": junk},
        {"Health": junk},
        {"HaveNodeKey": junk},
        {"BackendState": junk},
    )
    said = [*((state, {}) for state in states), *((STATUS, {name: junk}) for name in names)]
    for status, prefs in said:
        with contextlib.suppress(CouldNotRun):
            plan(wanted, {"BackendState": backend, "HaveNodeKey": True} | status, PREFS | prefs)


def test_no_command_carries_the_key() -> None:
    planned = plan(_options(auth_key="s3cret"), {"BackendState": "NeedsLogin"}, PREFS)
    assert "s3cret" not in repr(planned)


def test_a_client_without_a_server_is_an_error() -> None:
    with pytest.raises(CouldNotRun, match="give login_server"):
        plan(_options(login_server=None), {"BackendState": "NeedsLogin"}, {})


def test_a_client_that_waits_for_approval_is_an_error() -> None:
    with pytest.raises(CouldNotRun, match="approve it there"):
        plan(_options(), {"BackendState": "NeedsMachineAuth"}, PREFS)


def _peer(name: str, number: str, *, offers: bool) -> dict[str, Any]:
    addresses = [f"100.64.0.{number}", f"fd7a:115c:a1e0::{number}"]
    return {"ID": number, "DNSName": f"{name}.mesh.internal.", "TailscaleIPs": addresses, "ExitNodeOption": offers}


STATUS: dict[str, Any] = {
    "BackendState": "Running",
    "HaveNodeKey": True,
    "Peer": {"a": _peer("gateway", "2", offers=True), "b": _peer("laptop", "3", offers=False)},
}


@pytest.mark.parametrize("name", ["gateway", "Gateway", "gateway.mesh.internal", "100.64.0.2", "fd7a:115c:a1e0::2"])
def test_an_exit_node_by_any_of_its_names(name: str) -> None:
    planned = plan(_options(exit_node=name), STATUS, PREFS)
    assert planned.commands == [["tailscale", "set", f"--exit-node={name}"]]
    assert planned.before["exit_node"] == ""
    assert plan(_options(exit_node=name), STATUS, PREFS | {"ExitNodeID": "2"}).commands == []


def test_another_exit_node_is_replaced_and_shown_by_its_name() -> None:
    planned = plan(_options(exit_node="gateway"), STATUS, PREFS | {"ExitNodeID": "3"})
    assert (planned.before["exit_node"], planned.after["exit_node"]) == ("laptop", "gateway")


def test_a_node_that_is_no_exit_node() -> None:
    assert awaits_exit_node(_options(exit_node="laptop"), STATUS)
    assert not awaits_exit_node(_options(exit_node="gateway"), STATUS)
    assert not awaits_exit_node(_options(exit_node="laptop"), STATUS | {"BackendState": "Stopped"})
    with pytest.raises(CouldNotRun, match="laptop is not an exit node for this node: set advertise_exit_node there"):
        plan(_options(exit_node="laptop"), STATUS, PREFS)
    with pytest.raises(CouldNotRun, match=r"no such node \(it may use: gateway\)"):
        plan(_options(exit_node="nas"), STATUS, PREFS)
    with pytest.raises(CouldNotRun, match=r"it may use: \\x1bx+… ") as caught:
        plan(
            _options(exit_node="nas"), STATUS | {"Peer": {"a": _peer("\x1b" + "x" * 300_000, "2", offers=True)}}, PREFS
        )
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("port", ["70000", "-1", "abc", "8080/udp"])
def test_a_port_of_the_relay_server_that_is_none(port: str) -> None:
    with pytest.raises(BadInput, match="relay_server_port is"):
        plan(_options(relay_server_port=port), STATUS, PREFS)


def test_exit_routes_have_an_option_of_their_own() -> None:
    with pytest.raises(BadInput, match="set advertise_exit_node to true instead"):
        plan(_options(advertise_routes=["::/0"]), STATUS, PREFS)
