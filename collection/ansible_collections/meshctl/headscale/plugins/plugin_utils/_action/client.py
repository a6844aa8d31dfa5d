# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the commands that bring a Tailscale client to the wanted state. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ...module_utils._errors import CouldNotRun
from .._host.execute import SECRET_FILE

# Option of the module -> preference of the client, flag of `tailscale up` and of `tailscale set`.
PREFERENCES: Final = {
    "hostname": ("Hostname", "--hostname"),
    "accept_dns": ("CorpDNS", "--accept-dns"),
    "accept_routes": ("RouteAll", "--accept-routes"),
    "advertise_routes": ("AdvertiseRoutes", "--advertise-routes"),
    "shields_up": ("ShieldsUp", "--shields-up"),
}
# Only `tailscale up` can change these, because they are part of the registration.
AT_REGISTRATION: Final = {"advertise_tags": ("AdvertiseTags", "--advertise-tags")}

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

    :raises CouldNotRun: if the state cannot be reached from here.
    """
    backend = str(status.get("BackendState") or "")
    if options["state"] == "logged_out":
        return _simple(
            backend in LOGGED_OUT or not status.get("HaveNodeKey", True), "logged out", ["tailscale", "logout"], backend
        )
    if options["state"] == "down":
        return _simple(backend in ("Stopped", *LOGGED_OUT), "down", ["tailscale", "down"], backend)
    if backend == "NeedsMachineAuth":
        raise CouldNotRun("the control server has not approved this node yet; approve it there")
    if _must_register(options, backend, prefs):
        return _register(options, backend, prefs)
    return _adjust(options, backend, prefs)


def _simple(done: bool, name: str, command: list[str], backend: str) -> Plan:
    if done:
        return Plan(before={"state": backend}, after={"state": backend})
    return Plan(commands=[command], changes=[f"client is {name}"], before={"state": backend}, after={"state": name})


def _must_register(options: Mapping[str, Any], backend: str, prefs: Mapping[str, Any]) -> bool:
    server = options.get("login_server")
    moved = bool(server) and _url(prefs.get("ControlURL")) != _url(server)
    return backend in (*LOGGED_OUT, *UNSETTLED) or bool(prefs.get("LoggedOut")) or moved or bool(options.get("force"))


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
    for option, (_name, flag) in (PREFERENCES | AT_REGISTRATION).items():
        if options.get(option) is not None:
            command.append(f"{flag}={_flag_value(options[option])}")
    if backend not in LOGGED_OUT:
        command.append("--force-reauth")
    planned.commands.append([*command, f"--timeout={options['timeout']}s"])
    return planned


def _adjust(options: Mapping[str, Any], backend: str, prefs: Mapping[str, Any]) -> Plan:
    planned = Plan(before={"state": backend}, after={"state": "Running"})
    flags = []
    for option, (name, flag) in PREFERENCES.items():
        wanted = options.get(option)
        if wanted is None or _same(prefs.get(name), wanted):
            continue
        flags.append(f"{flag}={_flag_value(wanted)}")
        planned.changes.append(f"{option} set to {_flag_value(wanted) or 'nothing'}")
        planned.before[option], planned.after[option] = prefs.get(name), wanted
    if flags:
        planned.commands.append(["tailscale", "set", *flags])
    if backend == "Stopped":
        # `up` without flags keeps every preference and only brings the client up again.
        planned.commands.append(["tailscale", "up"])
        planned.changes.append("client is up")
    return planned


def _same(current: object, wanted: object) -> bool:
    if isinstance(wanted, list):
        return sorted(map(str, current if isinstance(current, Sequence) else [])) == sorted(map(str, wanted))
    return current == wanted or (current in (None, "") and wanted in (False, "", None))


def _flag_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
