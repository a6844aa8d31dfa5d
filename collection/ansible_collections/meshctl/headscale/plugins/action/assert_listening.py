# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert where a service listens; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.options import COMMON
from ..plugin_utils._action.probing import Request
from ..plugin_utils._judge.answer import Json, address
from ..plugin_utils._judge.listening import Listening, judge_listening
from ..plugin_utils._judge.observations import LISTENING

if TYPE_CHECKING:
    from ..plugin_utils._judge.check import Check


class ActionModule(Assertion):
    """Read the host's table of sockets."""

    ASSERTION = "listening"
    DEADLINE_S = 10.0
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {
        **COMMON,
        "nodes": {"type": "raw"},
        "port": {"type": "int", "required": True},
        "proto": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
        "addresses": {"type": "list", "elements": "str"},
    }

    def prepare(self) -> None:
        """Decide on which addresses the port must be open."""
        given = self.options.get("addresses")
        may: tuple[str, ...] = ()
        if given is None:
            node = self.nodes().get(self.host)
            given = [node.first_address] if node else []
            may = tuple(known for known in node.addresses if known not in given) if node else ()
        found = tuple(address(entry) for entry in given)
        if not found or not all(found):
            raise BadInput(f"addresses is {given!r}: name IP addresses, or have {self.host} join the mesh first")
        self._expect = Listening(port=self.options["port"], addresses=found, may=may, proto=self.options["proto"])

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Ask for the sockets of the port."""
        return [{"id": LISTENING, "kind": "listening", "ports": [self._expect.port]}]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the sockets."""
        return [judge_listening(answer, self.context, self._expect)]
