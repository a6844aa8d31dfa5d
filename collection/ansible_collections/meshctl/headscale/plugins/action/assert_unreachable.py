# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asserts that a node does not reach peers over the mesh; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..plugin_utils._assertion import COMMON, MEMBERS, Ask, Assertion, wanted
from ..plugin_utils._judge.unreachable import judge_unreachable

if TYPE_CHECKING:
    from ..plugin_utils._judge.check import Check
    from ..plugin_utils._judge.seen import Json


class ActionModule(Assertion):
    """Pings every peer's mesh addresses until none answers."""

    ASSERTION = "unreachable"
    DEADLINE_S = 20.0
    ARGUMENTS = {**COMMON, **MEMBERS}  # noqa: RUF012

    def prepare(self) -> None:
        """Find out whom to ping."""
        self._peers = self.peers()

    def observe(self, pending: frozenset[str | None] | None) -> list[Ask]:
        """Ping the peers that still answered."""
        targets = [address for peer in wanted(self._peers, pending) for address in peer.addresses]
        return [{"id": "icmp", "kind": "icmp", "targets": targets, "count": 3, "interval_s": 0.1, "try_timeout_s": 0.7}]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the silence."""
        return judge_unreachable(answer, self.frame, self._peers)
