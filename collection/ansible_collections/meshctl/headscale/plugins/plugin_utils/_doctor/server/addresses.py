# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Do several nodes have one address?"""

from __future__ import annotations

from ..._judge.answer import addresses, text
from ..._judge.quoting import quoted
from ..records import Check, CheckContext, Iterator, Record, Server, given_name


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return the addresses that several nodes have."""
    owners: dict[str, list[Record]] = {}
    for node in server.nodes:
        for address in addresses(node.get("ipAddresses")):
            owners.setdefault(address, []).append(node)
    shared = {address: nodes for address, nodes in owners.items() if len(nodes) > 1}
    said = "; ".join(f"{' and '.join(map(given_name, nodes))} both have {address}" for address, nodes in shared.items())
    numbers = [text(node.get("id")) for nodes in shared.values() for node in nodes[1:]]
    if owners:
        yield context.check(
            not shared,
            expected={"shared": {}},
            observed={"shared": {address: list(map(given_name, nodes)) for address, nodes in shared.items()}},
            hint=f"{said}, as after a database was restored or changed by hand: packets for it reach one of them; delete the other "
            f"(`headscale nodes delete -i {quoted(next(iter(numbers), ''))}`), and join it again",
            command="headscale nodes list",
        )
