# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asserts that nodes are not reached over the mesh; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..plugin_utils._assertion import COMMON, MEMBERS, Ask, Assertion, wanted
from ..plugin_utils._judge.unreachable import judge_unreachable

if TYPE_CHECKING:
    from ..plugin_utils._judge.check import Check
    from ..plugin_utils._judge.seen import Json


class ActionModule(Assertion):
    """Pings the mesh addresses of nodes that must not answer."""

    ASSERTION = "unreachable"
    DEADLINE_S = 30.0
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {**COMMON, **MEMBERS}

    def prepare(self) -> None:
        """Find out who must be silent."""
        self._peers = self.peers()

    def observe(self, pending: frozenset[str | None] | None) -> list[Ask]:
        """Ping those that have answered so far."""
        targets = [known for peer in wanted(self._peers, pending) for known in peer.addresses]
        return [
            {"id": "icmp", "kind": "icmp", "targets": targets, "count": 2, "interval_s": 0.2, "try_timeout_s": 0.7},
            {"id": "status", "kind": "status"},
        ]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the silence."""
        return judge_unreachable(answer, self.frame, self._peers)
