# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Actions that know the members of the mesh, as other tasks found them."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

from ...module_utils._errors import BadInput
from .._expectations.pairs import chosen
from .._judge.answer import mapping, text
from .._judge.context import Node
from .options import families, used
from .pacing import CROWD
from .probing import ProbingAction

# Nodes by name, with the record of each that was read. A process that runs many tasks, and those that it forks, read each of
# them once.
_read: dict[str, tuple[Any, Node]] = {}


def node(name: str, record: Any) -> Node:  # noqa: ANN401 - JSON
    """Return a node of the server's list, which no reader changes."""
    known = _read.get(name)
    if known is None or known[0] is not record:
        known = _read[name] = (record, Node.read(name, record))
    return known[1]


class MeshAction(ProbingAction):
    """An action that examines a host as a member of the mesh."""

    AS_LISTED: ClassVar[bool] = False
    """Whether nodes have all their addresses, also those of families that this host has none of."""

    def nodes(self) -> dict[str, Node]:
        """Return every member of the mesh by inventory name; raise `BadInput` if no task asked the server."""
        return dict(self._nodes)

    @functools.cached_property
    def _nodes(self) -> dict[str, Node]:
        return {name: self._seen(name) for name in self._listed}

    def _seen(self, name: str) -> Node:
        found = node(name, self._listed[name])
        return found.seen_without(self._without) if self._without else found

    @functools.cached_property
    def _without(self) -> tuple[int, ...]:
        own = self._listed.get(self.host) or mapping(self.shared("mesh_nodes")).get(self.host)
        return () if self.AS_LISTED or own is None else node(self.host, own).without

    @functools.cached_property
    def _listed(self) -> dict[str, Any]:
        given = self.options.get("nodes")
        records = mapping(given) or mapping(self.shared("mesh_nodes")) or self._as_clients_say()
        if not records:
            raise BadInput("no node is known: run meshctl.headscale.assert_registered first, or pass nodes")
        names = [str(name) for name in given] if isinstance(given, list) else list(records)
        if unknown := [name for name in names if name not in records]:
            raise BadInput(f"the server has no node for {', '.join(unknown)}: known are {', '.join(records)}")
        return {name: records[name] for name in names}

    @property
    def crowd(self) -> bool:
        """Whether so many nodes share cores that each does less of what all of them do."""
        return self._shared and len(self._listed) > CROWD

    @property
    def families(self) -> tuple[int, ...]:
        """Return the address families to examine: those that the task names, or those that the mesh uses."""
        named = families(self.options["families"])
        return named if "families" in self._task.args else used(named, self.nodes().values())

    def _as_clients_say(self) -> dict[str, Any]:
        """Return what the clients know of themselves, for as long as the server cannot be asked."""
        found = {name: mapping(self.of_host(name, "mesh_client")) for name in self.group("clients")}
        return {
            name: {**client, "given_name": text(client.get("dns_name")).partition(".")[0]}
            for name, client in found.items()
            if client.get("key")
        }

    def peers(self, *, every: bool = False) -> tuple[Node, ...]:
        """Return the other nodes that the task is about; raise `BadInput` if there are none.

        Unless the task names them, they are those that `mesh_pairs` selects, or with `every` all.
        """
        nodes = self._listed
        named = self.options.get("peers")
        if named is None:
            others = [name for name in nodes if name != self.host]
            named = others if every else chosen(self, others)
        if unknown := [name for name in named if name not in nodes]:
            raise BadInput(f"the server has no node for the peer {', '.join(unknown)}: known are {', '.join(nodes)}")
        if not named:
            raise BadInput(f"{self.host} has no peer: there must be another node in nodes, or in the mesh")
        return tuple(self._seen(name) for name in named)
