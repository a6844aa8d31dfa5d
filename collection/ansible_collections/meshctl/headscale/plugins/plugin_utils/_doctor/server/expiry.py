# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that no node's key has expired, soon expires, or has an impossible date."""

from __future__ import annotations

from ..._judge.answer import moment, text
from ..records import Check, CheckContext, Iterator, Record, Server, given_name

_IMPOSSIBLE = ("0001-", "1970-")
_DAY_S = 86400


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return a check for each node."""
    for node in server.nodes:
        hint = _problem(server, node)
        yield context.check(
            not hint,
            target=given_name(node),
            expected={"expires": f"never, or in more than {server.known.warning_days:g} days"},
            observed={"expires": text(node.get("expiry")) or "never"},
            hint=hint,
            command="headscale nodes list",
        )


def _problem(server: Server, node: Record) -> str:
    said, at = text(node.get("expiry")), moment(node.get("expiry"))
    disable = f"`headscale nodes expire --disable -i {text(node.get('id'))}`"
    if said.startswith(_IMPOSSIBLE):
        return f"{said} is not a date that anybody set, and its client may log out: {disable}"
    if at is None or server.now is None:
        return ""
    days = (at - server.now) / _DAY_S
    if days <= 0:
        return f"its key has expired: join it again, or {disable}"
    if days < server.known.warning_days:
        return f"its key expires in {days:.1f} days: join it again before then, or {disable}"
    return ""
