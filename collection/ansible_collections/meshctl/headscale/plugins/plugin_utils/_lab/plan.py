# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn a topology into the shell script that builds it inside the lab's namespaces. Pure functions.

A single script builds 50 nodes in a second and documents the lab: `up` keeps it as `build.sh` in the lab's state
directory. The shell functions that it calls are in `machine.sh`.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection

from .._inventory.places import Machine, Topology
from .._inventory.topology import WAN
from . import network
from .network import Cable

PREAMBLE = ". /run/lab/state/machine.sh\n"
# A kernel without IPv6 (ipv6.disable=1) refuses its settings.
_IPV6 = "[ -e /proc/sys/net/ipv6 ]"
_LINKS = f"if {_IPV6}; then ip -batch -; else sed 's/ addrgenmode none//' | ip -batch -; fi"


def build_script(topology: Topology, *, only: Collection[str] | None = None) -> str:
    """Return the script that builds the lab, or adds the machines in `only` to a running lab."""
    machines = [
        machine
        for machine in topology.machines.values()
        if machine.kind != "guest" and (only is None or machine.name in only)
    ]
    cables = {machine.name: [c for c in network.cables(topology) if c.machine == machine.name] for machine in machines}
    lines = [cable for own in cables.values() for cable in own]
    parts = [PREAMBLE]
    if only is None:
        parts += [_call("base")]
        parts += [_feed(_LINKS, network.fabric_commands(topology))]
    parts += [_call("namespaces", *cables), _feed(_LINKS, network.cable_commands(lines))]
    parts += [_machine(topology, machine, cables[machine.name]) for machine in machines]
    parts += [_links(topology, lines), _call("await", *(machine.name for machine in machines))]
    return "\n".join(parts)


def tune_script(topology: Topology, *, renat: Collection[str] = ()) -> str:
    """Return the script that applies the topology's NAT rules and impairments to a running lab.

    :param renat: subnets whose NAT kind changed; their established flows are dropped.
    """
    lines = network.cables(topology)
    clear = "".join(f"tc qdisc del dev {cable.port} root 2>/dev/null || true\n" for cable in lines)
    uplinks = "".join(
        f"{_inside(cable.machine)} tc qdisc del dev {cable.interface} root 2>/dev/null || true\n" for cable in lines
    )
    rules = [
        _feed(f"{_inside(subnet.router)} nft -f -", network.router_rules(topology, subnet))
        for subnet in topology.subnets.values()
    ]
    sizes = "".join(
        f"ip link set {cable.port} mtu {cable.link.mtu}\n"
        f"ip -n {cable.machine} link set {cable.interface} mtu {cable.link.mtu}\n"
        for cable in lines
    )
    laid = [*rules, *_renat(topology, renat), _links(topology, lines), _uplinks(lines)]
    return "\n".join([PREAMBLE, clear + uplinks + sizes, *laid])


def _renat(topology: Topology, names: Collection[str]) -> list[str]:
    """Drop the flows of routers, and route from the WAN to the subnets that NAT no longer hides."""
    if not names:
        return []
    parts = [_call("forget_flows", topology.subnets[name].router) for name in names]
    for machine in topology.machines.values():
        if machine.kind == "router" or (machine.kind == "host" and machine.subnet == WAN):
            parts.append(f"ip -n {machine.name} route flush proto boot")
            routes = network.route_commands(topology, machine)
            parts.append(_feed(f"ip -n {machine.name} -batch -", routes))
    return parts


def remove_script(stopped: Collection[str], *, wiped: Collection[str]) -> str:
    """Return the script that removes the remains of machines from a running lab, with the disks of some."""
    calls = [*(_call("stop", name) for name in stopped), *(_call("wipe", name) for name in wiped)]
    return "\n".join([PREAMBLE, *calls, ""])


def _machine(topology: Topology, machine: Machine, cables: list[Cable]) -> str:
    parts = [_feed(f"ip -n {machine.name} -batch -", network.address_commands(topology, machine, cables))]
    if ipv6 := network.ipv6_commands(topology, machine, cables):
        parts.append(_feed(_call("ipv6", machine.name), ipv6))
    if machine.kind == "router":
        subnet = topology.subnets[machine.subnet]
        # Send every rejection: the kernel's default limit of about one per second and host would swallow some.
        parts.append(f"{_inside(machine.name)} sysctl -qw net.ipv4.ip_forward=1 net.ipv4.icmp_ratelimit=0")
        if machine.address6:
            parts.append(f"! {_IPV6} || {_inside(machine.name)} sysctl -qw net.ipv6.conf.all.forwarding=1")
        parts.append(_feed(f"{_inside(machine.name)} nft -f -", network.router_rules(topology, subnet)))
    parts.append(_uplinks(cables))
    parts.append(_call("machine", topology.lab_name, machine.name, topology.resolver))
    return "\n".join(part for part in parts if part)


def _uplinks(cables: list[Cable]) -> str:
    fed = [(cable, network.uplink_commands(cable)) for cable in cables]
    return "\n".join(_feed(f"{_inside(cable.machine)} tc -batch -", text) for cable, text in fed if text)


def _links(topology: Topology, cables: list[Cable]) -> str:
    shaping = network.shaping_commands(cables)
    parts = [_feed("tc -batch -", shaping)] if shaping else []
    return "\n".join([*parts, _feed("nft -f -", network.loss_rules(network.cables(topology)))])


def _inside(machine: str) -> str:
    return f"nsenter --net=/run/netns/{machine}"


def _call(function: str, *arguments: str) -> str:
    return shlex.join([function, *arguments])


def _feed(command: str, text: str) -> str:
    return f"{command} <<'END'\n{text}END"
