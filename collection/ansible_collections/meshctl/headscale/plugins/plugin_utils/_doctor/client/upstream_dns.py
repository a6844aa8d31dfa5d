# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that names outside the mesh still resolve."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import text
from ..._judge.names import QUAD_100, QUAD_100_V6
from ..._judge.quoting import quoted
from ..lost_names import NOERROR, OURS, SERVFAIL, SILENT, UNSEEN, LostNames, answer_of
from ..observed import Cause, Check, CheckContext, Client, because

AFTER = ("domain", "exit_node", "interface", "kernel_route", "firewall", "network", "relay")
_DOWN = ("timeout", "host-unreachable", "net-unreachable")


def requests(client: Client) -> list[dict[str, Any]]:
    """Look the names up as programs on the host do."""
    return [{"id": "outside", "kind": "getaddrinfo", "names": client.outside_names}]


def judge(client: Client, context: CheckContext) -> Check:
    """Return which names do not resolve."""
    names = client.outside_names
    if not names:
        return context.skipped("no name outside the mesh is known: set mesh_outside_names", expected="names resolve")
    outcome = {name: text(client.row("outside", name=name).get("outcome")) or "not asked" for name in names}
    bad = [name for name, found in outcome.items() if found != "found"]
    check = context.check(
        not bad, expected=dict.fromkeys(names, "found"), observed=outcome, hint=_hint(client, bad),
        evidence={"resolv_conf": client.resolvers, "upstream": client.upstream, "tailscaled": {name: answer_of(client, name) for name in bad}},
        command=f"getent ahosts {quoted((bad or names)[0])}",
    )  # fmt: skip
    hidden = client.cause("domain") if {answer_of(client, name) for name in bad} == {OURS} else None
    cause = client.cause("exit_node", "network") or hidden or _own_resolver(client, context, bad) or _down(client, bad)
    return because(check, cause)


def _down(client: Client, bad: list[str]) -> Cause | None:
    """Return that the machine of the only resolver is a relay, and answers nothing as a relay either."""
    if not {answer_of(client, name) for name in bad} <= {SILENT, UNSEEN, SERVFAIL}:
        return None
    silent = [relay for relay in client.relays if client.page("relays", relay.url).get("outcome") in _DOWN]
    asked = set(client.upstream)
    same = next((relay for relay in silent if asked and asked <= set(relay.addresses)), None)
    return client.cause(f"relay of {same.target}") if same else None


def _own_resolver(client: Client, context: CheckContext, bad: list[str]) -> Cause | None:
    """Return what keeps the host from asking tailscaled, which the finding about names of the mesh reports as well."""
    if client.asks_tailscaled and (way := client.cause(*client.to_resolver)):
        return way
    own = client.row("own_name", name=client.name)
    lookup = (
        bool(own) and own.get("outcome") != "found" and client.row("dns", name=client.name).get("outcome") == "answered"
    )
    nobody = client.data("resolv_conf") is not None and not client.resolvers
    inside = any(answer_of(client, name) == NOERROR for name in bad)
    same = client.name and ((lookup and inside) or (nobody and client.magic_dns_off))
    return Cause(id=f"{context.story}.magic_dns", source=context.source) if same and not client.no_mesh_names else None


def _hint(client: Client, bad: list[str]) -> str:
    lost = f"{', '.join(bad)} {'does' if len(bad) == 1 else 'do'} not resolve"
    if client.data("resolv_conf") is None:
        return f"{lost}, and it is unknown which server the host queries: {client.why('resolv_conf')}"
    if not client.resolvers:
        off = ", and MagicDNS is off on the server" if client.magic_dns_off else ""
        return (
            f"{lost}: /etc/resolv.conf names no server{off}; let DHCP or NetworkManager write one there, or set dns.nameservers.global on the "
            "server"
        )
    if not {QUAD_100, QUAD_100_V6} & set(client.resolvers):
        servers = ", ".join(client.resolvers)
        return f"{lost}, and the host queries {servers}: check that this is the right server and that it is up"
    return "; ".join(lost.hint() for lost in LostNames.grouped(client, bad))
