# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carry what a client's examination found to the examination of the server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .._judge import causes
from .._judge.answer import Json, addresses, items, mapping, number, text
from . import control
from .cause import Cause
from .observed import Client
from .relays import described
from .urls import overlap

_IGNORES_ECHO = {
    "ipv4": "/proc/sys/net/ipv4/icmp_echo_ignore_all",
    "ipv6": "/proc/sys/net/ipv6/icmp/echo_ignore_all",
}


def requests(client: Client) -> list[dict[str, Any]]:
    """Return what only the comparison with other hosts needs."""
    targets = [known for peer in client.peers for known in addresses(peer.get("TailscaleIPs"))]
    # WireGuard repeats a lost first handshake after five seconds, and sends the waiting packets then. A path that changes
    # loses all packets for as long, until tailscaled gives up the old one.
    return [
        {"id": "icmp", "kind": "icmp", "targets": targets, "count": 3, "try_timeout_s": 7.0, "until_answered": True},
        {"id": "packet_filter", "kind": "packet_filter"},
        {"id": "echo", "kind": "files", "paths": list(_IGNORES_ECHO.values())},
    ]


@dataclass(frozen=True, kw_only=True)
class ClientView:
    """What a client knows of itself, of the server and of the other nodes."""

    name: str
    key: str = ""
    dns_name: str = ""
    state: str = ""
    online: bool = False
    version: str = ""
    health: Sequence[str] = ()
    server_key: str = ""
    server_answers: bool = False
    """Whether the server is healthy as seen from here, up to the point where it has to prove its identity."""
    regions: Mapping[str, str] = field(default_factory=dict)
    """The relays of each region of the client's map, as `relays.described` tells them."""
    answered: Mapping[str, bool] = field(default_factory=dict)
    """For each mesh address that tailscaled pinged, whether it answered."""
    echoed: Mapping[str, bool] = field(default_factory=dict)
    """For each mesh address that the kernel pinged, whether it answered."""
    partly: Mapping[str, str] = field(default_factory=dict)
    """For each mesh address that answered the kernel in part, how often it did."""
    networks: Sequence[str] = ()
    """The networks of the host's own interfaces."""
    shields_up: bool = False
    own: Sequence[str] = ()
    """The client's own mesh addresses."""
    refuses: Sequence[str] = ()
    """The mesh addresses from which tailscaled's packet filter lets no echo request pass."""
    ignores_echo: Sequence[str] = ()
    """The address families whose echo requests the host's kernel does not answer, as its settings say."""
    dropping: Sequence[str] = ()
    """The chains of the host's firewall that drop or reject."""
    rewriting: Sequence[str] = ()
    """The chains of the host's firewall that rewrite addresses."""
    logged_out: bool = False
    saturated: str = ""
    """How busy the machine was while the client was examined; empty if it was not saturated."""
    bad: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The client's own findings, as causes of others."""

    def cause(self, *findings: str) -> Cause | None:
        """Return the first of these findings that is bad."""
        return next((Cause(**self.bad[name]) for name in findings if name in self.bad), None)

    @classmethod
    def of(cls, name: str, client: Client, *, saturated: str = "") -> ClientView:
        """Return the view of a client that was examined."""
        status = {row.get("url"): row.get("status") for row in client.rows("server")}
        key = next((row for row in client.rows("server") if "/key?v=" in text(row.get("url"))), {})
        healthy = status.get(f"{client.url}{control.HEALTH}") == control.OK
        return cls(
            name=name,
            saturated=saturated,
            key=text(client.me.get("PublicKey")) if addresses(client.me.get("TailscaleIPs")) else "",
            dns_name=text(client.me.get("DNSName")).rstrip("."),
            state=text(client.status.get("BackendState")),
            online=client.me.get("Online") is True,
            version=text(client.status.get("Version")).partition("-")[0],
            health=tuple(text(line) for line in items(client.status.get("Health"))),
            server_key=_public_key(text(key.get("body"))),
            server_answers=healthy and status.get(f"{client.url}{control.UPGRADE}") == control.SWITCHING,
            regions=described(client.data("derpmap")),
            answered={
                known: mapping(one).get("answered") is True for known, one in mapping(client.data("disco")).items()
            },
            networks=client.networks,
            own=tuple(addresses(client.me.get("TailscaleIPs"))),
            refuses=_refuses(client),
            ignores_echo=_ignores_echo(client),
            dropping=tuple(client.dropping),
            rewriting=tuple(client.rewriting),
            shields_up=client.prefs.get("ShieldsUp") is True,
            # A client that logs in with a new preauthkey has given up its former node.
            logged_out=not client.running and (client.prefs.get("LoggedOut") is True or causes.refused_key(client)),
            bad={name: asdict(cause) for name, cause in client.bad.items()},
            partly={
                known: said for known, one in mapping(client.data("icmp")).items() if (said := _in_part(mapping(one)))
            },
            echoed={known: bool(mapping(one).get("received")) for known, one in mapping(client.data("icmp")).items()},
        )

    @classmethod
    def read(cls, name: str, fact: Json) -> ClientView:
        """Return a view from the fact that `as_fact` made."""
        known = mapping(fact)
        return cls(**{**{field.name: known[field.name] for field in fields(cls) if field.name in known}, "name": name})

    def as_fact(self) -> dict[str, Any]:
        """Return the view as plain data."""
        return asdict(self)


def _in_part(echo: Mapping[str, Json]) -> str:
    sent, received = (int(number(echo.get(key)) or 0) for key in ("sent", "received"))
    return f"{received} of {sent}" if 0 < received < sent else ""


def _ignores_echo(client: Client) -> tuple[str, ...]:
    files = mapping(client.data("echo"))
    return tuple(
        family for family, path in _IGNORES_ECHO.items() if text(mapping(files.get(path)).get("text")).strip() == "1"
    )


def _refuses(client: Client) -> tuple[str, ...]:
    rules = client.data("packet_filter")
    own = addresses(client.me.get("TailscaleIPs"))
    theirs = [known for peer in client.peers for known in addresses(peer.get("TailscaleIPs"))]
    return () if rules is None else tuple(entry for entry in theirs if not _admits(items(rules), entry, own))


def _admits(rules: list[Json], source: str, own: list[str]) -> bool:
    """Whether a rule admits a source at an address of the node; tailscaled does not look at ports for echo requests."""
    mine = [entry for entry in own if (":" in entry) == (":" in source)]
    return any(
        _within([source], items(mapping(rule).get("Srcs")))
        and _within(mine, [mapping(target).get("Net") for target in items(mapping(rule).get("Dsts"))])
        for rule in rules
    )


def _within(known: list[str], networks: list[Json]) -> bool:
    return any(overlap(entry, text(network)) for entry in known for network in networks)


def _public_key(body: str) -> str:
    try:
        return text(mapping(json.loads(body)).get("publicKey"))
    except ValueError:
        return ""
