# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the relays of a DERP map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .._judge.answer import Json, address, items, mapping, number, text
from .control import AS_CLIENT

# A larger map is the public one: only the home region of the node matters then.
_FEW_REGIONS = 4
_MOST_RELAYS = 50
# In a map, this in place of an address switches a family off.
_NONE = "none"
_STUN_PORT, _DERP_PORT = 3478, 443


@dataclass(frozen=True, kw_only=True)
class Relay:
    """A node of the DERP map."""

    region: str
    host: str
    address: str
    derp_port: int
    stun_port: int
    certificate: str = ""
    """The name of its certificate, or `sha256-raw:` and the certificate's hash; empty for the host name."""
    insecure: bool = False
    no_ipv4: bool = False

    @property
    def tls(self) -> dict[str, Any]:
        """Return how clients verify its certificate, and how they connect, as the probe's `http` takes it."""
        kind, _colon, pin = self.certificate.partition("sha256-raw:")
        found: dict[str, Any] = {"sha256": pin} if pin else {"certificate_name": kind} if kind else {}
        found |= {"insecure": True} if self.insecure else {}
        found |= {"connect": self.address} if self.address else {}
        return {**AS_CLIENT, **found, **({"family": 6} if self.no_ipv4 else {})}

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
        """Return the host that answers STUN."""
        return self.address or self.host


def read_relays(derp_map: Json, *, home: str) -> list[Relay]:
    """Return the relays of a map that matter to a node."""
    regions = [mapping(region) for region in mapping(mapping(derp_map).get("Regions")).values()]
    if len(regions) > _FEW_REGIONS:
        regions = [region for region in regions if text(region.get("RegionCode")) == home]
    listed = [(region, node) for region in regions for node in map(mapping, items(region.get("Nodes")))]
    # A hostile client could name any number.
    return [
        Relay(
            region=text(region.get("RegionCode")) or text(region.get("RegionID")),
            host=text(node.get("HostName")),
            address=address(node.get("IPv6" if node.get("IPv4") == _NONE else "IPv4")),
            certificate=text(node.get("CertName")),
            insecure=node.get("InsecureForTests") is True,
            no_ipv4=node.get("IPv4") == _NONE,
            derp_port=-1 if node.get("STUNOnly") else int(number(node.get("DERPPort")) or _DERP_PORT),
            stun_port=int(number(node.get("STUNPort")) or _STUN_PORT),
        )
        for region, node in listed[:_MOST_RELAYS]
    ]
