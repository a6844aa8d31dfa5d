# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that nodes do not answer over the mesh; see the module of the same name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.options import COMMON, MEMBERS, wanted
from ..plugin_utils._action.probing import Request
from ..plugin_utils._judge.observations import ICMP, STATUS
from ..plugin_utils._judge.unreachable import judge_unreachable

if TYPE_CHECKING:
    from ..plugin_utils._judge.answer import Json
    from ..plugin_utils._judge.check import Check


_INTERVAL_S = 0.25
_LONGEST_S = 60.0
# Long after an outage began, a path that is changing is silent for a moment only.
_SHORTEST_S = 3.0


class ActionModule(Assertion):
    """Ping the mesh addresses of nodes that must not answer."""

    ASSERTION = "unreachable"
    DEADLINE_S = 30.0
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {
        **COMMON,
        **MEMBERS,
        "silence": {"type": "float", "default": 3.0},
        "since": {"type": "float"},
    }

    def prepare(self) -> None:
        """Decide which nodes must be silent, and for how long."""
        if not 0 < self.options["silence"] <= _LONGEST_S:
            raise BadInput(f"silence is {self.options['silence']:g}: write seconds, at most {_LONGEST_S:g}")
        since = self.options["since"]
        self._silence_s = remaining(self.options["silence"], 0.0 if since is None else time.time() - since)
        self.LOOK_S = self.SHORTEST_LOOK_S = self._silence_s + 2.0 * self.patience  # type: ignore[misc]
        self._peers = self.peers()

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Ping the nodes that have answered so far."""
        targets = [known for peer in wanted(self._peers, pending) for known in peer.addresses]
        # Several pings: a path that is changing is silent for a moment, too.
        count = max(2, int(self._silence_s / _INTERVAL_S))
        return [
            {
                "id": ICMP,
                "kind": "icmp",
                "targets": targets,
                "count": count,
                "interval_s": _INTERVAL_S,
                "try_timeout_s": 0.7,
            },
            {"id": STATUS, "kind": "status"},
        ]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the silence."""
        return judge_unreachable(answer, self.context, self._peers)


def remaining(silence: float, passed: float) -> float:
    """Return how long a node must be silent when an outage began so many seconds ago; hosts of a large mesh look in turns."""
    return max(min(_SHORTEST_S, silence), silence - max(0.0, passed))
