# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hold what was observed of a host, and what its earlier findings are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import TYPE_CHECKING, Any

from .._judge.answer import Answer, Json, address, addresses, items, mapping, text
from .._judge.check import Check
from .._judge.context import CheckContext, first_address
from .._judge.names import QUAD_100, QUAD_100_V6, resolver_of
from .._judge.path import ExpectedPath
from . import control, urls
from .cause import Cause, because
from .relays import FAMILIES, Relay, read_relays

if TYPE_CHECKING:
    from .records import Server

__all__ = [
    "NO_FILE",
    "NO_SERVER",
    "Cause",
    "Check",
    "CheckContext",
    "Client",
    "ClientContext",
    "Iterator",
    "Observed",
    "because",
]

NO_SERVER = "the client is logged out and has no server"
# As the probe reports a file that does not exist.
NO_FILE = "No such file or directory"


class Observed(Answer):
    """The answer of a probe, and the checks that were made of it so far."""

    def __init__(self, answer: Json) -> None:
        super().__init__(answer)
        self.bad: dict[str, Cause] = {}

    def keep(self, check: Check, finding: str) -> Check:
        """Remember a finding so that later ones can refer to it."""
        if check.bad:
            for name in (finding, f"{finding}.{check.aspect}", f"{finding} of {check.target}"):
                self.bad.setdefault(name, Cause.of(check))
        return check

    def cause(self, *findings: str) -> Cause | None:
        """Return the first of these findings that is bad."""
        return next((self.bad[name] for name in findings if name in self.bad), None)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return an observation that is a list of objects."""
        return [row for entry in items(self.data(name)) if (row := mapping(entry))]

    def row(self, name: str, /, **fields: Json) -> dict[str, Any]:
        """Return the first object of an observation with these fields, empty if there is none."""
        return next((row for row in self.rows(name) if all(row.get(key) == value for key, value in fields.items())), {})


@dataclass(frozen=True, kw_only=True)
class ClientContext:
    """What is known of a client before it is examined."""

    expected_paths: tuple[ExpectedPath, ...] = ()
    server_url: str = ""
    outside: tuple[str, ...] = ()
    server: Server | None = None
    domain: str = ""
    """The domain of MagicDNS that the inventory states, or gives a mesh that meshctl deploys."""
    accepts_dns: bool = True
    """Whether the inventory lets the client use the mesh's DNS settings."""


