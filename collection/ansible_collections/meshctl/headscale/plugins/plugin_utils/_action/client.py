# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the commands that bring a Tailscale client to the wanted state. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ...module_utils import _visible
from ...module_utils._errors import BadInput, CouldNotRun
from .._host.execute import SECRET_FILE
from .._judge.answer import items, mapping, text
from .._judge.brief import cut

# Options of the module that `tailscale up` and `tailscale set` have flags for, with the client's preference.
PREFERENCES: Final = {
    "hostname": "Hostname",
    "accept_dns": "CorpDNS",
    "accept_routes": "RouteAll",
    "advertise_routes": "AdvertiseRoutes",
    "advertise_exit_node": "AdvertiseRoutes",
    "exit_node_allow_lan_access": "ExitNodeAllowLANAccess",
    "shields_up": "ShieldsUp",
    "snat_subnet_routes": "NoSNAT",
    "ssh": "RunSSH",
}
# Only `tailscale up` can change this one, because it is part of the registration.
AT_REGISTRATION: Final = ("advertise_tags",)
# Only `tailscale set` can change these, on a client that is up: it knows the other nodes, or has no flag in `tailscale up`.
ONCE_UP: Final = {"exit_node": "ExitNodeID", "relay_server_port": "RelayServerPort"}
_EXIT_ROUTES: Final = ("0.0.0.0/0", "::/0")
_HIGHEST_PORT: Final = 65535

# Where `tailscale` looks for tailscaled.
SOCKET: Final = "/var/run/tailscale/tailscaled.sock"

# The client does not know its state yet.
UNSETTLED: Final = ("NoState", "Starting", "")
LOGGED_OUT: Final = ("NeedsLogin",)


