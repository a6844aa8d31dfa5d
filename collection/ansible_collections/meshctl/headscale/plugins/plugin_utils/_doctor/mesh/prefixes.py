# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the mesh's addresses are not those of a host's network."""

from __future__ import annotations

from ..._judge.answer import text
from ..records import Check, CheckContext, Iterator, Server, because
from ..urls import overlap


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return a check for each client whose networks are known."""
    prefixes = [text(value) for value in server.prefixes.values() if "/" in text(value)]
    for view in server.known.views if prefixes else ():
        shared = [f"{net} ({prefix})" for net in view.networks for prefix in prefixes if overlap(net, prefix)]
        if shared:
            check = context.check(
                False,
                target=view.name,
                expected={"shared": []},
                observed={"shared": shared},
                hint=f"the mesh uses addresses of the host's own network, {', '.join(shared)}: nodes receive addresses that other "
                "machines use; set prefixes to a part of 100.64.0.0/10 that no network uses",
                command="ip address",
            )
            yield because(check, view.cause("interface.taken"))
