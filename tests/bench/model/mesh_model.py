# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for hosts, to measure the controller. It proves nothing about any mesh, and no test of a story uses it."""

from __future__ import annotations

import json
import random
from typing import Any, ClassVar

from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: mesh_model
short_description: Answers the probe from a model in which every echo request is answered
description:
  - Only tests/bench/model.py uses this connection, to measure what the controller needs for many hosts.
options: {}
"""

_MARK = "#meshctl-answer "
_DATA: dict[str, Any] = {"addresses": [], "metrics": {}}


class Connection(ConnectionBase):
    """Answers observations of the kinds that reachability needs, without any host."""

    transport = "mesh_model"
    allow_executable: ClassVar[bool] = False

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Return the model's answer to a request of the probe."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        head, _newline, rest = (in_data or b"").partition(b"\n")
        if not head:
            return 0, b"", b""
        code, asked, _seconds = map(int, head.split())
        request = json.loads(rest[code : code + asked])
        answer = {
            "host": {"hostname": "model", "python": "3.11", "euid": 0},
            "observations": _made(request["observe"]),
        }
        return 0, f"\n{_MARK}{json.dumps(answer)}\n".encode(), b""

    def put_file(self, in_path: str, out_path: str) -> None:
        """Refuse: the model has no files."""
        raise NotImplementedError

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Refuse: the model has no files."""
        raise NotImplementedError

    def close(self) -> None:
        """Do nothing."""
        self._connected = False


def _made(requests: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        request["id"]: {"kind": request["kind"], "ok": True, "duration_ms": 1.0, "data": _data(request)}
        for request in requests
    }


def _data(request: dict[str, Any]) -> Any:
    match request["kind"]:
        case "icmp":
            return {address: _pinged(request["count"]) for address in request["targets"]}
        case "capture":
            return {"dropped": 0, "flows": [], "during": _made(request["during"])}
        case "sequence":
            return _made(request["steps"])
        case kind:
            return _DATA[kind]


def _pinged(count: int) -> dict[str, Any]:
    trips = [round(random.uniform(0.4, 9.0), 3) for _number in range(count)]  # noqa: S311 - figures, no secrets
    return {"sent": count, "received": count, "rtt_ms": trips, "errors": []}
