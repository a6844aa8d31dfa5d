# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that no node's key has expired, or soon expires; headscale's zero date means never."""

from __future__ import annotations

from ..._judge.answer import moment, text
from ..._judge.quoting import quoted
from ..records import Cause, Check, CheckContext, Iterator, Record, Server, because, given_name

_DAY_S = 86400


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return a check for each node."""
    for node in server.nodes:
        hint = _problem(server, node)
        check = context.check(
            not hint,
            target=given_name(node),
            expected={"expires": f"never, or in more than {server.known.warning_days:g} days"},
            observed={"expires": text(node.get("expiry")) or "never"},
            evidence={"online": node.get("online") is True, "last_seen": text(node.get("lastSeen"))},
            hint=hint,
            command="headscale nodes list",
        )
        yield because(check, _logged_out(server, node))


def _problem(server: Server, node: Record) -> str:
    at = moment(node.get("expiry"))
    disable = f"`headscale nodes expire --disable -i {quoted(text(node.get('id')))}`"
    if at is None or server.now is None:
        return ""
    days = (at - server.now) / _DAY_S
    if days <= 0:
        return f"its key has expired: {disable}, or join it again"
    if days < server.known.warning_days:
        return f"its key expires in {days:.1f} days: {disable}, or join it again before then"
    return ""


def _logged_out(server: Server, node: Record) -> Cause | None:
    """Return that the node's client was logged out, which makes its key expire at once."""
    view = server.silent_view(node)
    return view.cause("client") if view and view.logged_out else None
