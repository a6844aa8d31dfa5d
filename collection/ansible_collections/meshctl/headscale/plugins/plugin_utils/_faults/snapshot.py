# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what a story may change in a lab's mesh, as the steps that bring it back."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from ...module_utils._ranges import MESH_IPV4, MESH_IPV6
from .._host import limited
from .._host.remote import loads
from .._judge.answer import items, mapping, text
from .._judge.served import EXIT_ROUTES
from .catalogue import Step
from .record import FaultError

ID: Final = "story"
TITLE: Final = "A story has changed routes, preferences or the policy"
CUT: Final = "inet meshctl-cut"
"""The table that drops what a client sends to the server."""
_SWITCHES: Final = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
_SECONDS: Final = 15.0
_POLICY: Final = "/root/policy-before-story"

Run = Callable[[str, Sequence[str]], str]
"""Runs a command on a machine and returns its output."""


def runner(enter: Callable[[str, Sequence[str]], list[str]], environment: Mapping[str, str]) -> Run:
    """Return what runs a command on a machine of a lab; it raises `FaultError`."""

    def run(machine: str, command: Sequence[str]) -> str:
        done = limited.output(enter(machine, command), seconds=_SECONDS, environment=environment)
        if done.exceeded:
            raise FaultError(f"{machine} {done.exceeded}: {shlex.join(command)}")
        if done.status:
            said = " ".join(done.errors.split())[:200] or f"exit {done.status}"
            raise FaultError(f"{machine}: {shlex.join(command)}: {said}")
        return done.output

    return run


def steps(run: Run, *, clients: Sequence[str], server: str, others: Sequence[str]) -> tuple[Step, ...]:
    """Return the steps that bring the mesh back to what it is now; raise `FaultError`."""
    with ThreadPoolExecutor(8) as pool:
        known = list(pool.map(lambda host: _client(run, host), clients))
        plain = list(pool.map(lambda host: _routes(run, host), others))
    # The server last: a client that comes back must not find routes approved that were not.
    return (*known, *plain, *_server(run, server))


def _client(run: Run, host: str) -> Step:
    prefs = mapping(_json(run(host, ["tailscale", "debug", "prefs"]), host))
    exit_node = ""
    if prefs.get("ExitNodeID"):
        status = mapping(_json(run(host, ["tailscale", "status", "--json"]), host))
        addresses = items(mapping(status.get("ExitNodeStatus")).get("TailscaleIPs"))
        exit_node = text(next(iter(addresses), "")).partition("/")[0]
    routes = [text(entry) for entry in items(prefs.get("AdvertiseRoutes"))]
    flags = [
        f"--advertise-routes={','.join(entry for entry in routes if entry not in EXIT_ROUTES)}",
        f"--advertise-exit-node={_flag(EXIT_ROUTES[0] in routes)}",
        f"--accept-routes={_flag(prefs.get('RouteAll'))}",
        f"--snat-subnet-routes={_flag(not prefs.get('NoSNAT'))}",
        f"--exit-node-allow-lan-access={_flag(prefs.get('ExitNodeAllowLANAccess'))}",
        f"--exit-node={exit_node}",
    ]
    # A kernel without IPv6 does not know its switch, for which `-e` prints nothing.
    known = {name: run(host, ["sysctl", "-en", name]).strip() for name in _SWITCHES}
    switches = [f"{name}={value}" for name, value in known.items() if value]
    # A client that was cut off from the server waits for its old connection for a minute, unless it starts again.
    started = "timeout 15 sh -c 'until tailscale debug prefs >/dev/null 2>&1; do sleep 0.1; done'"
    joined = (
        f"if nft delete table {CUT} 2>/dev/null; then s6-svc -wr -T 15000 -r /etc/service/tailscaled; {started}; fi"
    )
    wanted = prefs.get("WantRunning") is True
    lines = [shlex.join(command) for command in (["sysctl", "-qw", *switches], ["tailscale", "set", *flags])]
    # Of a client that is up, `tailscale up` without flags would want to know every preference.
    again = """case $(tailscale debug prefs) in *'"WantRunning": false'*) tailscale up ;; esac"""
    return Step(at=host, run="\n".join([*lines, *([joined, again] if wanted else [])]), seconds=_SECONDS + 10)


def _flag(value: object) -> str:
    return "true" if value else "false"


def _routes(run: Run, host: str) -> Step:
    """Return the step that removes the routes into the mesh that a host outside of it has not had."""
    listed = [_json(run(host, ["ip", "-j", family, "route"]), host) for family in ("-4", "-6")]
    kept = {text(mapping(route).get("dst")) for routes in listed for route in items(routes)}
    mesh = [str(network) for network in (MESH_IPV4, MESH_IPV6)]
    lines = [f"ip route del {prefix} 2>/dev/null || true" for prefix in mesh if prefix not in kept]
    return Step(at=host, run="\n".join(lines) or ":")


def _server(run: Run, host: str) -> Iterator[Step]:
    nodes = [mapping(node) for node in items(_json(run(host, ["headscale", "nodes", "list", "-o", "json"]), host))]
    approvals = [
        shlex.join(
            ["headscale", "nodes", "approve-routes", "-i", text(node.get("id")), "-r", ",".join(map(text, items(node.get("approved_routes"))))]
        )
        for node in nodes
    ]  # fmt: skip
    yield Step(at=host, run="\n".join(f"{line} >/dev/null" for line in approvals) or ":")
    policy = run(host, ["/bin/sh", "-c", "headscale policy get 2>/dev/null || true"])
    if policy.strip():
        script = f"cat > {_POLICY} <<'END-OF-POLICY'\n{policy.rstrip()}\nEND-OF-POLICY\n"
        yield Step(at=host, run=f"{script}headscale policy set -f {_POLICY} >/dev/null\nrm -f {_POLICY}")


def _json(said: str, host: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return loads(said or "null")
    except ValueError as exc:
        raise FaultError(f"{host} did not answer with usable JSON: {exc}") from None
