# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Let a node listen for its peers for a while; see the module of the same name."""

from __future__ import annotations

import time
from typing import Any

from ..module_utils._errors import BadInput
from ..plugin_utils._action.errors import failure, reports_errors
from ..plugin_utils._action.probing import ProbingAction
from ..plugin_utils._judge.answer import Answer, addresses, mapping, text

_LOOK_S = 5.0
_LONGEST_S = 900.0
_SLICED_S = 300.0
_HIGHEST_PORT = 65535
# Ports of well-known services, and each tenth of the others: a firewall may drop a range of ports.
_TENTH = (65536 - 1024) // 10
_RANGES = [(512, 1023), *((low, low + _TENTH - 1) for low in range(1024, 65536 - _TENTH + 1, _TENTH))]


class ActionModule(ProbingAction):
    """Start the probe's listener."""

    ARGUMENTS = {  # noqa: RUF012
        "seconds": {"type": "float", "default": 40.0},
        "addresses": {"type": "list", "elements": "str"},
        "ports": {"type": "list", "elements": "int"},
        "watch": {"type": "bool", "default": False},
        "witness": {"type": "bool", "default": False},
        "spread": {"type": "bool", "default": False},
        "required": {"type": "bool", "default": True},
        "state": {"type": "str", "choices": ["started", "ended"], "default": "started"},
    }

    @reports_errors
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return where the node listens, as the fact `mesh_serving`."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.start(task_vars)
        if self.options["state"] == "ended":
            return {**result, "changed": False, "ansible_facts": {"mesh_serving": {}, "mesh_noted": self._end()}}
        serving: dict[str, Any] = {}
        if not self._task.check_mode and (self.setting("probe_ports") or self.setting("backend") != "hosts"):
            serving = self._serve(self._ports())
        if self.options["required"] and "error" in serving:
            return {**result, **failure(f"{self.host} cannot listen: {serving['error']}", "could_not_run")}
        return self.with_silence({**result, "changed": False, "ansible_facts": {"mesh_serving": serving}})

    def _end(self) -> dict[str, Any]:
        """End the listener, and return the datagrams of hosts outside the mesh that it has noted, by their nonce."""
        end = mapping(mapping(self.variable("mesh_serving")).get("end"))
        if not end:
            return {}
        known = [text(self.of_host(host, "mesh_knocked")) for host in self.group("headscale")]
        request = {"id": "end", "kind": "call", **end, "nonces": [nonce for nonce in known if nonce]}
        return mapping(mapping(Answer(self.probe([request], seconds=_LOOK_S)).data("end")).get("noted"))

    def _ports(self) -> list[int]:
        """Return the ports to choose from; existing hosts listen only on those that they name."""
        named: list[int] = self.setting("probe_ports")
        given: list[int] = self.options["ports"] or []
        if other := [port for port in given if not 0 < port <= _HIGHEST_PORT]:
            raise BadInput(f"ports names {other[0]}: write ports from 1 to {_HIGHEST_PORT}")
        if self.setting("backend") == "hosts" and (other := [port for port in given if port not in named]):
            raise BadInput(f"ports names {other[0]}: existing hosts listen only on ports in mesh_probe_ports")
        return given or named

    def _own_addresses(self) -> list[str]:
        """Return the node's mesh addresses, from the server or from the client: either may be out of order."""
        record = mapping(mapping(self.shared("mesh_nodes")).get(self.host)) or mapping(self.variable("mesh_client"))
        return addresses(record.get("addresses"))

    def _serve(self, ports: list[int]) -> dict[str, Any]:
        given = self.options["addresses"]
        known = addresses(given) or self._own_addresses()
        if given is not None and len(known) != len(set(given)):
            raise BadInput(f"the addresses are {given!r}: write IP addresses")
        if not known:
            return {"error": "it has no mesh address"}
        # Other slices may come to this point later.
        wanted = max(self.options["seconds"], _SLICED_S if self.setting("slices") > 1 else 0)
        seconds = min(_LONGEST_S, wanted * self.setting("patience"))
        request = {
            "id": "serve",
            "kind": "serve",
            "addresses": known,
            "ports": ports,
            "seconds": seconds,
            "every": bool(self.options["ports"]),
            "watch": self.options["watch"],
            "witness": self.options["witness"],
            "ranges": _RANGES if self.options["spread"] and not ports else [],
        }
        until = time.time() + seconds
        seen = Answer(self.probe([request], seconds=_LOOK_S))
        found = mapping(seen.data("serve"))
        return {**found, "until": until} if found else {"error": seen.why("serve")}
