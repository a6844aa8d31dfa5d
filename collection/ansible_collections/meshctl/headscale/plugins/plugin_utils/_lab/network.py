# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn a topology into the input of `ip -batch`, `tc -batch` and `nft -f`. Pure functions.

In the fabric, which is the network namespace of the lab, a bridge represents each physical network,
and a port `pN` is the far end of each machine's cable. Setting the port down unplugs the cable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .._inventory.places import Machine, Subnet, Topology
from .._inventory.topology import WAN
from .._inventory.values import Link

# Count and record destinations outside the lab, so that a message can name them.
_OUTSIDE = "counter name egress update @tried { ip daddr . meta l4proto } reject with icmp net-unreachable"


@dataclass(frozen=True, kw_only=True)
class Cable:
    """A cable from a machine to a bridge of the fabric."""

    machine: str
    interface: str
    port: str
    bridge: str
    address: str
    link: Link
    address6: str = ""

    @property
    def ip(self) -> str:
        """Return the address without its prefix length."""
        return self.address.partition("/")[0]

    @property
    def ip6(self) -> str:
        """Return the IPv6 address without its prefix length."""
        return self.address6.partition("/")[0]

    @property
    def mac(self) -> str:
        """Return the hardware address of the machine's end, which follows from its IP address."""
        return ":".join(["52", "54", *(f"{int(part):02x}" for part in self.ip.split("."))])


def bridges(topology: Topology) -> dict[str, str]:
    """Return the bridge of each network, numbered because interface names have at most 15 characters."""
    return {WAN: "br-wan"} | {name: f"br-{index}" for index, name in enumerate(topology.subnets, start=1)}


def cables(topology: Topology) -> list[Cable]:
    """Return every cable of the lab; a router has two."""
    bridge = bridges(topology)
    wan_length = topology.wan_cidr.partition("/")[2]
    lines: list[Cable] = []

    def add(  # noqa: PLR0913, PLR0917
        machine: Machine, interface: str, network: str, address: str, length: str, link: Link, address6: str
    ) -> None:
        subnet = topology.subnets.get(network)
        length6 = (subnet.cidr6 if subnet else topology.wan_cidr6).partition("/")[2]
        lines.append(
            Cable(
                machine=machine.name,
                interface=interface,
                port=f"p{_number(machine, topology)}{'l' if interface == 'lan' else ''}",
                bridge=bridge[network],
                address=f"{address}/{length}",
                link=link,
                address6=f"{address6}/{length6}" if address6 else "",
            )
        )

    for machine in topology.machines.values():
        if machine.kind == "guest":
            continue  # libvirt connects its cable, not the fabric
        subnet = topology.subnets.get(machine.subnet)
        length = subnet.cidr.partition("/")[2] if subnet else wan_length
        if machine.kind == "router":
            add(machine, WAN, WAN, machine.public_address, wan_length, machine.link, machine.public_address6)
            add(machine, "lan", machine.subnet, machine.address, length, Link(), machine.address6)
        else:
            add(machine, "eth0", machine.subnet, machine.address, length, machine.link, machine.address6)
    return lines


def _number(machine: Machine, topology: Topology) -> str:
    # From the address, not from the position, so that a new machine does not rename other ports.
    network = (
        "w"
        if machine.kind == "router"
        else str(list(topology.subnets).index(machine.subnet) + 1 if machine.subnet != WAN else 0)
    )
    last = machine.public_address if machine.kind == "router" else machine.address
    packed = "".join(f"{int(part):02x}" for part in last.split("."))
    return f"{network}{packed}"


def fabric_commands(topology: Topology) -> str:
    """Return the `ip -batch` input that creates the bridges."""
    lines = ["link set lo up"]
    for bridge in bridges(topology).values():
        lines += [
            # Without a spanning tree and a delay, a port forwards its first packet.
            f"link add {bridge} type bridge forward_delay 0 stp_state 0 mcast_snooping 0",
            f"link set {bridge} addrgenmode none up",
        ]
    return _text(lines)


