# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that pairs stay connected while they are watched; see the module of the same name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..plugin_utils._action.assertion import Assertion, NotAsserted
from ..plugin_utils._action.options import COMMON, FAMILIES, MEMBERS
from ..plugin_utils._action.peers import reached
from ..plugin_utils._action.probing import Request
from ..plugin_utils._expectations.disruption import outages
from ..plugin_utils._expectations.requirements import unmet
from ..plugin_utils._judge.answer import items, mapping, number, text
from ..plugin_utils._judge.held import Held, judge_held
from ..plugin_utils._judge.observations import HELD
from ..plugin_utils._judge.spans import Span

if TYPE_CHECKING:
    from ..plugin_utils._judge.answer import Json
    from ..plugin_utils._judge.check import Check

# The watch decides a lost request after 3 s, and its host may be slow.
_SPARE_S = 12.0


class ActionModule(Assertion):
    """Ask the watch that the action `hold` has started for what it saw."""

    ASSERTION = "reachable"
    # What was seen does not change when it is asked for again.
    DEADLINE_S = 0.0
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        **MEMBERS,
        "families": {**FAMILIES, "default": ["ipv4", "ipv6"]},
        "hold": {"type": "float"},
        "silence_budget": {"type": "float"},
        "stall_budget": {"type": "float"},
        "loss_budget": {"type": "float"},
    }

    def prepare(self) -> None:
        """Decide which pairs to judge, and how long they must have been watched."""
        hold = self.setting("hold_s", self.options.get("hold"))
        if not hold:
            raise NotAsserted("mesh_hold_s is 0, so nothing was watched")
        self._watch = mapping(self.variable("mesh_held"))
        at, seconds = number(self._watch.get("at")), number(self._watch.get("seconds")) or 0
        if at is not None and time.time() > at + seconds:
            raise NotAsserted(f"the story took longer than the watch lasts, which is {seconds:.0f} s")
        known = [text(name) for name in items(self._watch.get("peers"))]
        peers = tuple(peer for peer in reached(self, self.peers()) if not known or peer.name in known)
        if not peers or self._watch.get("elsewhere"):
            raise NotAsserted("in a mesh of this size, other nodes watch these pairs")
        nodes = self.nodes()
        self._expect = Held(
            peers=peers,
            everyone=tuple(nodes[name] for name in known if name in nodes),
            families=self.families,
            hold_s=hold,
            silence_budget_s=self.setting("silence_budget_s", self.options.get("silence_budget")) * self.patience,
            stall_budget_s=self.setting("stall_budget_s", self.options.get("stall_budget")) * self.patience,
            loss_budget=self.setting("loss_budget_percent", self.options.get("loss_budget")),
            stream_peers=frozenset(text(name) for name in items(self._watch.get("streams"))),
            no_streams=self._no_streams(),
            outages=tuple(
                Span(start=one["start"], end=one["end"], what=one["what"]) for one in outages(self) if one["start"]
            ),
            ahead_s=number(self._watch.get("ahead_s")) or 0.0,
            since=self._since(),
        )
        late = max((self._expect.since.get(peer.name, 0.0) for peer in peers), default=0.0)
        self._ask_s = hold + max(0.0, late - at) if at is not None else hold
        self.LOOK_S = self._ask_s * 1.5 + _SPARE_S * self.patience  # type: ignore[misc]

    def _since(self) -> dict[str, float]:
        """Return when each peer was reached that was not reached at once; two nodes that begin at the same moment need 5 s more."""
        known = mapping(self.variable("mesh_reached_at"))
        return {str(name): found for name, at in known.items() if (found := number(at)) is not None}

    def _no_streams(self) -> str:
        if reason := unmet(self, ["bystanders"]):
            return reason
        if self.setting("backend") == "hosts" and not self.setting("probe_ports"):
            return "existing hosts listen only on ports that the policy lets through: name them in mesh_probe_ports"
        return "nodes do not listen in check mode: run without --check" if self._task.check_mode else ""

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Ask for all that was seen, once it is enough."""
        if not self._watch.get("name"):
            return []
        request = {key: self._watch[key] for key in ("name", "token")}
        # A node that is pinged while it starts takes 5 s longer: both sides begin to talk at the same moment.
        drop = [known for peer in self._expect.peers for known in peer.addresses]
        return [{"id": HELD, "kind": "call", **request, "hold_s": self._ask_s, "drop": drop}]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the silences and the connections."""
        if not self._watch.get("name"):
            reason = text(self._watch.get("error")) or "nothing was watched: run meshctl.headscale.hold first"
            answer = {"failure": {"type": "not_watched", "message": reason}}
        return judge_held(answer, self.context, self._expect)
