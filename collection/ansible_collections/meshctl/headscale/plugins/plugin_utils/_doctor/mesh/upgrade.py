# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the server still accepts each client's version."""

from __future__ import annotations

from ..records import Check, CheckContext, Iterator, Server
from ..versions import dotted, of_server, oldest_client, version_of


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return a check for each client whose version is known."""
    said = of_server(server)
    oldest = oldest_client(said)
    for view in server.known.views if oldest else ():
        if version_of(view.version):
            yield context.check(
                version_of(view.version) >= oldest,
                aspect="client",
                target=view.name,
                expected={"at_least": dotted(oldest)},
                observed={"version": view.version},
                command="tailscale version",
                hint=f"headscale {said} refuses clients before {dotted(oldest)}: upgrade tailscale on {view.name}",
            )
