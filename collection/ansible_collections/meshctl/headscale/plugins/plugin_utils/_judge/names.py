# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what a host's resolver and tailscaled answered about names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from .answer import Answer, addresses, items, mapping, number, text
from .observations import DNS, FILES, GETADDRINFO, LOOKUPS, OUTSIDE, RESOLV_CONF, RESOLVER
from .reason import late

QUAD_100 = "100.100.100.100"
QUAD_100_V6 = "fd7a:115c:a1e0::53"
"""Where the same resolver is for a node without an IPv4 address."""
HOSTS, NSSWITCH = "/etc/hosts", "/etc/nsswitch.conf"


def resolver_of(own: Sequence[str]) -> str:
    """Return where tailscaled's resolver is on a node with these addresses: it listens only at one of a family that the node has."""
    return QUAD_100_V6 if own and all(":" in known for known in own) else QUAD_100


def resolver_asked(seen: Answer) -> str:
    """Return which of tailscaled's two addresses was asked for names."""
    asked = {text(mapping(row).get("server")) for row in items(seen.data(DNS))}
    return QUAD_100_V6 if asked == {QUAD_100_V6} else QUAD_100


@dataclass(frozen=True, kw_only=True)
class Name:
    """A node's name, and the addresses that it must and may lead to."""

    node: str
    fqdn: str
    addresses: tuple[str, ...]
    families: tuple[int, ...] = (4, 6)

    @property
    def required(self) -> tuple[str, ...]:
        """Return the addresses that an answer must include."""
        return tuple(known for known in self.addresses if (6 if ":" in known else 4) in self.families)

    def leads_to(self, found: list[str]) -> bool:
        """Whether these addresses include all that are required, and none of another node."""
        return bool(self.required) and set(self.required) <= set(found) <= set(self.addresses)

    @property
    def kind(self) -> str:
        """Return the type of record that the node has in any case."""
        return "A" if any(":" not in known for known in self.addresses) else "AAAA"

    @property
    def short(self) -> str:
        """Return the name without its domain."""
        return self.fqdn.partition(".")[0]


def looked_up(seen: Answer, name: str) -> dict[str, Any]:
    return next((row for row in _lookups(seen) if row.get("name") == name), {})


def _lookups(seen: Answer) -> list[dict[str, Any]]:
    captured = Answer({"observations": mapping(seen.data(LOOKUPS)).get("during")}).data(GETADDRINFO)
    return [
        mapping(entry) for found in (captured, seen.data(GETADDRINFO), seen.data(OUTSIDE)) for entry in items(found)
    ]


def dns_answer(seen: Answer, name: str, kind: str, over: str = DNS) -> dict[str, Any]:
    rows = [mapping(entry) for entry in items(seen.data(over))]
    return next((row for row in rows if row.get("name") == name and row.get("type") == kind), {})


def values(row: dict[str, Any]) -> list[str]:
    return [text(mapping(entry).get("value")) for entry in items(row.get("answers"))]


def why_unknown(seen: Answer, kind: str) -> str:
    if seen.data(LOOKUPS) is None and seen.error(LOOKUPS):
        return seen.why(LOOKUPS)
    return why_silent(seen) or (
        late("the resolver did not answer in time") if seen.data(kind) is not None else seen.why(kind)
    )


def why_silent(seen: Answer) -> str:
    """Return what the system's resolver did with the names that it has not answered, empty if it has answered all."""
    rows = _lookups(seen)
    silent = [row for row in rows if row.get("outcome") in ("timeout", "not-asked")]
    waited = max((number(row.get("waited_ms")) or 0 for row in silent), default=0)
    if not waited:
        return ""
    servers = name_servers(seen)
    who = f"the system's resolver ({', '.join(servers)} in /etc/resolv.conf)" if servers else "the system's resolver"
    answered = len(rows) - len(silent)
    said = f"answered only {answered} of {len(rows)} names" if answered else f"answered none of {len(rows)} names"
    direct = next(iter(map(mapping, items(seen.data(RESOLVER)))), {})
    asked = text(direct.get("server"))
    itself = {
        "answered": f"; asked directly, {asked} answers",
        "timeout": f"; asked directly, {asked} does not answer either",
    }
    return late(f"{who} {said} within {waited / 1000:.1f} s{itself.get(text(direct.get('outcome')), '')}")


def name_servers(seen: Answer) -> list[str]:
    return addresses(mapping(seen.data(RESOLV_CONF)).get("nameservers"))


def local_stub(servers: list[str]) -> str:
    """Return the local resolver (systemd-resolved, dnsmasq) that the system asks, empty if there is none."""
    return next((server for server in servers if ip_address(server).is_loopback), "")


def file_text(seen: Answer, path: str) -> str | None:
    """Return a file's text without comments; None if it was not read, empty if it does not exist."""
    found = mapping(mapping(seen.data(FILES)).get(path))
    if not found:
        return None
    return "\n".join(line.partition("#")[0] for line in text(found.get("text")).splitlines())


def host_sources(seen: Answer) -> list[str]:
    """Return the sources in which the system looks for hosts, as nsswitch.conf names them."""
    lines = (line.split() for line in (file_text(seen, NSSWITCH) or "").splitlines())
    return next((words[1:] for words in lines if words and words[0] == "hosts:"), [])
