# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that each relay answers, passes the upgrade to DERP and answers STUN."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import address, addresses, items, mapping, text
from ..._judge.quoting import quoted
from .. import control
from ..observed import Cause, Check, CheckContext, Client, Iterator, because
from ..relays import Relay
from ..urls import authority

AFTER = ("exit_node", "mtu", "network")
_USUAL_S = 2.0
# How a machine that is off, or a network that drops everything, looks.
_SILENT = {"timeout", "host-unreachable", "net-unreachable"}


def requests(client: Client) -> list[dict[str, Any]]:
    """Ask each relay for its page, for the upgrade and for STUN."""
    pages = [
        page
        for relay in client.relays
        if relay.derp_port > 0
        for page in (*relay.pages(url=relay.url), *relay.pages(url=relay.derp_url, upgrade="DERP"))
    ]
    stun = [asked for relay in client.relays if relay.stun_port > 0 for asked in relay.stun]
    return [
        {"id": "relays", "kind": "http", "targets": pages, "try_timeout_s": 5.0},
        {"id": "stun", "kind": "stun", "targets": stun, "bypass": True},
        *_elsewhere(client),
    ]


def _elsewhere(client: Client) -> list[dict[str, Any]]:
    """Ask where a relay is most often, for those that the map has elsewhere: if those do not answer, the map may be wrong."""
    pages = [
        page
        for relay in client.relays
        if relay.derp_port not in (relay.usual.derp_port, -1)
        for page in relay.pages(url=relay.usual.derp_url, upgrade="DERP")
    ]
    stun = [
        asked
        for relay in client.relays
        if relay.stun_port not in (relay.usual.stun_port, -1)
        for asked in relay.usual.stun
    ]
    names = [relay.host for relay in client.relays if relay.addresses and relay.host not in relay.addresses]
    asked = [
        {"id": "usual_relays", "kind": "http", "targets": pages, "try_timeout_s": _USUAL_S},
        {"id": "usual_stun", "kind": "stun", "targets": stun, "bypass": True, "timeout_s": _USUAL_S},
    ]
    found = [request for request in asked if request["targets"]]
    return [*found, {"id": "relay_names", "kind": "getaddrinfo", "names": names}] if names else found


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return the checks of each relay."""
    for relay in client.relays:
        if not relay.dialed:
            yield _unaddressed(context, relay)
            continue
        if relay.derp_port > 0:
            yield _page(client, context, relay)
            yield _upgrade(client, context, relay)
            yield from _admission(client, context, relay)
        if relay.stun_port > 0:
            yield _stun(client, context, relay)


def _unaddressed(context: CheckContext, relay: Relay) -> Check:
    return context.check(
        False,
        aspect="https",
        target=relay.target,
        expected={"addresses": "at least one"},
        observed={"addresses": []},
        hint="the map has no address of this relay at which clients connect: set its ipv4 or ipv6 to an address of that family, or "
        "remove both, so that clients use its name",
        command="tailscale debug derp-map",
    )


def _page(client: Client, context: CheckContext, relay: Relay) -> Check:
    row = client.page("relays", relay.url)
    check = context.check(
        (row.get("outcome") == "answered" and row.get("status") == control.OK) if row else None,
        aspect="https",
        target=relay.target,
        expected={"url": relay.url, "status": control.OK},
        observed={"outcome": text(row.get("outcome")), "status": row.get("status")} if row else None,
        evidence=control.seen_at(row),
        hint=f"nodes cannot reach each other through this relay: {_no_answer(client, relay, row)}"
        if row
        else client.why("relays"),
        command=f"curl -sSi {quoted(relay.url)}",
    )
    return because(check, client.cause("exit_node", "network") or client.stalled(row))


def _no_answer(client: Client, relay: Relay, row: dict[str, Any]) -> str:
    if "://" in relay.host or "/" in relay.host:
        return f"the map has {relay.host!r} as its hostname, which must be a name without https:// or a path"
    if relay.no_ipv4 and text(row.get("outcome")) == "no-name":
        return "the map switches IPv4 off (ipv4: none) and has no IPv6 address of it: remove `ipv4: none`, or add ipv6"
    if text(row.get("outcome")) == "no-name" and (family := relay.dialed[0][0]):
        return (
            f"this host can use only the relay's IPv{family} address, but the DERP map has none and the relay's name resolves to none here: "
            f"add ipv{family} to the map, or see doctor.upstream_dns if the name does have an IPv{family} address"
        )
    if found := _map_is_wrong(client, relay, row):
        return f"{control.no_answer(row, 'derper').partition(': ')[0]}, but {found}"
    return control.no_answer(row, "derper")


def _map_is_wrong(client: Client, relay: Relay, row: dict[str, Any]) -> str:
    """Return what was seen of a relay in another place than the map says, empty if nothing was."""
    if text(row.get("outcome")) not in ("refused", "timeout", "host-unreachable", "handshake"):
        return ""
    if client.page("usual_relays", relay.usual.derp_url).get("status") == control.SWITCHING:
        return (
            f"a relay answers at port {relay.usual.derp_port}: correct derpport in the map, which is {relay.derp_port}"
        )
    led = addresses(client.row("relay_names", name=relay.host).get("addresses"))
    for one in relay.addresses:
        known = [entry for entry in led if (":" in entry) == (":" in one)]
        if known and one not in known:
            return f"the name {relay.host} leads to {', '.join(known)}, and the map has the address {one}: correct the one that is wrong"
    return ""


def _upgrade(client: Client, context: CheckContext, relay: Relay) -> Check:
    """Return whether clients can switch to DERP: a proxy may serve the relay's pages and block that."""
    expected = {"url": relay.derp_url, "status": control.SWITCHING}
    row = client.page("relays", relay.derp_url)
    if row and text(row.get("outcome")) != "answered":
        reason = f"the relay cannot be queried: {control.no_answer(row, 'derper')}"
        return context.skipped(reason, aspect="upgrade", target=relay.target, expected=expected)
    server = text(mapping(row.get("headers")).get("server"))
    return context.check(
        row.get("status") == control.SWITCHING if row else None,
        aspect="upgrade",
        target=relay.target,
        expected=expected,
        observed={"status": row.get("status"), "server": server} if row else None,
        hint=f"nothing is relayed: {control.refused(row, '/derp', 'the relay')}" if row else client.why("relays"),
        command=f"curl -sSi --http1.1 -H 'Upgrade: DERP' -H 'Connection: upgrade' {quoted(relay.derp_url)}",
    )