def cable_commands(lines: Iterable[Cable]) -> str:
    """Return the `ip -batch` input that creates the cables."""
    commands: list[str] = []
    for line in lines:
        commands += [
            f"link add {line.port} mtu {line.link.mtu} type veth "
            f"peer name {line.interface} address {line.mac} mtu {line.link.mtu} netns {line.machine}",
            f"link set {line.port} addrgenmode none master {line.bridge} up",
        ]
    return _text(commands)


def address_commands(topology: Topology, machine: Machine, lines: Iterable[Cable]) -> str:
    """Return the `ip -batch` input for the inside of one machine: addresses, neighbours and routes."""
    commands = ["link set lo up"]
    for line in lines:
        commands += [f"link set {line.interface} up", f"addr add {line.address} dev {line.interface}"]
        commands += _neighbours(topology, line)
    return _text(commands) + route_commands(topology, machine)


def ipv6_commands(topology: Topology, machine: Machine, lines: Iterable[Cable]) -> str:
    """Return the `ip -batch` input for the IPv6 addresses, neighbours and routes of one machine; empty if it has none."""
    commands: list[str] = []
    for line in lines:
        if not line.address6:
            continue
        # No other machine has the address, so it need not be probed first.
        commands.append(f"addr add {line.address6} dev {line.interface} nodad")
        commands += [
            f"neigh replace {other.ip6} lladdr {other.mac} dev {line.interface} nud permanent"
            for other in cables(topology)
            if other.bridge == line.bridge and other.port != line.port and other.address6
        ]
    subnet = topology.subnets.get(machine.subnet)
    if machine.kind != "router" and machine.address6 and subnet and subnet.gateway6:
        commands.append(f"route add default via {subnet.gateway6}")
    return _text(commands)


def _neighbours(topology: Topology, line: Cable) -> list[str]:
    """Return a permanent entry for each machine on the same network.

    All namespaces of this system share one table of about 1,000 learned neighbours (sysctl `neigh.default.gc_thresh3`),
    which some 40 machines that speak with each other fill: then sending fails (ENOBUFS). Permanent ones do not count.
    """
    return [
        f"neigh replace {other.ip} lladdr {other.mac} dev {line.interface} nud permanent"
        for other in cables(topology)
        if other.bridge == line.bridge and other.port != line.port
    ]


def route_commands(topology: Topology, machine: Machine) -> str:
    """Return the `ip -batch` input for the routes of one machine."""
    commands: list[str] = []
    subnet = topology.subnets.get(machine.subnet)
    if machine.kind == "router":
        # Without a route, packets for other networks would not reach the rule that rejects and counts them.
        commands.append(f"route add default dev {WAN}")
        commands += _routed(topology, but=machine.subnet, interface=WAN)
    elif subnet:
        commands.append(f"route add default via {subnet.gateway}")
    else:
        commands += _routed(topology, but=None, interface="eth0")
    return _text(commands)


def _routed(topology: Topology, *, but: str | None, interface: str) -> list[str]:
    """Return the routes to subnets that no router hides."""
    return [
        f"route add {subnet.cidr} via {subnet.wan_address} dev {interface}"
        for subnet in topology.subnets.values()
        if subnet.nat == "none" and subnet.name != but
    ]


