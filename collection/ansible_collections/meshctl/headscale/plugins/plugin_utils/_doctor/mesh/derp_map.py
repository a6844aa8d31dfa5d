# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that all clients have the same relays."""

from __future__ import annotations

from ..records import Check, CheckContext, Iterator, Server


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return whether the maps have the same regions."""
    maps = {view.name: sorted(view.regions) for view in server.known.views if view.regions}
    if len(maps) > 1:
        yield context.check(
            len(set(map(tuple, maps.values()))) == 1,
            aspect="same",
            expected="the same regions on every client",
            observed=maps,
            hint="clients with an outdated map of relays do not meet the others on a relay: restart tailscaled where the map is old",
            command="tailscale debug derp-map",
        )
