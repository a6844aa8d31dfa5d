# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert which path traffic between nodes takes; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.expected_paths import expected_paths, path_of, underlay
from ..plugin_utils._action.options import COMMON, MEMBERS, PATH, wanted
from ..plugin_utils._action.peers import reached
from ..plugin_utils._action.probing import Request
from ..plugin_utils._judge.answer import Json, mapping
from ..plugin_utils._judge.observations import DISCO, STATUS
from ..plugin_utils._judge.path import Paths, judge_path

if TYPE_CHECKING:
    from ..plugin_utils._judge.check import Check


class ActionModule(Assertion):
    """Ping every peer through the client, which reports the path of the answer."""

    ASSERTION = "path"
    DEADLINE_S = 30.0
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {
        **COMMON,
        **MEMBERS,
        **PATH,
        "endpoints": {"type": "dict", "default": {}},
    }

    def prepare(self) -> None:
        """Look up the expected path to each peer."""
        peers = reached(self, self.peers())
        self._kind = path_of(self)
        if unknown := set(self.options["endpoints"]) - {peer.name for peer in peers}:
            raise BadInput(f"endpoints names {', '.join(sorted(unknown))}, but {self.host} has no such peer")
        found = expected_paths(self, peers, kind=self._kind, endpoints=self.options["endpoints"])
        self._expect = Paths(expected_paths=found, own=underlay(self, self.host, deep=False))

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Ping through the client until a direct path answers, or long enough to rule one out."""
        peers = {peer.name for peer in wanted((way.peer for way in self._expect.expected_paths), pending)}
        targets: dict[str, list[str]] = {}
        for way in self._expect.expected_paths:
            if way.peer.name in peers and way.address:
                targets.setdefault(way.kind, []).append(way.address)
        return [
            {"id": f"{DISCO}-{kind}", "kind": "disco", "targets": addresses, **_patience(kind)}
            for kind, addresses in targets.items()
        ]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the answers."""
        return judge_path(_together(answer), self.context, self._expect)

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Ask for the endpoints that both clients know."""
        names = [way.peer for way in self._expect.expected_paths if way.peer.name in failing]
        found = {
            way.peer.name: way
            for way in expected_paths(self, names, kind=self._kind, endpoints=self.options["endpoints"], deep=True)
        }
        self._expect = Paths(
            expected_paths=tuple(found.get(way.peer.name, way) for way in self._expect.expected_paths),
            own=underlay(self, self.host, deep=True),
        )
        return [{"id": STATUS, "kind": "status"}]


def _patience(kind: str) -> Request:
    if kind == "relay":
        # tailscaled needs some seconds to find a direct path, so only time shows that there is none.
        return {"tries": 8, "interval_s": 0.5, "until_direct": True}
    return {"tries": 10, "interval_s": 0.2, "until_direct": kind == "direct"}


def _together(answer: Json) -> Json:
    """Return the answer with all pings merged into the observation that the judge reads."""
    observations = mapping(mapping(answer).get("observations"))
    pings = [mapping(found) for found in observations.values() if mapping(found).get("kind") == "disco"]
    data = {address: result for found in pings if found.get("ok") for address, result in mapping(found["data"]).items()}
    if data:
        together: Json = {"kind": "disco", "ok": True, "data": data}
    else:
        together = next(iter(pings), {})
    return {**mapping(answer), "observations": {**observations, DISCO: together}}
