# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that traffic to each peer takes the path that the topology allows."""

from __future__ import annotations

from typing import Any

from ..._judge import causes
from ..._judge.answer import endpoint, items, mapping, text
from ..._judge.interfaces import held
from ..._judge.path import ExpectedPath, observed_path
from ..._judge.quoting import quoted
from ..observed import Cause, Check, CheckContext, Client, Iterator, because

AFTER = ("client", "derp_map", "relay", "tun")


def requests(client: Client) -> list[dict[str, Any]]:
    """Ping the peers through tailscaled, until the path is direct."""
    return [
        {"id": "disco", "kind": "disco", "targets": client.targets, "tries": 8, "interval_s": 0.4, "until_direct": True}
    ]


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return a check for each peer."""
    for path in client.known.expected_paths:
        yield _judge_path(client, context, path)


def _judge_path(client: Client, context: CheckContext, path: ExpectedPath) -> Check:
    name, expected = path.peer.name, {"path": path.kind}
    peer = causes.find_peer(client.status, path.peer)
    if not client.running or not peer or peer.get("Online") is False:
        cause = None if client.running else client.cause("client")
        reason = "the server shows this peer offline" if peer else "the server does not show this peer"
        return context.skipped(cause.seen_from(context.source) if cause else reason, target=name)
    pinged = mapping(mapping(client.data("disco")).get(path.address))
    if not pinged:
        return context.check(None, target=name, expected=expected, observed=None, hint=client.why("disco"))
    found = observed_path(pinged)
    check = context.check(
        path.accepts(found["path"]), target=name, expected=expected, observed=found, hint=_hint(client, path, found),
        evidence={"reason": path.reason}, command=f"tailscale ping --c 5 {quoted(path.address)}",
    )  # fmt: skip
    if found["path"] == "relay":
        return because(check, client.cause("derp_map", "network", "relay"))
    if found["path"] == "none":
        server = client.known.server
        expired = server.expired(path.peer.given_name or name, context.story) if server else None
        return because(
            check, expired or _deleted(client, peer, context.story) or client.cause("network", "relay", "derp_map")
        )
    return check


def _deleted(client: Client, peer: dict[str, Any], story: str) -> Cause | None:
    """Return that the server does not know one of the two nodes any more, which the comparison of all hosts reports."""
    server, keys = client.known.server, [text(node.get("PublicKey")) for node in (client.me, peer)]
    if server is None or not server.listed or all(server.node_of(key) for key in keys):
        return None
    return Cause(id=f"{story}.registration", source=server.source)


def _hint(client: Client, path: ExpectedPath, found: dict[str, Any]) -> str:
    if found["path"] == "none":
        return f"{path.peer.name} answers neither directly nor through a relay: see doctor.relay of both"
    if found["path"] == "direct":
        return f"the path is direct, but a relay was expected ({path.reason}): correct that in the inventory"
    sides = {"this node": _side(client), path.peer.name: (list(path.underlay.endpoints), list(path.underlay.local))}
    stun = any(client.stun(relay).get("outcome") == "answered" for relay in client.relays)
    # Whether UDP to a relay passes is what STUN has just shown here, and what the peer's own findings say there.
    told = {who: side for who, side in sides.items() if _is_public(*side) or (who == "this node" and not stun)}
    return path.why_relayed(found["path"], told)


def _side(client: Client) -> tuple[list[Any], list[str]]:
    return items(client.me.get("Addrs")), [host for host, _interface in held(client.data("addresses"))]


def _is_public(endpoints: list[Any], local: list[str]) -> bool:
    """Whether a node has learned an endpoint that is on none of its interfaces."""
    return any(host and ":" not in host and host not in local for host in (endpoint(entry)[0] for entry in endpoints))
