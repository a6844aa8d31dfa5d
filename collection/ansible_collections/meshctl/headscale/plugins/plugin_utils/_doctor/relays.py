# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the relays of a DERP map."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from .._judge.answer import Json, address, items, mapping, number, text
from .control import AS_CLIENT

# A larger map is the public one: only the home region of the node matters then.
_FEW_REGIONS = 4
_MOST_RELAYS = 50
# In a map, this in place of an address switches a family off.
_NONE = "none"
FAMILIES: Final[tuple[int, ...]] = (4, 6)
# What makes a relay another one. The public map has a hundred: of those, hashes are compared.
_PLACE = ("HostName", "IPv4", "IPv6", "DERPPort", "STUNPort", "CertName")
_LONGEST = 80
_ANY = 0
_STUN_PORT, _DERP_PORT = 3478, 443


@dataclass(frozen=True, kw_only=True)
class Relay:
    """A node of the DERP map."""

    region: str
    host: str
    dialed: tuple[tuple[int, str], ...]
    """Where clients connect: for each address family the address, or the name if the map has none; family 0 means any."""
    derp_port: int
    stun_port: int
    certificate: str = ""
    """The name of its certificate, or `sha256-raw:` and the certificate's hash; empty for the host name."""
    insecure: bool = False
    no_ipv4: bool = False
    region_name: str = ""
    region_id: str = ""

    def pages(self, **page: Json) -> list[dict[str, Any]]:
        """Return a page in each address family, verified as clients do, as the probe's `http` takes it."""
        kind, _colon, pin = self.certificate.partition("sha256-raw:")
        found: dict[str, Any] = {"sha256": pin} if pin else {"certificate_name": kind} if kind else {}
        found |= {"insecure": True} if self.insecure else {}
        return [{**AS_CLIENT, **found, "connect": host, "family": family, **page} for family, host in self.dialed]

    @property
    def stun(self) -> list[dict[str, Any]]:
        """Return where STUN is asked in each address family, as the probe's `stun` takes it."""
        return [{"host": host, "port": self.stun_port, "family": family} for family, host in self.dialed]

    @property
    def target(self) -> str:
        """Return the name of the relay in checks."""
        return f"{self.region}/{self.host}"

    @property
    def url(self) -> str:
        """Return the page that every relay serves."""
        return f"{self.derp_url}/probe"

    @property
    def derp_url(self) -> str:
        """Return the URL at which clients upgrade to DERP."""
        port = "" if self.derp_port == _DERP_PORT else f":{self.derp_port}"
        return f"https://{self.host}{port}/derp"

    @property
    def usual(self) -> Relay:
        """Return the same relay at the ports that most relays have."""
        return replace(self, derp_port=_DERP_PORT, stun_port=_STUN_PORT)

    @property
    def where(self) -> str:
        """Return the first address or name at which it is asked."""
        return self.dialed[0][1] if self.dialed else self.host

    @property
    def addresses(self) -> list[str]:
        """Return its addresses that the map has."""
        return [host for _family, host in self.dialed if address(host)]


def read_relays(derp_map: Json, *, home: str, families: Collection[int] = FAMILIES) -> list[Relay]:
    """Return the relays of a map that matter to a node whose host has these address families."""
    regions = [mapping(region) for region in mapping(mapping(derp_map).get("Regions")).values()]
    if len(regions) > _FEW_REGIONS:
        regions = [region for region in regions if text(region.get("RegionCode")) == home]
    listed = [(region, node) for region in regions for node in map(mapping, items(region.get("Nodes")))]
    # A hostile client could name any number.
    return [
        Relay(
            region=_code(region),
            region_name=text(region.get("RegionName")),
            region_id=text(region.get("RegionID")),
            host=text(node.get("HostName")),
            dialed=_dialed(node, families),
            certificate=text(node.get("CertName")),
            insecure=node.get("InsecureForTests") is True,
            no_ipv4=node.get("IPv4") == _NONE,
            derp_port=-1 if node.get("STUNOnly") else int(number(node.get("DERPPort")) or _DERP_PORT),
            stun_port=int(number(node.get("STUNPort")) or _STUN_PORT),
        )
        for region, node in listed[:_MOST_RELAYS]
    ]


def described(derp_map: Json) -> dict[str, str]:
    """Return where clients find the relays of each region, so that maps can be compared; a long text is only its hash."""
    found: dict[str, str] = {}
    for region in map(mapping, mapping(mapping(derp_map).get("Regions")).values()):
        nodes = sorted(
            " ".join(text(node.get(key)) or "-" for key in _PLACE) for node in map(mapping, items(region.get("Nodes")))
        )
        said = ", ".join(nodes)
        found[_code(region)] = (
            said if len(said) <= _LONGEST else sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        )
    return found


def _code(region: dict[str, Any]) -> str:
    return text(region.get("RegionCode")) or text(region.get("RegionID"))


def _dialed(node: dict[str, Any], families: Collection[int]) -> tuple[tuple[int, str], ...]:
    name, given = text(node.get("HostName")), {family: text(node.get(f"IPv{family}")) for family in FAMILIES}
    if not any(given.values()) and not address(name):
        return ((_ANY, name),)
    found = tuple((family, host) for family, said in given.items() if (host := _host(said, name, family)))
    # Where the map has nothing for the host's families, there is no relay for it either, and that has to show.
    return tuple(entry for entry in found if entry[0] in families) or found


def _host(said: str, name: str, family: int) -> str:
    """Return where tailscaled connects in a family: an address, or the name if the map has none; empty if it does not."""
    known = address(said or name)
    if known:
        return known if (":" in known) == (family == FAMILIES[-1]) else ""
    return "" if said else name
