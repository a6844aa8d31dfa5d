# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the domain of the mesh hides no real name."""

from __future__ import annotations

from ..._judge.quoting import quoted
from .. import urls
from ..observed import Check, CheckContext, Client


def judge(client: Client, context: CheckContext) -> Check:
    """Return which of the names that clients need are below the domain of the mesh."""
    domain = client.domain
    if not domain:
        return context.skipped("MagicDNS gives no domain", expected="a domain that only the mesh uses")
    real = urls.names(client.server_host, *(relay.host for relay in client.relays), *client.known.outside)
    hidden = [name for name in real if urls.within(name, domain)]
    return context.check(
        not hidden,
        expected={"domain": domain, "hides": []},
        observed={"domain": domain, "hides": hidden},
        evidence={"names": real},
        hint=f"nodes ask the mesh for every name below {domain}, and the mesh does not know {', '.join(hidden)}: set "
        "dns.base_domain to a domain that nothing else uses, or add these names to dns.extra_records",
        command=f"getent ahosts {quoted(hidden[0])}" if hidden else "",
    )
