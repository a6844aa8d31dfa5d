# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the client knows relays and has chosen one."""

from __future__ import annotations

from ..._judge.answer import items, mapping, text
from ..observed import Check, CheckContext, Client


def judge(client: Client, context: CheckContext) -> Check:
    """Return whether the client has a home relay."""
    if client.data("derpmap") is None:
        return context.check(None, expected="regions", observed=None, hint=client.why("derpmap"))
    regions = map(mapping, mapping(mapping(client.data("derpmap")).get("Regions")).values())
    sizes = {text(region.get("RegionCode")): len(items(region.get("Nodes"))) for region in regions}
    home = text(client.me.get("Relay"))
    hint = f"the client found no home relay among {', '.join(sizes)}: see doctor.relay"
    if not any(sizes.values()):
        hint = "the server gave the client no relay: check derp.urls (can it reach them?), derp.paths and derp.server"
    return context.check(
        bool(any(sizes.values()) and home),
        expected={"regions": "at least one", "home": "one of them"},
        observed={"regions": sizes, "home": home},
        hint=hint,
        command="tailscale debug derp-map",
    )
