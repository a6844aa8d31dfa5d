# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that each host has its own node key."""

from __future__ import annotations

from ..records import Check, CheckContext, Iterator, Server


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return the hosts that share a key."""
    owners: dict[str, list[str]] = {}
    for view in server.known.views:
        if view.key:
            owners.setdefault(view.key, []).append(view.name)
    shared = [names for names in owners.values() if len(names) > 1]
    said = "; ".join(" and ".join(names) for names in shared)
    if owners:
        yield context.check(
            not shared,
            expected={"shared": []},
            observed={"shared": shared},
            hint=f"{said} have the same node key, because one was cloned from the other with tailscaled's state: the server sends "
            "traffic to whichever connected last; on one of them stop tailscaled, delete /var/lib/tailscale and join it again",
            command="headscale nodes list",
        )
