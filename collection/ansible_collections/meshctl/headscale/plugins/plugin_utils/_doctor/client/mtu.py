# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that large packets arrive where small ones do."""

from __future__ import annotations

from typing import Any

from ..._judge.answer import address, mapping, number
from ..._judge.quoting import quoted
from ..observed import Check, CheckContext, Client, Iterator, because

AFTER = ("tun", "interface", "firewall")
# With headers, a packet as large as the mesh's MTU of 1280 bytes.
_SIZE = 1252


def requests(client: Client) -> list[dict[str, Any]]:
    """Ping each peer with large packets. Which paths are expected is not known yet."""
    targets = [known for known in client.targets if ":" not in known]
    # A path that changes, such as to a relay, loses all packets for some seconds.
    ask = {"size": _SIZE, "count": 1, "try_timeout_s": 7.0, "until_answered": True}
    return [{"id": "large", "kind": "icmp", "targets": targets, **ask}]


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return the peers that answer small packets only."""
    small, large = mapping(client.data("icmp")), mapping(client.data("large"))
    names = {path.address: path.peer.name for path in client.known.expected_paths}
    answered = [known for known in _targets(client) if _mostly(mapping(small.get(known)))]
    if not answered or not large:
        return
    lost = [names.get(known, known) for known in answered if not mapping(large.get(known)).get("received")]
    check = context.check(
        not lost,
        expected={"bytes": _SIZE + 28, "lost_to": []},
        observed={"lost_to": lost},
        hint=f"packets of {_SIZE + 28} bytes do not reach {', '.join(lost)}, small ones do: something on the path drops large "
        "packets (with WireGuard's header they have 1340 bytes); raise the MTU there, or set TS_DEBUG_MTU=1100 for tailscaled",
        command=f"ping -M do -s {quoted(str(_SIZE))} -c 3 {quoted(answered[0])}",
    )
    yield because(check, client.cause("tun", "interface.up", "firewall"))


def _targets(client: Client) -> list[str]:
    return [path.address for path in client.known.expected_paths if ":" not in path.address and address(path.address)]


def _mostly(echo: dict[str, Any]) -> bool:
    """Whether so many small packets were answered that a line which loses packets of any size is no reason."""
    sent, received = (number(echo.get(key)) or 0.0 for key in ("sent", "received"))
    return received > sent / 2
