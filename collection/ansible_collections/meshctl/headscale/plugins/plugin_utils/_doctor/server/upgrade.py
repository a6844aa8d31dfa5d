# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the server's version is supported."""

from __future__ import annotations

from .. import control
from ..records import Check, CheckContext, Iterator, Server
from ..versions import SUPPORTED, dotted, of_server, version_of


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return whether the server is new enough."""
    if not server.listed:
        return
    said, page = of_server(server), next(iter(server.rows("web")), {})
    if not said and page.get("outcome", "answered") != "answered":
        why = f"the page with the server's version did not answer: {control.no_answer(page)}"
        yield context.skipped(why, aspect="server", expected={"at_least": dotted(SUPPORTED)})
        return
    yield context.check(
        version_of(said) >= SUPPORTED if version_of(said) else None,
        aspect="server",
        expected={"at_least": dotted(SUPPORTED)},
        observed={"version": said or None},
        hint="upgrade it one minor version at a time (headscale refuses to skip one), and back up its database and keys before each"
        if version_of(said)
        else "the server does not report its version: something else answers in its place, or it is a development build",
        command="headscale version",
    )
