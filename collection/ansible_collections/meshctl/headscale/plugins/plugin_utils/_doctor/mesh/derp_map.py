# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that all clients have the same relays."""

from __future__ import annotations

from ..records import Check, CheckContext, Iterator, Server

_MOST = 5


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return whether the DERP maps have the same relays in the same regions."""
    maps = {view.name: view.regions for view in server.known.views if view.regions}
    if len(maps) > 1:
        regions = sorted({region for known in maps.values() for region in known})
        differing = [region for region in regions if len({known.get(region) for known in maps.values()}) > 1]
        yield context.check(
            not differing,
            aspect="same",
            expected="the same relays on every client",
            observed={
                name: {region: known.get(region, "") for region in differing} or sorted(known)
                for name, known in maps.items()
            },
            hint=f"clients have different relays in {', '.join(differing[:_MOST])}: one with an outdated DERP map does not meet the others on "
            "a relay, so restart tailscaled where the map is old",
            command="tailscale debug derp-map",
        )
