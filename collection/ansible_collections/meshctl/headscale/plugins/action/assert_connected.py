# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that a node is in the mesh and sees its peers; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.options import COMMON, MEMBERS
from ..plugin_utils._action.peers import expectation
from ..plugin_utils._action.probing import Request
from ..plugin_utils._judge.connected import Connected, judge_connected
from ..plugin_utils._judge.observations import STATUS

if TYPE_CHECKING:
    from ..plugin_utils._judge.answer import Json
    from ..plugin_utils._judge.check import Check
    from ..plugin_utils._judge.context import Node


class ActionModule(Assertion):
    """Ask the node's own client."""

    ASSERTION = "connected"
    DEADLINE_S = 30.0
    AS_LISTED = True
    ARGUMENTS = {**COMMON, **MEMBERS, "offline": {"type": "list", "elements": "str", "default": []}}  # noqa: RUF012

    def prepare(self) -> None:
        """Decide which peers the node must see."""
        expect = expectation(self)
        offline = tuple(self.options["offline"])
        everyone = self._with(self.peers(), offline)
        peers = tuple(peer for peer in everyone if expect.sees(self.host, peer.name))
        hidden = tuple(peer for peer in everyone if peer not in peers)
        if unknown := [name for name in offline if name not in {peer.name for peer in everyone}]:
            raise BadInput(f"offline names {', '.join(unknown)}, but {self.host} has no such peer")
        self._expect = Connected(own=self.nodes().get(self.host), peers=peers, offline=offline, hidden=hidden)

    def _with(self, peers: tuple[Node, ...], names: tuple[str, ...]) -> tuple[Node, ...]:
        """Return peers and further nodes, which `mesh_pairs` may have left out."""
        known = {peer.name for peer in peers} | {self.host}
        return (*peers, *(node for name, node in self.nodes().items() if name in names and name not in known))

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Ask for the client's status."""
        return [{"id": STATUS, "kind": "status"}]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the status."""
        return judge_connected(answer, self.context, self._expect)