@dataclass(kw_only=True)
class Plan:
    """The commands to run on the host, and the changes that they make."""

    commands: list[list[str]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    needs_key: bool = False
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


def plan(options: Mapping[str, Any], status: Mapping[str, Any], prefs: Mapping[str, Any]) -> Plan:
    """Return the plan that brings a client from its status and preferences, as LocalAPI gives them, to the wanted state.

    :raises BadInput: if an option cannot be read.
    :raises CouldNotRun: if the state cannot be reached from here.
    """
    _refuse(options)
    planned = _planned(options, status, prefs)
    if (socket := options.get("socket") or SOCKET) != SOCKET:
        planned.commands = [[program, f"--socket={socket}", *words] for program, *words in planned.commands]
    return planned


def _planned(options: Mapping[str, Any], status: Mapping[str, Any], prefs: Mapping[str, Any]) -> Plan:
    backend = str(status.get("BackendState") or "")
    if options["state"] == "logged_out":
        return _simple(
            backend in LOGGED_OUT or not status.get("HaveNodeKey", True), "logged out", ["tailscale", "logout"], backend
        )
    if options["state"] == "down":
        return _simple(backend in ("Stopped", *LOGGED_OUT), "down", ["tailscale", "down"], backend)
    if backend == "NeedsMachineAuth":
        raise CouldNotRun("the control server has not approved this node yet; approve it there")
    if _must_register(options, status, prefs):
        return _register(options, backend, prefs)
    if connecting(options, status, prefs):
        raise CouldNotRun(still_connecting(status))
    return _adjust(options, status, prefs)


def connecting(options: Mapping[str, Any], status: Mapping[str, Any], prefs: Mapping[str, Any]) -> bool:
    """Whether the client is to be up, is registered, and does not know its state yet: it may reach no relay and no peer."""
    unsettled = str(status.get("BackendState") or "") in UNSETTLED
    return options["state"] == "joined" and unsettled and not _must_register(options, status, prefs)


def still_connecting(status: Mapping[str, Any]) -> str:
    """Return what to say about such a client."""
    return f"the node is registered, but still connecting: {health(status)}"


def health(status: Mapping[str, Any]) -> str:
    """Return what the client itself says is wrong."""
    return cut(_visible.text("; ".join(map(text, items(status.get("Health")))))) or "the client gives no reason"


def awaits_exit_node(options: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Whether the client is up and its exit node does not offer itself, which the client may learn any moment."""
    name = options.get("exit_node")
    if not name or options["state"] != "joined" or status.get("BackendState") != "Running":
        return False
    return not (_peer(name, status) or {}).get("ExitNodeOption")


def _refuse(options: Mapping[str, Any]) -> None:
    for route in options.get("advertise_routes") or ():
        if route in _EXIT_ROUTES:
            raise BadInput(f"advertise_routes has {route}: set advertise_exit_node to true instead")
    port = options.get("relay_server_port") or "0"
    if not port.isascii() or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise BadInput(
            f"relay_server_port is {port!r}: write a UDP port, 0 for any free one, or '' for no relay server"
        )


def _simple(done: bool, name: str, command: list[str], backend: str) -> Plan:
    if done:
        return Plan(before={"state": backend}, after={"state": backend})
    return Plan(commands=[command], changes=[f"client is {name}"], before={"state": backend}, after={"state": name})


def _must_register(options: Mapping[str, Any], status: Mapping[str, Any], prefs: Mapping[str, Any]) -> bool:
    backend, server = str(status.get("BackendState") or ""), options.get("login_server")
    moved = bool(server) and _url(prefs.get("ControlURL")) != _url(server)
    # A client has a node key from the moment it is registered, and leaves the field out before.
    new = backend in UNSETTLED and not status.get("HaveNodeKey")
    return backend in LOGGED_OUT or new or bool(prefs.get("LoggedOut")) or moved or bool(options.get("force"))


def _url(value: object) -> str:
    return str(value or "").rstrip("/")


def _register(options: Mapping[str, Any], backend: str, prefs: Mapping[str, Any]) -> Plan:
    server = options.get("login_server") or prefs.get("ControlURL")
    if not server:
        raise CouldNotRun("the client has no control server yet; give login_server")
    planned = Plan(
        changes=[f"node registered with {_url(server)}"],
        before={"state": backend, "login_server": prefs.get("ControlURL")},
        after={"state": "joined", "login_server": server},
    )
    if not options.get("auth_key"):
        planned.needs_key = True
        return planned
    command = ["tailscale", "up", "--reset", f"--login-server={_url(server)}", f"--auth-key=file:{SECRET_FILE}"]
    command += _flags(options, (*PREFERENCES, *AT_REGISTRATION))
    if backend not in LOGGED_OUT:
        command.append("--force-reauth")
    planned.commands.append([*command, f"--timeout={options['timeout']}s"])
    if later := _flags(options, [option for option in ONCE_UP if options.get(option)]):
        planned.commands.append(["tailscale", "set", *later])
    return planned


def _adjust(options: Mapping[str, Any], status: Mapping[str, Any], prefs: Mapping[str, Any]) -> Plan:
    backend = str(status.get("BackendState") or "")
    planned = Plan(before={"state": backend}, after={"state": "Running"})
    differing = [option for option in (*PREFERENCES, *ONCE_UP) if _differs(option, options.get(option), status, prefs)]
    for option in differing:
        wanted = options[option]
        planned.changes.append(f"{option} set to {_flag_value(wanted) or 'nothing'}")
        planned.before[option], planned.after[option] = _current(option, status, prefs), wanted
    if flags := _flags(options, [option for option in differing if option in PREFERENCES]):
        planned.commands.append(["tailscale", "set", *flags])
    if backend == "Stopped":
        # `up` without flags keeps every preference and only brings the client up again.
        planned.commands.append(["tailscale", "up"])
        planned.changes.append("client is up")
    if flags := _flags(options, [option for option in differing if option in ONCE_UP]):
        planned.commands.append(["tailscale", "set", *flags])
    return planned


def _flags(options: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    given = [name for name in names if options.get(name) is not None]
    return [f"--{name.replace('_', '-')}={_flag_value(options[name])}" for name in given]


def _differs(option: str, wanted: object, status: Mapping[str, Any], prefs: Mapping[str, Any]) -> bool:
    if wanted is None:
        return False
    if option == "exit_node" and wanted:
        return _is_other_exit_node(str(wanted), status, prefs)
    return not _same(_current(option, status, prefs), wanted)


def _current(option: str, status: Mapping[str, Any], prefs: Mapping[str, Any]) -> object:
    """Return what an option would have to be for the client to stay as it is."""
    value = prefs.get((PREFERENCES | ONCE_UP)[option])
    if option == "advertise_routes":
        return [route for route in items(value) if route not in _EXIT_ROUTES]
    if option == "advertise_exit_node":
        return set(_EXIT_ROUTES) <= set(map(text, items(value)))
    if option == "snat_subnet_routes":
        return not value
    if option == "relay_server_port":
        return "" if value is None else str(value)
    if option == "exit_node":
        known = next((peer for peer in _peers(status) if value and peer.get("ID") == value), {})
        return _label(known) or value or prefs.get("ExitNodeIP") or ""
    return value


def _is_other_exit_node(wanted: str, status: Mapping[str, Any], prefs: Mapping[str, Any]) -> bool:
    """Whether the exit node that is named is not the one in use. Raise `CouldNotRun` if it cannot be one."""
    if prefs.get("ExitNodeIP") == wanted:
        return False
    peer = _peer(wanted, status)
    if peer is not None and prefs.get("ExitNodeID") == peer.get("ID"):
        return False
    if status.get("BackendState") != "Running":
        return True
    if peer is None:
        offered = ", ".join(sorted(_label(other) for other in _peers(status) if other.get("ExitNodeOption")))
        known = cut(_visible.text(offered)) or "none"
        raise CouldNotRun(f"exit_node is {wanted!r}, and this node sees no such node (it may use: {known})")
    if not peer.get("ExitNodeOption"):
        raise CouldNotRun(
            f"{wanted} is not an exit node for this node: set advertise_exit_node there, approve its routes 0.0.0.0/0 and ::/0 "
            "with meshctl.headscale.node, and let the policy allow autogroup:internet"
        )
    return True


def _peers(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [peer for peer in map(mapping, mapping(status.get("Peer")).values()) if peer]


def _peer(wanted: str, status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the peer that an address or a name means."""
    name = wanted.lower().rstrip(".")
    for peer in _peers(status):
        if name in {_label(peer), text(peer.get("DNSName")).rstrip("."), *map(text, items(peer.get("TailscaleIPs")))}:
            return peer
    return None


def _label(peer: Mapping[str, Any]) -> str:
    return text(peer.get("DNSName")).partition(".")[0]


def _same(current: object, wanted: object) -> bool:
    if isinstance(wanted, list):
        return sorted(map(str, current if isinstance(current, Sequence) else [])) == sorted(map(str, wanted))
    return current == wanted or (current in (None, "") and wanted in (False, "", None))


def _flag_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
