# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which path is expected to whom, from facts that other tasks found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._judge.answer import address, endpoint, items, mapping, text
from .._judge.path import ExpectedPath, Underlay
from .._judge.topology import expected_path, owned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._judge.context import Node
    from .._judge.topology import Kind
    from .assertion import Assertion

_WHY = "as the task asks"


def expected_paths(
    task: Assertion, peers: Iterable[Node], *, kind: str, endpoints: Mapping[str, Any] | None = None, deep: bool = False
) -> tuple[ExpectedPath, ...]:
    """Return the expected path to each peer; `deep` also reads the endpoints that the peers' clients know."""
    topology = task.topology()
    return tuple(
        _expected_path(task, topology, peer, kind=kind, given=mapping(endpoints).get(peer.name), deep=deep)
        for peer in peers
    )


def path_of(task: Assertion) -> str:
    """Return the kind of path that the task expects."""
    return text(task.setting("path", task.options.get("path")))


def underlay(task: Assertion, host: str, *, deep: bool) -> Underlay:
    """Return what is known of a host's physical side."""
    record = task.topology().get(host)
    # Without a topology, what the peer's own client says of itself is all there is to hold an endpoint against.
    own_host = "router" not in mapping(record)
    client = mapping(task.of_host(host, "mesh_client")) if deep or own_host else {}
    local = address(mapping(record).get("address"))
    known = owned(record)
    if own_host and known:
        # What an inventory says of an own host need not be all of its addresses.
        known += [found for entry in items(client.get("endpoints")) if (found := endpoint(entry)[0])]
    return Underlay(
        owned=tuple(dict.fromkeys(known)),
        endpoints=tuple(text(entry) for entry in items(client.get("endpoints"))),
        local=(local,) if local else (),
    )


def _expected_path(  # noqa: PLR0913
    task: Assertion,
    topology: Mapping[str, Any],
    peer: Node,
    *,
    kind: str,
    given: Any,  # noqa: ANN401 - a task's option
    deep: bool,
) -> ExpectedPath:
    found, reason = expected_path(topology.get(task.host), topology.get(peer.name))
    theirs = underlay(task, peer.name, deep=deep)
    if given:
        named = given if isinstance(given, list) else [given]
        theirs = Underlay(
            owned=tuple(filter(None, map(address, named))), endpoints=theirs.endpoints, local=theirs.local
        )
    if kind == "auto" and found == "any" and not given:
        # Nobody has said where the two are: an endpoint cannot be held against anything.
        return ExpectedPath(peer=peer, kind=found, reason=reason, underlay=Underlay() if not deep else theirs)
    if kind == "auto":
        return ExpectedPath(peer=peer, kind=found, reason=reason, underlay=theirs)
    asked: Kind = "direct" if kind == "direct" else "relay" if kind == "relay" else "any"
    return ExpectedPath(peer=peer, kind=asked, reason=_WHY, underlay=theirs)