def _admission(client: Client, context: CheckContext, relay: Relay) -> Iterator[Check]:
    """Return a finding if a relay that works for others rejects this client, as the client reports."""
    health = [text(line) for line in items(client.status.get("Health"))]
    # tailscaled names the region, or its id if it has no name.
    names = (f"the '{relay.region_name}' relay server", f"the relay server with ID '{relay.region_id}'")
    said = [line for line in health if any(f"could not connect to {name}" in line for name in names)]
    answers = client.page("relays", relay.derp_url).get("status") == control.SWITCHING
    if said and answers and client.running and client.me.get("Online") is True:
        yield context.check(
            False,
            aspect="admission",
            target=relay.target,
            expected={"admission": "granted"},
            observed={"health": said},
            hint="the relay answers, but tailscaled has no connection to it, as happens when -verify-client-url or -verify-clients does not "
            f"confirm its node: check that URL and read the relay's log (tailscaled says: {said[0]})",
            command="tailscale status",
        )


def _stun(client: Client, context: CheckContext, relay: Relay) -> Check:
    row = client.stun(relay)
    where = text(row.get("host")) or relay.where
    check = context.check(
        row.get("outcome") == "answered" if row else None,
        aspect="stun",
        target=relay.target,
        expected={"udp": authority(where, relay.stun_port), "outcome": "answered"},
        observed={"outcome": text(row.get("outcome")), "mapped": text(row.get("mapped"))} if row else None,
        evidence={"address": where} if address(where) else {},
        hint=_no_stun(client, relay, row) if row else client.why("stun"),
        command="tailscale netcheck",
    )
    return because(check, client.cause("network") or _down(client, relay, row))


def _down(client: Client, relay: Relay, row: dict[str, Any]) -> Cause | None:
    """Return that the relay does not answer over TCP either, in the same way."""
    page = client.page("relays", relay.url)
    both = {text(page.get("outcome")), text(row.get("outcome"))}
    down = both in ({"refused"}, {"no-name"}) or (both <= _SILENT and not client.stalled(page))
    return client.cause(f"relay of {relay.target}") if down else None


def _no_stun(client: Client, relay: Relay, row: dict[str, Any]) -> str:
    outcome, said = text(row.get("outcome")), f"UDP port {relay.stun_port} of {text(row.get('host'))}"
    lost = "without it nodes do not learn their public addresses, and paths stay relayed"
    # The kernel says so of what the host itself drops; a firewall elsewhere is silent, or its refusal has another name.
    if outcome == "prohibited":
        return f"this host's own firewall refuses to send to {said} ({outcome}): {lost}; look at its output rules (`nft list ruleset`)"
    if client.stun(relay.usual, "usual_stun").get("outcome") == "answered":
        return f"{said} does not answer ({outcome}), but port {relay.usual.stun_port} does: {lost}; correct stunport in the DERP map"
    if outcome == "refused":
        return (
            f"{said} does not answer ({outcome}): {lost}; nothing listens there, so check that the relay has STUN (derper's -stun), and "
            "that this is its port (-stun-port, and stunport in the map)"
        )
    return f"{said} does not answer ({outcome}): {lost}; open the port, also in the server's own firewall and in the container's ports"
