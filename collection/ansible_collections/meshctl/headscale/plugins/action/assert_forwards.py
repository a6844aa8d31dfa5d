# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that a subnet router is ready; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..plugin_utils._action.assertion import Assertion, NotAsserted
from ..plugin_utils._action.options import COMMON
from ..plugin_utils._action.probing import Request
from ..plugin_utils._action.ways import ways
from ..plugin_utils._expectations import routes
from ..plugin_utils._judge.forwards import MESH_SWITCH, OUTSIDE_ADDRESSES, SWITCHES, judge_exit, judge_forwards, ready
from ..plugin_utils._judge.observations import ADDRESSES, FILES, ICMP, PREFS, ROUTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..plugin_utils._judge.answer import Json
    from ..plugin_utils._judge.check import Check


class ActionModule(Assertion):
    """Look at the router itself."""

    ASSERTION = "forwards"
    DEADLINE_S = 10.0
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {**COMMON, "nodes": {"type": "raw"}}

    _answer: Json = None

    def prepare(self) -> None:
        """Find the networks that this host leads to."""
        own = [route for route in routes.routes_of(self) if self.host in route.routers]
        self._exit = self.host in routes.exits_of(self)
        if not own and not self._exit:
            raise NotAsserted(f"{self.host} is not a router of mesh_routes, and not in mesh_exit_nodes")
        self._ways = ways(self, own)

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Read the kernel's switches and the preferences, and ping the targets."""
        targets = [way.address for way in self._ways if pending is None or way.target in pending]
        return [
            {"id": FILES, "kind": "files", "paths": [*SWITCHES.values(), MESH_SWITCH]},
            {"id": PREFS, "kind": "prefs"},
            {"id": ADDRESSES, "kind": "addresses"},
            {"id": ROUTES, "kind": "routes", "get": [*targets, *(OUTSIDE_ADDRESSES.values() if self._exit else ())]},
            {"id": ICMP, "kind": "icmp", "targets": targets, "count": 2, "interval_s": 0.1, "try_timeout_s": 1.0},
        ]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the router."""
        self._answer = answer
        checks = judge_forwards(answer, self.context, self._ways)
        return [*checks, *(judge_exit(answer, self.context) if self._exit else ())]

    def facts(self, checks: Sequence[Check]) -> dict[str, Any]:
        """Return what the router said of itself."""
        return {"ansible_facts": {"mesh_router": ready(self._answer, self._ways)}}
