# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that a node rejoins with the same identity after an outage; see the module of the same name."""

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
    """Watch the node until it is what it was before."""

    ASSERTION = "rejoins"
    LOOK_S = 2.5
    # Only the node that was disturbed is probed.
    ALONE = True
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        **MEMBERS,
        "since": {"type": "float", "required": True},
        "aspect": {"type": "str", "required": True},
        "budget": {"type": "float"},
    }

    def prepare(self) -> None:
        """Look up the identity of the node before the outage."""
        nodes = self.nodes()
        if self.host not in nodes:
            raise BadInput(f"the server has no node for {self.host}: known are {', '.join(nodes)}")
        budget = self.setting("rejoin_budget_s", self.options.get("budget"))
        if self.options["since"] > time.time() + 1:
            raise BadInput(
                f"since is {self.options['since']}, which is in the future: pass the time of the outage's end"
            )
        self._expect = Rejoins(
            before=nodes[self.host], peers=reached(self, self.peers()), aspect=self.options["aspect"], budget_s=budget
        )
        self._left = self.options["since"] + budget - time.time()

    @property
    def deadline_s(self) -> float:
        """Return the rest of the budget, which started with the end of the outage."""
        given = self.options.get("deadline")
        return float(max(0.0, min(self._left, self.longest_s, self._left if given is None else given)))

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Ask the client for its status, and ping the peers."""
        targets = [address for peer in wanted(self._expect.peers, pending) for address in peer.addresses]
        return [
            {"id": STATUS, "kind": "status"},
            {"id": ICMP, "kind": "icmp", "targets": targets, "count": 2, "interval_s": 0.05, "try_timeout_s": 0.7},
        ]

    def judge(self, answer: Json) -> list[Check]:
        """Compare the node with what it was before."""
        return judge_rejoins(answer, self.context, self._expect, elapsed_s=time.time() - self.options["since"])

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Try the layers below."""
        targets = [address for peer in wanted(self._expect.peers, failing) for address in peer.addresses]
        pings: Request = {"targets": targets, "tries": 2, "try_timeout_s": 1.0}
        return [{"id": DISCO, "kind": "disco", **pings}, {"id": TSMP, "kind": "tsmp", **pings}]
