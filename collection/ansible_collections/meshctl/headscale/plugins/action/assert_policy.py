# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert by packets that the mesh does what its policy says; see the module of the same name."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, ClassVar

from ..module_utils import _hujson
from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion, NotAsserted
from ..plugin_utils._action.options import COMMON, MEMBERS, SERVER, wanted
from ..plugin_utils._action.policy import PolicyView
from ..plugin_utils._action.probing import Request
from ..plugin_utils._action.server import server
from ..plugin_utils._judge.answer import Answer, items, mapping, number, text
from ..plugin_utils._judge.established import Established, judge_established
from ..plugin_utils._judge.filtered import NETMAP, POLICY, PREFS, judge_stored
from ..plugin_utils._judge.observations import HELD, STATUS, TSMP
from ..plugin_utils._judge.policy import PORTS, judge_policy

if TYPE_CHECKING:
    from typing import Any

    from ..plugin_utils._judge.answer import Json
    from ..plugin_utils._judge.check import Check


class ActionModule(Assertion):
    """Try the ports of peers that listen, and compare what answers with the policy's meaning."""

    ASSERTION = "policy"
    LOOK_S = 12.0
    SHORTEST_LOOK_S = 9.0
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {
        **COMMON,
        **MEMBERS,
        **SERVER,
        "policy": {"type": "raw", "required": True},
        "records": {"type": "list", "elements": "dict", "required": True},
        "users": {"type": "list", "elements": "dict", "default": []},
        "phase": {"type": "str", "default": ""},
        "since": {"type": "float"},
        "budget": {"type": "float"},
        "compare": {"type": "bool", "default": False},
        "installed": {"type": "bool", "default": False},
        "established": {"type": "int"},
    }

    _open: Established | None = None

    def prepare(self) -> None:
        """Work out what the policy means for this host."""
        since, budget = self.options["since"], self.setting("policy_budget_s", self.options["budget"])
        if since is not None and since > time.time() + 1:
            raise BadInput(f"since is {since}, which is in the future: pass the time of the change")
        self._since: float | None = since
        self._left = self.DEADLINE_S if since is None else since + budget - time.time()
        self._stored = self.host in self.group("headscale") and self.host not in self.nodes()
        if self._stored:
            if not self.options["installed"]:
                raise NotAsserted("the policy is the server's own: there is none to compare it with")
            return
        if self.options["established"] is not None:
            self._open = self._established(self.options["established"])
            return
        view = PolicyView(self, self.options["policy"], self.options["records"], self.options["users"])
        self._expect = view.expect(
            self.peers(),
            phase=self.options["phase"],
            budget_s=budget if since is not None else None,
            compare=self.options["compare"],
        )

    def _established(self, port: int) -> Established:
        """Return the connections that the action `hold` has opened."""
        if self._since is None:
            raise BadInput("established requires since: pass the time of the change")
        self._watch = mapping(self.variable("mesh_held"))
        if not self._watch.get("name"):
            raise NotAsserted(text(self._watch.get("error")) or "mesh_hold_s is 0, so no connection was kept open")
        streams = [text(name) for name in items(self._watch.get("streams"))]
        return Established(
            peers=tuple(peer for peer in self.peers() if peer.name in streams), port=port, since=self._since,
            asked=time.time(), phase=self.options["phase"],
            ahead_s=number(self._watch.get("ahead_s")) or 0.0,
        )  # fmt: skip

    @property
    def deadline_s(self) -> float:
        """Return the rest of the budget, which started with the change; a connection has the time of a stall for another block."""
        if self._open is not None:
            return float(self.setting("stall_budget_s") * self.patience)
        given = self.options.get("deadline")
        return float(max(0.0, min(self._left, self.longest_s, self._left if given is None else given)))

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Try the ports of the peers that have not passed yet."""
        if self._open is not None:
            return [{"id": HELD, "kind": "call", "name": self._watch["name"], "token": self._watch["token"]}]
        if self._stored:
            return [{**server(self), "id": POLICY, "kind": "headscale", "path": "/api/v1/policy"}]
        chosen = {peer.name for peer in wanted([pair.peer for pair in self._expect.pairs], pending)}
        pairs = [pair for pair in self._expect.pairs if pair.peer.name in chosen]
        targets = [
            {
                "name": pair.peer.name,
                "token": text(mapping(self.of_host(pair.peer.name, "mesh_serving")).get("token")),
                "own": list(self._expect.own.addresses),
                "controls": [list(control) for control in pair.controls],
                "ports": [
                    [pair.peer.address(family), protocol, port, port in opening.open]
                    for (protocol, family), opening in pair.openings.items()
                    for port in (*opening.open, *opening.closed)
                ],
            }
            for pair in pairs
        ]
        # Where nothing may answer, tailscaled itself does.
        alone = [
            next(iter(pair.peer.addresses)) for pair in pairs if pair.seen and not pair.controls and pair.peer.addresses
        ]
        return [
            {"id": PORTS, "kind": "ports", "targets": targets, "quiet_s": 1.0, "try_timeout_s": 2.5 * self.patience},
            {"id": STATUS, "kind": "status"},
            {"id": PREFS, "kind": "prefs"},
            {"id": NETMAP, "kind": "netmap"},
            *(
                [{"id": TSMP, "kind": "tsmp", "targets": alone, "tries": 4, "try_timeout_s": self.patience}]
                if alone
                else []
            ),
        ]

    def judge(self, answer: Json) -> list[Check]:
        """Judge what answered, what arrived, and the client's filter."""
        if self._open is not None:
            return judge_established(answer, self.context, self._open)
        if self._stored:
            return [judge_stored(answer, self.context, self._installed, self.options["phase"], self._same(answer))]
        elapsed = time.time() - self._since if self._since is not None else 0.0
        return judge_policy(answer, self.context, self._expect, elapsed_s=elapsed)

    @property
    def _installed(self) -> str:
        given = self.options["policy"]
        return given if isinstance(given, str) else json.dumps(given)

    def _same(self, answer: Json) -> bool | None:
        current = mapping(Answer(answer).data(POLICY)).get("policy")
        return _hujson.same(text(current), self._installed) if isinstance(current, str) else None

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Ask tailscaled of the peers that fail, whatever the policy."""
        if self._stored or self._open is not None:
            return []
        targets = [
            known for pair in self._expect.pairs if pair.peer.name in failing for known in pair.peer.addresses[:1]
        ]
        return [{"id": TSMP, "kind": "tsmp", "targets": targets, "tries": 3}] if targets else []
