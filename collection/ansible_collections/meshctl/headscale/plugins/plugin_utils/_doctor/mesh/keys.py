# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that each host has its own node key."""

from __future__ import annotations

from ..records import Check, CheckContext, Iterator, Server


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return the hosts that share a key."""
    keys = dict.fromkeys(view.key for view in server.known.views if view.key)
    shared = [[view.name for view in views] for key in keys if len(views := server.stating(key)) > 1]
    said = "; ".join(" and ".join(names) for names in shared)
    if keys:
        yield context.check(
            not shared,
            expected={"shared": []},
            observed={"shared": shared},
            hint=f"{said} have the same node key: either one was cloned from the other together with tailscaled's state (the server then "
            "sends traffic to whichever connected last), or one states a key that is not its own; on the host that should not have this "
            "key, stop tailscaled, delete /var/lib/tailscale and join it again",
            command="headscale nodes list",
        )
