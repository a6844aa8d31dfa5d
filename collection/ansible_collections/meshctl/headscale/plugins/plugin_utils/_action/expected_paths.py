# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Derive the expected path to each peer from facts that other tasks found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._judge.answer import address, endpoint, items, mapping, text
from .._judge.path import ExpectedPath, Underlay
from .._judge.topology import common_network, expected_path, owned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._judge.context import Node
    from .._judge.topology import Kind
    from .assertion import Assertion


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
    """Return what is known of a host's physical network."""
    record = task.topology().get(host)
    # Without a topology, only the peer's own client says which endpoints are its own.
    existing = "router" not in mapping(record)
    client = mapping(task.of_host(host, "mesh_client")) if deep or existing else {}
    local = address(mapping(record).get("address"))
    known = owned(record)
    if existing and known:
        # An existing host may have more addresses than the inventory states.
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
    here, there = topology.get(task.host), topology.get(peer.name)
    found, reason = expected_path(here, there)
    network = common_network(here, there)
    theirs = underlay(task, peer.name, deep=deep)
    if given:
        named = given if isinstance(given, list) else [given]
        theirs = Underlay(
            owned=tuple(filter(None, map(address, named))), endpoints=theirs.endpoints, local=theirs.local
        )
    if kind == "auto" and found == "any" and not given:
        # Without a topology no endpoint is known to be wrong.
        return ExpectedPath(peer=peer, kind=found, reason=reason, underlay=Underlay() if not deep else theirs)
    if kind == "auto":
        return ExpectedPath(peer=peer, kind=found, reason=reason, underlay=theirs, network=network)
    asked: Kind = "direct" if kind == "direct" else "relay" if kind == "relay" else "any"
    why = "the task says so" if task.options.get("path") else "mesh_path says so"
    return ExpectedPath(peer=peer, kind=asked, reason=why, underlay=theirs, network=network)
