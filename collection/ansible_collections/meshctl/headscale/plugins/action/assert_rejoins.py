# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asserts that a node came back as itself after a disturbance; see the module of the same name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.options import COMMON, MEMBERS, wanted
from ..plugin_utils._action.peers import reached
from ..plugin_utils._action.probing import Request
from ..plugin_utils._judge.observations import DISCO, ICMP, STATUS, TSMP
from ..plugin_utils._judge.rejoins import Rejoins, judge_rejoins

if TYPE_CHECKING:
    from ..plugin_utils._judge.answer import Json
    from ..plugin_utils._judge.check import Check


class ActionModule(Assertion):
    """Watches the disturbed node until it is what it was."""

    ASSERTION = "rejoins"
    LOOK_S = 2.5
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        **MEMBERS,
        "since": {"type": "float", "required": True},
        "aspect": {"type": "str", "required": True},
        "budget": {"type": "float"},
    }

    def prepare(self) -> None:
        """Find out who the node was."""
        nodes = self.nodes()
        if self.host not in nodes:
            raise BadInput(f"the server has no node for {self.host}: known are {', '.join(nodes)}")
        budget = self.setting("rejoin_budget_s", self.options.get("budget"))
        if self.options["since"] > time.time() + 1:
            raise BadInput(f"since is {self.options['since']}, which lies ahead: pass the time of the disturbance")
        self._expect = Rejoins(
            before=nodes[self.host], peers=reached(self, self.peers()), aspect=self.options["aspect"], budget_s=budget
        )
        self._left = self.options["since"] + budget - time.time()

    @property
    def deadline_s(self) -> float:
        """Return what is left of the budget, which began with the disturbance."""
        given = self.options.get("deadline")
        return float(max(0.0, min(self._left, self.longest_s, self._left if given is None else given)))

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Look at the client and ping the peers."""
        targets = [address for peer in wanted(self._expect.peers, pending) for address in peer.addresses]
        return [
            {"id": STATUS, "kind": "status"},
            {"id": ICMP, "kind": "icmp", "targets": targets, "count": 2, "interval_s": 0.05, "try_timeout_s": 0.7},
        ]

    def judge(self, answer: Json) -> list[Check]:
        """Judge what the node is now against what it was."""
        return judge_rejoins(answer, self.context, self._expect, elapsed_s=time.time() - self.options["since"])

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Try the layers below."""
        targets = [address for peer in wanted(self._expect.peers, failing) for address in peer.addresses]
        pings: Request = {"targets": targets, "tries": 2, "try_timeout_s": 1.0}
        return [{"id": DISCO, "kind": "disco", **pings}, {"id": TSMP, "kind": "tsmp", **pings}]
