# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the client knows relays and has chosen one."""

from __future__ import annotations

from ..._judge.answer import endpoint, items, mapping, text
from ..._judge.interfaces import is_local
from ..observed import Check, CheckContext, Client, Iterator, because

AFTER = ("client",)


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return whether the client has a home relay, and a way to learn its public address."""
    if client.data("derpmap") is None:
        check = context.check(None, expected="regions", observed=None, hint=client.why("derpmap"))
        yield because(check, None if client.running else client.cause("client"))
        return
    regions = map(mapping, mapping(mapping(client.data("derpmap")).get("Regions")).values())
    sizes = {text(region.get("RegionCode")): len(items(region.get("Nodes"))) for region in regions}
    home = text(client.me.get("Relay"))
    hint = f"the client found no home relay among {', '.join(sizes)}: see doctor.relay"
    if not any(sizes.values()):
        empty = f", because {', '.join(sizes)} of its map has no nodes: add some in derp.paths, or" if sizes else ":"
        hint = f"the server gave the client no relay{empty} check derp.urls (can the server reach them?), derp.paths and derp.server"
    check = context.check(
        bool(any(sizes.values()) and home),
        expected={"regions": "at least one", "home": "one of them"},
        observed={"regions": sizes, "home": home},
        hint=hint,
        command="tailscale debug derp-map",
    )
    yield because(check, None if client.running else client.cause("client"))
    if client.relays and all(relay.stun_port < 0 for relay in client.relays):
        known = [host for entry in items(client.me.get("Addrs")) if (host := endpoint(entry)[0])]
        yield context.check(
            not known or not all(map(is_local, known)),
            aspect="stun",
            expected={"stun": "on one relay or more"},
            observed={"stun": "off on all relays", "endpoints": known},
            hint="no relay of the map has STUN (stunport: -1), so nodes do not learn their public addresses, and paths between "
            "networks stay relayed: remove stunport from the map, or set it to 3478",
            command="tailscale debug derp-map",
        )
