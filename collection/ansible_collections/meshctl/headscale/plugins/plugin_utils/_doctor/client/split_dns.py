# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the resolvers of single domains answer."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import addresses, text
from ..._judge.quoting import quoted
from ..observed import Check, CheckContext, Client, Iterator, because

AFTER = ("exit_node", "client")


def requests(client: Client) -> list[dict[str, Any]]:
    """Ask each resolver for its domain."""
    return [
        {
            "id": f"split {server}",
            "kind": "dns",
            "server": server,
            "queries": [{"name": name, "type": "SOA"} for name in names],
        }
        for server, names in _domains(client).items()
    ]


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return a check for each resolver."""
    if not client.running or client.prefs.get("CorpDNS") is not True:
        return
    for server, names in _domains(client).items():
        outcome = {name: text(client.row(f"split {server}", name=name).get("outcome")) or "not asked" for name in names}
        bad = [name for name, found in outcome.items() if found != "answered"]
        check = context.check(
            not bad,
            target=server,
            expected=dict.fromkeys(names, "answered"),
            observed=outcome,
            hint=f"the resolver {server} of {', '.join(bad)} does not answer from here: start it, open UDP port 53 to it, or "
            "correct dns.nameservers.split on the server",
            command=f"dig @{quoted(server)} {quoted(names[0])} SOA",
        )
        yield because(check, client.cause("exit_node"))


def _domains(client: Client) -> dict[str, list[str]]:
    """Return the domains of each resolver that is an address, at port 53; others are not asked here."""
    found: dict[str, list[str]] = {}
    for domain, resolvers in client.dns_routes.items():
        for server in addresses(resolvers):
            found.setdefault(server, []).append(domain)
    return found
