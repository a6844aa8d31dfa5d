# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that a change has arrived on a node; see the module of the same name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.names import own_resolver
from ..plugin_utils._action.options import COMMON, ip_addresses
from ..plugin_utils._action.probing import Request
from ..plugin_utils._judge.answer import Json
from ..plugin_utils._judge.names import Name
from ..plugin_utils._judge.observations import DNS, GETADDRINFO, ICMP, RESOLV_CONF, STATUS
from ..plugin_utils._judge.propagates import Propagates, judge_propagates

if TYPE_CHECKING:
    from ..plugin_utils._judge.check import Check


class ActionModule(Assertion):
    """Look names up until they resolve as they should, within a budget that starts with the change."""

    ASSERTION = "propagates"
    LOOK_S = 3.0
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {
        **COMMON,
        "since": {"type": "float", "required": True},
        "aspect": {"type": "str", "required": True},
        "budget": {"type": "float"},
        "present": {"type": "dict", "default": {}},
        "absent": {"type": "list", "elements": "str", "default": []},
        "silent": {"type": "dict", "default": {}},
    }

    def prepare(self) -> None:
        """Work out the expected effect of the change."""
        if self.options["since"] > time.time() + 1:
            raise BadInput(f"since is {self.options['since']}, which is in the future: pass the time of the change")
        self._expect = Propagates(
            aspect=self.options["aspect"],
            budget_s=self.setting("propagation_budget_s", self.options.get("budget")),
            present=tuple(_name(str(fqdn), given) for fqdn, given in self.options["present"].items()),
            absent=tuple(self.options["absent"]),
            silent=tuple(
                (str(node), known)
                for node, given in self.options["silent"].items()
                for known in ip_addresses(str(node), given)
            ),
        )
        if not (self._expect.present or self._expect.absent or self._expect.silent):
            raise BadInput("there is nothing to assert: pass present, absent or silent")
        self._left = self.options["since"] + self._expect.budget_s - time.time()

    @property
    def deadline_s(self) -> float:
        """Return the rest of the budget, which started with the change."""
        given = self.options.get("deadline")
        return float(max(0.0, min(self._left, self.longest_s, self._left if given is None else given)))

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Look the names up, and ping the addresses that must be silent."""
        names = [name.fqdn for name in self._expect.present]
        queries = [
            *({"name": name.fqdn, "type": name.kind} for name in self._expect.present),
            *({"name": name, "type": "A"} for name in self._expect.absent),
        ]
        requests: list[Request] = [
            {"id": GETADDRINFO, "kind": "getaddrinfo", "names": [*names, *self._expect.absent]},
            {"id": DNS, "kind": "dns", "server": own_resolver(self), "try_timeout_s": 1.0, "queries": queries},
            {"id": RESOLV_CONF, "kind": "resolv_conf"},
        ]
        targets = [known for _node, known in self._expect.silent]
        if targets:
            requests.append(
                {"id": ICMP, "kind": "icmp", "targets": targets, "count": 2, "interval_s": 0.1, "try_timeout_s": 0.7}
            )
        return requests

    def judge(self, answer: Json) -> list[Check]:
        """Judge the answers."""
        return judge_propagates(answer, self.context, self._expect, elapsed_s=time.time() - self.options["since"])

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Ask the client for its status."""
        return [{"id": STATUS, "kind": "status"}]


def _name(fqdn: str, given: Json) -> Name:
    known = ip_addresses(fqdn, given)
    # AAAA records are optional: tailscaled gives none by default.
    family = 4 if any(":" not in entry for entry in known) else 6
    return Name(node=fqdn, fqdn=fqdn, addresses=known, families=(family,))
