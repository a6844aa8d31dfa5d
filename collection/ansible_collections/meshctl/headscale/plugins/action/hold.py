# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Let a node watch its peers for a while; see the module of the same name."""

from __future__ import annotations

import time
from collections.abc import Iterable
from secrets import token_hex
from typing import Any

from ..plugin_utils._action.errors import reports_errors
from ..plugin_utils._action.members import MeshAction
from ..plugin_utils._action.peers import expectation, following, stream_count
from ..plugin_utils._action.watching import plan_watch, takes_part
from ..plugin_utils._judge.answer import Answer, items, mapping, number
from ..plugin_utils._judge.context import Node

_LOOK_S = 5.0
_LONGEST_S = 900.0
_SPARE_S = 1.0
_AGAIN_S = 0.1
_LONGEST_DELAY_S = 200.0
# What assert_reachable, assert_path and assert_exchange send to each address, at least, in echo requests.
_BEFORE = 17


class ActionModule(MeshAction):
    """Start the probe's watch."""

    ARGUMENTS = {  # noqa: RUF012
        "seconds": {"type": "float", "default": 300.0},
        "nodes": {"type": "raw"},
        "peers": {"type": "list", "elements": "str"},
        "port": {"type": "int"},
        "later": {"type": "bool", "default": False},
    }

    @reports_errors
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return how to ask for what was seen, as the fact `mesh_held`."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.start(task_vars)
        watching = self._watch() if self.setting("hold_s") else {}
        return self.with_silence({**result, "changed": False, "ansible_facts": {"mesh_held": watching}})

    def _watch(self) -> dict[str, Any]:
        nodes = list(self.nodes())
        expect = expectation(self)
        peers = [peer for peer in self.peers() if expect.reaches(self.host, peer.name)]
        if not peers:
            return {"error": f"by mesh_expect, {self.host} has no peer here"}
        patience = self.setting("patience")
        plan = plan_watch(len(nodes), len(peers), most=self.watch_per_second(len(nodes)), shared=self._shared)
        if not takes_part(self.host, nodes, plan.pinging):
            return {"elsewhere": True}
        self._pause_s = plan.pause_s * patience
        names = following(self.host, nodes, [peer.name for peer in peers], plan.peers)
        talks = takes_part(self.host, nodes, plan.talking)
        streams = following(self.host, nodes, names, stream_count(len(nodes))) if talks else []
        listening = {name: left for name in streams if (left := self._listens_for(name)) > 0}
        delay = self._delay(sum(len(peer.addresses) for peer in peers))
        request = {
            "id": "hold",
            "kind": "hold",
            "seconds": lasting(self.options["seconds"], listening.values()),
            "delay_s": delay,
            "targets": [known for peer in peers if peer.name in names for known in peer.addresses],
            "interval_s": plan.interval_s * patience,
            "patience_s": max(3.0, 2 * self.setting("latency_budget_ms") / 1000) * patience,
            "marker": f"meshctl-{token_hex(8)}",
            "streams": [one for peer in peers if peer.name in listening for one in self._kept(peer, "tcp")],
            # A port that is named is there for connections.
            "flows": [
                one
                for peer in peers
                if peer.name in listening and self.options["port"] is None
                for one in self._kept(peer, "udp")
            ],
        }
        answer = self.probe([request], seconds=_LOOK_S * patience)
        seen = Answer(answer)
        found = mapping(seen.data("hold"))
        if not found:
            return {"error": seen.why("hold")}
        if self.options["port"] is not None:
            self._opened(found)
        began = number(found.get("began")) or 0.0
        seconds = (number(found.get("seconds")) or 0.0) - delay
        at = time.time() + delay
        return {
            **found,
            "seconds": seconds,
            "peers": names,
            "streams": streams,
            "at": at,
            "ahead_s": self._ahead(began),
        }

    def _delay(self, addresses: int) -> float:
        """Return how long to wait before watching: less than what comes before the end of the watch takes."""
        return min(_LONGEST_DELAY_S, self.pace.least_s(_BEFORE * addresses)) if self.options["later"] else 0.0

    def _opened(self, watching: dict[str, Any]) -> None:
        """Wait until every connection is open, or has had the time for it."""
        until = time.monotonic() + _LOOK_S * self.setting("patience")
        ask = {"id": "open", "kind": "call", "name": watching.get("name"), "token": watching.get("token")}
        while True:
            seen = mapping(Answer(self.probe([ask], seconds=_LOOK_S)).data("open"))
            if all(mapping(one).get("exchanged") for one in items(seen.get("streams"))) or time.monotonic() > until:
                return
            time.sleep(_AGAIN_S)

    def _ahead(self, began: float) -> float:
        """Return how far the host's clock is ahead; a small difference is the time that the answer took."""
        ahead = began - time.time()
        return round(ahead, 3) if abs(ahead) > _LOOK_S else 0.0

    def _listens_for(self, name: str) -> float:
        until = number(mapping(self.of_host(name, "mesh_serving")).get("until")) or 0.0
        return until - _SPARE_S - time.time()

    def _kept(self, peer: Node, protocol: str) -> list[dict[str, Any]]:
        """Return where a peer listens for two connections or flows of each family, one of them idle for most of the time."""
        serving = mapping(self.of_host(peer.name, "mesh_serving"))
        found: list[dict[str, Any]] = []
        for known in peer.addresses:
            listening = mapping(mapping(mapping(serving.get("ports")).get(known)).get(protocol))
            port = number(listening.get("port"))
            if (wanted := self.options["port"]) is not None:
                port = wanted if wanted in items(listening.get("ports")) else None
            if port:
                stream = {"host": known, protocol: int(port), "token": serving.get("token"), "pause_s": self._pause_s}
                budget = self.setting("stall_budget_s") * self.setting("patience")
                idle = {**stream, "idle_s": idle_time(self.setting("hold_s"), budget)}
                found += [stream, idle] if wanted is None else [stream]
        return found


def lasting(seconds: float, listening: Iterable[float]) -> float:
    """Return how long to watch. A listener that ends closes its connections, so the watch ends before it."""
    return min(_LONGEST_S, seconds, *listening)


def idle_time(hold: float, budget: float) -> float:
    """Return how long a connection is idle: a stall after that must be seen before the watch ends."""
    return max(1.0, min(hold / 2, hold - budget - 1))