def router_rules(topology: Topology, subnet: Subnet) -> str:
    """Return the nftables ruleset of a router.

    Its WAN side drops what it did not ask for in *input* too: where that is open, a packet of the
    peer for a port that is not mapped yet leaves a connection-tracking entry on the router, the
    node's own flow is then given another port, and the pair stays on the relay forever.
    """
    hidden = [other.cidr for other in topology.subnets.values() if other.nat != "none" and other.name != subnet.name]
    inside = [
        topology.wan_cidr,
        *(s.cidr for s in topology.subnets.values() if s.nat == "none" or s.name == subnet.name),
    ]
    hosts = [machine for machine in topology.hosts() if machine.subnet == subnet.name]
    dnat = [
        f"ip daddr {subnet.wan_address} {entry.proto} dport {entry.port} dnat ip to {host.address}:{entry.to_port}"
        for host in hosts
        for entry in host.publish
    ]
    forward = [
        "ct state established,related accept",
        "ct status dnat accept",
        *(
            [f'iifname "lan" ip daddr {_set(hidden)} counter name cross_subnet reject with icmp net-unreachable']
            if hidden
            else []
        ),
        f'iifname "lan" ip daddr != {_set(inside)} {_OUTSIDE}',
        *(['iifname "lan" udp dport != 53 reject with icmp port-unreachable'] if subnet.nat == "udp_blocked" else []),
        *(
            [f'iifname "lan" ip6 daddr != {topology.wan_cidr6} reject with icmpv6 no-route']
            if subnet.wan_address6
            else []
        ),
        'iifname "lan" accept',
        *([f'iifname "{WAN}" ip daddr {subnet.cidr} accept'] if subnet.nat == "none" else []),
        "counter name unsolicited drop",
    ]
    flags = " random,fully-random" if subnet.nat == "hard" else ""
    masquerade = [] if subnet.nat == "none" else [f'oifname "{WAN}" ip saddr {subnet.cidr} masquerade{flags}']
    if subnet.wan_address6:
        masquerade.append(f'oifname "{WAN}" ip6 saddr {subnet.cidr6} masquerade{flags}')
    return _text(
        [
            "table inet router {}",
            "delete table inet router",
            "table inet router {",
            "  counter egress {}",
            "  counter cross_subnet {}",
            "  counter unsolicited {}",
            "  set tried { type ipv4_addr . inet_proto; size 4096; flags dynamic; }",
            *_chain("input", "filter hook input priority filter", [
                f'iifname "{WAN}" ct state established,related accept',
                f'iifname "{WAN}" counter name unsolicited drop',
            ]),
            *_chain("forward", "filter hook forward priority filter", forward, policy="drop"),
            *_chain("output", "filter hook output priority filter", [
                f'oifname "{WAN}" ip daddr != {_set(inside)} {_OUTSIDE}',
            ]),
            *_chain("prerouting", "nat hook prerouting priority dstnat", dnat),
            *_chain("postrouting", "nat hook postrouting priority srcnat", [
                *masquerade,
                # Connections to the published address from inside the same network return through the router.
                f'oifname "lan" ip saddr {subnet.cidr} ct status dnat masquerade',
            ]),
            "}",
        ]
    )  # fmt: skip


def _set(networks: Iterable[str]) -> str:
    return "{ " + ", ".join(networks) + " }"


def _chain(name: str, hook: str, rules: Iterable[str], *, policy: str = "accept") -> list[str]:
    return [f"  chain {name} {{", f"    type {hook}; policy {policy};", *(f"    {rule}" for rule in rules), "  }"]


def shaping_commands(lines: Iterable[Cable]) -> str:
    """Return the `tc -batch` input for the fabric's ends of the cables, which shape what machines receive."""
    return _text(command for line in lines for command in _qdisc(line.port, line.link))


def uplink_commands(line: Cable) -> str:
    """Return the `tc -batch` input for the machine's end of its cable, which shapes what it sends."""
    return _text(_qdisc(line.interface, line.link))


def _qdisc(interface: str, link: Link) -> list[str]:
    rate = f"{link.rate_bit}bit"
    if link.delay_ms:
        netem = f"netem delay {link.delay_ms:g}ms {link.jitter_ms:g}ms"
        return [f"qdisc replace dev {interface} root {netem}" + (f" rate {rate}" if link.rate_bit else "")]
    if link.rate_bit:
        return [f"qdisc replace dev {interface} root tbf rate {rate} burst 64kb latency 100ms"]
    return []


def loss_rules(lines: Iterable[Cable]) -> str:
    """Return the fabric's nftables ruleset that drops packets in both directions of a cable."""
    lossy = [line for line in lines if line.link.loss]
    text = ["table netdev loss {}", "delete table netdev loss"]
    if lossy:
        text.append("table netdev loss {")
        for line in lossy:
            share = round(line.link.loss * 10000)
            rule = f"numgen random mod 10000 < {share} drop" if share < 10000 else "drop"  # noqa: PLR2004
            for hook in ("ingress", "egress"):
                text += _chain(f"{line.port}_{hook}", f'filter hook {hook} device "{line.port}" priority 0', [rule])
        text.append("}")
    return _text(text)


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