class Client(Observed):
    """A client, as its tailscaled and its host describe it."""

    def __init__(self, answer: Json, known: ClientContext) -> None:
        super().__init__(answer)
        self.known = known

    @cached_property
    def status(self) -> dict[str, Any]:
        """Return tailscaled's status."""
        return mapping(self.data("status"))

    @cached_property
    def running(self) -> bool:
        """Whether the client is connected to the mesh's data plane."""
        return self.status.get("BackendState") == "Running"

    @cached_property
    def node(self) -> dict[str, Any]:
        """Return the server's record of this client, empty if it has none."""
        server = self.known.server
        return server.node_of(text(self.me.get("PublicKey"))) if server else {}

    def servers_cause(self, *findings: str) -> Cause | None:
        """Return the first of the server's own findings that is bad."""
        return self.known.server.cause(*findings) if self.known.server else None

    def stalled(self, row: Mapping[str, Json]) -> Cause | None:
        """Return the loss of large packets if a connection was made, and then nothing of an answer came."""
        # The other side may lose patience first.
        ended = row.get("outcome") == "handshake" and "EOF" in text(row.get("error"))
        silent = row.get("outcome") == "timeout" or ended
        return self.cause("mtu") if row.get("connected") is True and silent else None

    @cached_property
    def resolver_astray(self) -> bool:
        """Whether the kernel sends packets for tailscaled's resolver elsewhere than into the mesh."""
        route = mapping(mapping(mapping(self.data("mesh_routes")).get("get")).get(self.resolver))
        return text(route.get("dev")) not in ("", self.interface)

    @property
    def to_resolver(self) -> tuple[str, ...]:
        """Return the findings that explain why tailscaled's resolver is not reached."""
        return ("interface.up", "kernel_route") if self.resolver_astray else ("interface.up", "firewall")

    @cached_property
    def me(self) -> dict[str, Any]:
        """Return what tailscaled knows about its node."""
        return mapping(self.status.get("Self"))

    @cached_property
    def peers(self) -> list[dict[str, Any]]:
        """Return what tailscaled knows of the other nodes."""
        return [mapping(peer) for peer in mapping(self.status.get("Peer")).values()]

    @property
    def dropping(self) -> list[str]:
        """Return the chains of the host's firewall that drop or reject, as `nft` names them; none if it was not read."""
        return self._chains("chains")

    @property
    def rewriting(self) -> list[str]:
        """Return the chains of the host's firewall that rewrite addresses, as `nft` names them."""
        return self._chains("rewriting")

    def _chains(self, what: str) -> list[str]:
        chains = items(mapping(self.data("firewall")).get(what))
        return [" ".join(text(mapping(row).get(key)) for key in ("family", "table", "name")) for row in chains]

    @property
    def targets(self) -> list[str]:
        """Return where each peer is asked: before the expected paths are known, at the same address as theirs."""
        return [known for peer in self.peers if (known := first_address(addresses(peer.get("TailscaleIPs"))))]

    @cached_property
    def prefs(self) -> dict[str, Any]:
        """Return tailscaled's preferences."""
        return mapping(self.data("prefs"))

    @cached_property
    def url(self) -> str:
        """Return the control server that the client uses."""
        return text(self.prefs.get("ControlURL")).rstrip("/")

    @property
    def has_no_server(self) -> bool:
        """Whether the client was logged out, and names no control server any more."""
        return bool(self.status) and not self.running and not self.url

    @cached_property
    def server_host(self) -> str:
        """Return the name or address of that server."""
        return urls.host(self.url)

    @property
    def lost_server(self) -> tuple[str, ...]:
        """Return the finding about names outside, unless the host found the server's own name or needs none."""
        outcomes = [row.get("outcome") for row in self.rows("outside") if row.get("name") == self.server_host]
        return () if "found" in outcomes or address(self.server_host) else ("upstream_dns",)

    @cached_property
    def relays(self) -> list[Relay]:
        """Return the relays that matter to this client."""
        return read_relays(self.data("derpmap"), home=text(self.me.get("Relay")), families=self.families)

    @cached_property
    def families(self) -> set[int]:
        """Return the address families of the host's other interfaces; all families if that is unknown."""
        own = [entry for name, known in self._interfaces() if name != self.interface for entry in known]
        outside: set[int] = {entry.version for entry in own if not entry.ip.is_loopback and not entry.ip.is_link_local}
        return outside or set(FAMILIES)

    def page(self, name: str, url: str) -> dict[str, Any]:
        """Return what tells most of a page that was asked for in several address families, empty if nothing was seen."""
        return control.most_telling([row for row in self.rows(name) if row.get("url") == url])

    def stun(self, relay: Relay, name: str = "stun") -> dict[str, Any]:
        """Return what a relay answered to STUN: in the family in which its page connects, or else what tells most."""
        rows = {family: self.row(name, host=host, port=relay.stun_port) for family, host in relay.dialed}
        page = self.page("relays", relay.url)
        if page.get("connected") is True and not page.get("proxy"):
            family = 6 if ":" in text(page.get("address")) else 4
            rows = {family: rows[family]} if family in rows else rows
        return control.most_telling([row for row in rows.values() if row])

    @cached_property
    def domain(self) -> str:
        """Return the domain of MagicDNS."""
        tailnet = mapping(self.status.get("CurrentTailnet"))
        return text(tailnet.get("MagicDNSSuffix") or self.status.get("MagicDNSSuffix")).strip(".").lower()

    @cached_property
    def name(self) -> str:
        """Return the client's own name in the mesh."""
        return text(self.me.get("DNSName")).rstrip(".").lower()

    @cached_property
    def resolver(self) -> str:
        """Return the address of tailscaled's resolver, which listens only at one of a family that the node has."""
        return resolver_of(addresses(self.me.get("TailscaleIPs")))

    @cached_property
    def resolvers(self) -> list[str]:
        """Return the name servers of the host's resolv.conf."""
        return addresses(mapping(self.data("resolv_conf")).get("nameservers"))

    @cached_property
    def dns_routes(self) -> dict[str, list[str]]:
        """Return the resolvers of single domains, as the server gave them; not all are addresses."""
        routes = mapping(mapping(self.data("dns_map")).get("Routes"))
        return {domain.strip(".").lower(): _resolvers(known) for domain, known in routes.items()}

    @cached_property
    def upstream(self) -> list[str]:
        """Return the resolvers of all other names: those that the server gave, else those that tailscaled set; never its own."""
        given = _resolvers(mapping(self.data("dns_map")).get("Resolvers"))
        known = given or addresses(mapping(self.data("dns_config")).get("Nameservers"))
        return [server for server in known if server not in (QUAD_100, QUAD_100_V6)]

    @cached_property
    def magic_dns_off(self) -> bool:
        """Whether the server has switched MagicDNS off, as tailscaled's network map says."""
        return mapping(self.status.get("CurrentTailnet")).get("MagicDNSEnabled") is False

    @cached_property
    def no_mesh_names(self) -> str:
        """Return why this host is not expected to resolve names of the mesh, empty if it is."""
        if self.magic_dns_off and not self.known.domain:
            return "MagicDNS is off on the server (dns.magic_dns), and the inventory states no mesh_domain"
        if self.prefs.get("CorpDNS") is not False:
            return ""
        if not self.known.accepts_dns:
            return "tailscale_client_accept_dns is false for this host, and it does not use the mesh's DNS settings"
        fallback = _resolvers(mapping(self.data("dns_map")).get("FallbackResolvers"))
        serves = {*self.upstream, *fallback, *(server for known in self.dns_routes.values() for server in known)}
        if inside := sorted(serves & set(addresses(self.me.get("TailscaleIPs")))):
            return (
                f"this host is a resolver of the mesh ({inside[0]}), and rightly does not use the mesh's DNS settings"
            )
        return ""

    @property
    def asks_tailscaled(self) -> bool:
        """Whether the host asks tailscaled for names, perhaps through a local resolver."""
        return any(server in (QUAD_100, QUAD_100_V6) or ip_address(server).is_loopback for server in self.resolvers)

    @cached_property
    def outside_names(self) -> list[str]:
        """Return names that do not belong to the mesh."""
        return list(dict.fromkeys([*urls.names(self.server_host), *self.known.outside]))

    @cached_property
    def interface(self) -> str:
        """Return the interface that has the node's own mesh addresses."""
        own = set(addresses(self.me.get("TailscaleIPs")))
        return next((name for name, known in self._interfaces() if own & {str(entry.ip) for entry in known}), "")

    @cached_property
    def networks(self) -> list[str]:
        """Return the networks of the host's other interfaces."""
        found = [
            entry.network for name, known in self._interfaces() if name not in ("lo", self.interface) for entry in known
        ]
        return [str(net) for net in found if not net.is_link_local and net.num_addresses > 1]

    def _interfaces(self) -> Iterator[tuple[str, list[IPv4Interface | IPv6Interface]]]:
        for link in self.rows("addresses"):
            yield (
                text(link.get("name")),
                [known for entry in items(link.get("addresses")) if (known := _interface(entry))],
            )


def _resolvers(given: Json) -> list[str]:
    """Return the resolvers that the server gave: an address, an address with a port, or the URL of DNS over HTTPS."""
    said = [text(mapping(entry).get("Addr")) for entry in items(given)]
    return list(dict.fromkeys(address(one) or one for one in said if one))


def _interface(entry: Json) -> IPv4Interface | IPv6Interface | None:
    try:
        return ip_interface(text(entry)) if address(entry) else None
    except ValueError:
        return None
