# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that each client has followed a change of its name."""

from __future__ import annotations

from ..records import Check, CheckContext, Iterator, Server, given_name


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return a finding for each client that still uses another name."""
    for node in server.nodes:
        view, given = server.view(node), given_name(node)
        says = view.dns_name.partition(".")[0] if view else ""
        if says and says != given:
            yield context.check(
                False,
                target=given,
                expected={"name": given},
                observed={"name": says},
                hint=f"its own client still uses the name {says}, because its network map is outdated: restart tailscaled there",
                command="headscale nodes list",
            )
