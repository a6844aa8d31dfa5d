# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tasks of `up` compare: each action notes it when it is done, for `meshctl` to compare the same again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...module_utils._plain import plain

VARIABLE: Final = "MESHCTL_UP_NOTES"
"""The environment variable that names the file of the notes; without it, nothing is noted."""
POLICY_NOTE: Final = "/var/lib/headscale/meshctl_before_policy_story.json"
"""Where a story about the policy notes, on the server, what it changes."""
# What a task that joins a client for the first time has in addition.
_ONCE: Final = ("auth_key", "force", "require")


def note(kind: str, host: str, data: Mapping[str, Any]) -> None:
    """Note what a task has compared on a host."""
    if not (path := os.environ.get(VARIABLE)):
        return
    line = json.dumps({"kind": kind, "host": host, "data": plain(dict(data))}) + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "ab", buffering=0) as file:
            file.write(line.encode())
    except OSError:
        # Incomplete notes would hide a difference.
        Path(path).unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class Notes:
    """What an `up` compared, by host."""

    lab: Mapping[str, Any]
    binaries: Mapping[str, Any]
    server: str
    nodes: Mapping[str, Any]
    """How the server is asked for its nodes."""
    services: Mapping[str, list[Any]]
    clients: Mapping[str, Mapping[str, Any]]
    addresses: Mapping[str, list[str]]
    """Mesh addresses that other tasks use."""


def read(lines: Iterable[str]) -> Notes | None:
    """Return the notes of an `up`; None if it did anything that a further `up` cannot compare without a play."""
    single: dict[str, tuple[str, Any]] = {}
    services: dict[str, dict[str, Any]] = {}
    by_host: dict[str, dict[str, Any]] = {"client": {}, "addresses": {}}
    try:
        for line in lines:
            entry = json.loads(line)
            kind, host, data = str(entry["kind"]), str(entry["host"]), dict(entry["data"])
            if kind == "service" and data["state"] == "started":
                fits = services.setdefault(host, {}).setdefault(data["name"], data) == data
            elif kind == "client" and data["state"] == "joined":
                lasting = {key: value for key, value in data.items() if key not in _ONCE}
                fits = by_host[kind].setdefault(host, lasting) == lasting
            elif kind == "addresses":
                fits = by_host[kind].setdefault(host, data["addresses"]) == data["addresses"]
            else:
                fits = kind in ("lab", "binaries", "nodes") and single.setdefault(kind, (host, data)) == (host, data)
            if not fits:
                return None
        return Notes(
            lab=single["lab"][1],
            binaries=single["binaries"][1],
            server=single["nodes"][0],
            nodes=single["nodes"][1],
            services={host: list(found.values()) for host, found in services.items()},
            clients=by_host["client"],
            addresses=by_host["addresses"],
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
