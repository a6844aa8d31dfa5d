# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the domain of the mesh hides no real name."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import mapping, text
from ..._judge.quoting import quoted
from .. import urls
from ..observed import Check, CheckContext, Client

_BELOW, _ASKING_S = "below_domain", 5.5
_NOERROR, _NXDOMAIN = 0, 3


def requests(client: Client) -> list[dict[str, Any]]:
    """Ask tailscaled and the host for the relays below the domain of the mesh; others ask for the other names."""
    names = [name for name in _below(client) if name not in client.outside_names]
    if not names:
        return []
    inside = {"id": _BELOW, "kind": "own_dns", "names": names, "timeout_s": _ASKING_S}
    return [{"id": f"{_BELOW}_host", "kind": "getaddrinfo", "names": names}, *([inside] if client.running else [])]


def judge(client: Client, context: CheckContext) -> Check:
    """Return which of the names that clients need are below the domain of the mesh, and are not found."""
    domain, expected = client.domain, "a domain that only the mesh uses"
    if not domain:
        return context.skipped("MagicDNS gives no domain", expected=expected)
    if client.magic_dns_off:
        return context.skipped("MagicDNS is off on the server, so its domain hides nothing", expected=expected)
    if client.prefs.get("CorpDNS") is False:
        return context.skipped(
            "this host does not use the mesh's DNS settings, so its domain hides nothing", expected=expected
        )
    below = {name: _is_found(client, name) for name in _below(client)}
    hidden = [name for name, found in below.items() if found is False]
    unseen = [name for name, found in below.items() if found is None]
    return context.check(
        False if hidden else None if unseen else True,
        expected={"domain": domain, "hides": []},
        observed={"domain": domain, "hides": hidden},
        evidence={"names": _needed(client), "below": below},
        hint=f"nodes ask the mesh for every name below {domain}, and {', '.join(hidden)} {'is' if len(hidden) == 1 else 'are'} not found: set "
        "dns.base_domain to a domain that nothing else uses, or add these names to dns.extra_records"
        if hidden
        else f"nodes ask the mesh for every name below {domain}, and {', '.join(unseen)} {'is' if len(unseen) == 1 else 'are'} neither "
        f"found nor denied: {_unanswered(client)}",
        command=f"getent ahosts {quoted((hidden or unseen)[0])}" if hidden or unseen else "",
    )


def _unanswered(client: Client) -> str:
    seen = client.data("own_dns") is not None
    return "run the doctor again when their resolvers answer" if seen else client.why("own_dns")


def _needed(client: Client) -> list[str]:
    return urls.names(client.server_host, *(relay.host for relay in client.relays), *client.known.outside)


def _below(client: Client) -> list[str]:
    return [name for name in _needed(client) if client.domain and urls.within(name, client.domain)]


def _is_found(client: Client, name: str) -> bool | None:
    """Whether tailscaled or the host finds a name; None if neither does and neither says that there is none."""
    answers = [mapping(mapping(client.data(asked)).get(name)) for asked in ("own_dns", _BELOW)]
    rcodes = [row.get("rcode") for row in answers if row.get("answered") is True]
    rows = (client.row(asked, name=name) for asked in ("outside", "relay_names", f"{_BELOW}_host"))
    outcomes = [text(row.get("outcome")) for row in rows if row]
    if _NOERROR in rcodes or "found" in outcomes:
        return True
    return False if _NXDOMAIN in rcodes or "not-found" in outcomes else None
