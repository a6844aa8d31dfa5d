# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Show labs that are up, and enter their machines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from meshctl_headscale import _collection, _tail, _terminal
from meshctl_headscale._exit import BadInputError, MeshctlError, sentence

PROBE_S = 5.0
_AT_ONCE = 16
_SHELL = ("/bin/bash", "-i")
_MOST_SERVICES = 1000
_KINDS = {"clients": "client", "relays": "relay"}


@dataclass(kw_only=True)
class Machine:
    """A machine of a lab, and what its node reports."""

    host: str
    kind: str
    subnet: str
    address: str
    mesh_addresses: list[str] = field(default_factory=list)
    online: bool | None = None
    """What the control server reports; None when the machine is not a node or the server does not answer."""
    state: str = ""
    """The state that tailscaled reports."""
    relay: str = ""
    peers: int = 0
    direct: int = 0
    pid: int | None = None
    uptime_s: int | None = None
    guest: bool = False
    """Whether it is a virtual machine, which has no process in the lab and is entered by ssh."""

    @property
    def reachable(self) -> bool:
        """Whether the machine can be probed."""
        return self.guest or self.pid is not None

    @property
    def node(self) -> bool:
        """Whether it is a node of the mesh, or may become one."""
        return self.kind in ("client", "spare")


def running(name: str) -> tuple[_collection.lab.Lab, _collection.lab_record.Record]:
    """Return the lab called `name` and its record; raise an error when it is not up."""
    found = _collection.lab.Lab(name)
    record = found.record
    if record is None:
        raise MeshctlError(sentence(f"{found.missing()}{_others(name)}"))
    return found, record


def _others(name: str) -> str:
    labs = _collection.lab
    others = [other for other in labs.names() if other != name and labs.Lab(other).record]
    return f"; labs that are up: {', '.join(others)} (--lab)" if others else ""


def enter(name: str, node: str, command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` in a machine of the lab."""
    found, record = running(name)
    if _guest(record, node):
        return found.enter(node, command)
    if node not in record.machines:
        known = sorted({*record.machines, *(other for other in record.topology["machines"] if _guest(record, other))})
        raise BadInputError(f"The lab '{name}' has no machine '{node}'. Its machines are: {', '.join(known)}.")
    if not record.machines[node].alive:
        raise MeshctlError(
            f"The machine '{node}' of the lab '{name}' has stopped. `meshctl up --lab {name}` starts it again."
        )
    return found.enter(node, command or _SHELL)


def _guest(record: _collection.lab_record.Record, node: str) -> bool:
    return bool((record.topology["machines"].get(node) or {}).get("kind") == "guest")


def execute(name: str, node: str, command: Sequence[str]) -> NoReturn:
    """Run `command` in a machine, which gets a terminal like this one and signals, and exit with its exit code."""
    words = enter(name, node, command)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        sys.exit(_terminal.run(words, _collection.lab.environment()))
    except FileNotFoundError:
        raise MeshctlError(f"{words[0]} is missing on this machine. `meshctl doctor` names its package.") from None


def status(name: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the documented object of `meshctl status`."""
    found, record = running(name)
    asked = {
        host: {"observe": observe, "deadline_s": PROBE_S}
        for host, observe in questions(found, record, variables).items()
    }
    return described(name, record, ask(found, _collection.package.script_of("probe"), asked))


def status_if_up(name: str, variables: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the status of a lab; None when no lab of that name is up (existing hosts)."""
    return status(name, variables) if _collection.lab.Lab(name).record else None


def questions(
    found: _collection.lab.Lab, record: _collection.lab_record.Record, variables: Mapping[str, str]
) -> dict[str, list[dict[str, Any]]]:
    """Return what to observe on which machine for the status of a lab."""
    known = {**variables, **_collection.lab_record.load_server(found.directory)}
    server = {
        "id": "nodes",
        "kind": "headscale",
        "path": "/api/v1/node",
        "url": known["mesh_server_url"],
        "api_key_file": known["mesh_api_key_file"],
    }
    rows = [row for row in _rows(record) if row.reachable]
    asked: dict[str, list[dict[str, Any]]] = {
        row.host: [{"id": "status", "kind": "status"}] for row in rows if row.node
    }
    servers = [row.host for row in rows if row.kind == "headscale"]
    return {**asked, **{host: [server] for host in servers[:1]}}


def ask(
    found: _collection.lab.Lab, script: _collection.package.Script, requests: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return what a script answers on each machine, or why it does not answer."""
    clean = ["env", "-i", *(f"{key}={value}" for key, value in _collection.lab.environment().items())]

    def one(node: str) -> dict[str, Any]:
        def enter(command: list[str]) -> list[str]:
            # The outer one keeps this process's environment from the machine, and the inner one ssh's from a guest.
            return [*clean, *found.enter(node, [*clean, *command])]

        try:
            return _collection.remote.run_in(enter, script, requests[node], deadline_s=PROBE_S)
        except (_collection.remote.RemoteError, OSError, RuntimeError) as error:
            return {"observations": {}, "failure": {"message": f"{node}: {error}"}}

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(requests, pool.map(one, requests), strict=True))


def described(name: str, record: _collection.lab_record.Record, answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the status of a lab from the answers of its machines."""
    machines = list(_rows(record))
    servers = [row.host for row in machines if row.kind == "headscale" and row.host in answers]
    known, problem = _by_key(_mapping(answers[servers[0]]) if servers else None)
    for row in machines:
        if row.node and row.host in answers:
            # A hostile machine may answer in any shape.
            _fill(row, _mapping(_mapping(_mapping(answers[row.host]).get("observations")).get("status")), known)
    return {
        "lab": name,
        "up": True,
        "created": record.created,
        "server": {"answers": known is not None, "problem": problem},
        "machines": [asdict(row) for row in machines],
    }


def _rows(record: _collection.lab_record.Record) -> Iterator[Machine]:
    facts = record.topology.get("facts") or {}
    for host, data in (record.topology.get("machines") or {}).items():
        fact = facts.get(host) or {}
        process = record.machines.get(host)
        alive = process is not None and process.alive
        yield Machine(
            host=host,
            kind=_KINDS.get(str(fact.get("group")), str(fact.get("group") or data.get("kind") or "")),
            subnet=str(data.get("subnet") or ""),
            address=str(data.get("address") or ""),
            pid=process.pid if process and alive else None,
            uptime_s=_uptime(process.started) if process and alive else None,
            guest=data.get("kind") == "guest",
        )


def _uptime(started_ticks: int) -> int:
    return max(0, int(time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / os.sysconf("SC_CLK_TCK")))


def _by_key(answer: Mapping[str, Any] | None) -> tuple[dict[str, Any] | None, str]:
    """Return the server's nodes by node key, or the reason why they are unknown."""
    if answer is None:
        return None, "the control server's machine is not running"
    observation = _mapping(_mapping(answer.get("observations")).get("nodes"))
    if not observation.get("ok"):
        error = _mapping(answer.get("failure")) or _mapping(observation.get("error"))
        return None, str(error.get("message") or "no answer")
    nodes = _mapping(observation.get("data")).get("nodes")
    return {str(_mapping(node).get("nodeKey")): _mapping(node) for node in _list(nodes)}, ""


def _fill(row: Machine, observation: Mapping[str, Any], known: Mapping[str, Any] | None) -> None:
    """Add what the node and the server report about a machine to its row."""
    if not observation.get("ok"):
        row.state = "no tailscaled"
        return
    data = _mapping(observation.get("data"))
    me = _mapping(data.get("Self"))
    peers = [_mapping(peer) for peer in _mapping(data.get("Peer")).values()]
    row.state = str(data.get("BackendState") or "")
    row.mesh_addresses = [str(address) for address in _list(data.get("TailscaleIPs"))]
    row.relay = str(me.get("Relay") or "")
    row.peers = len(peers)
    row.direct = sum(1 for peer in peers if peer.get("CurAddr"))
    if known is not None:
        node = known.get(str(me.get("PublicKey")))
        row.online = bool(node and node.get("online"))


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def log_files(name: str, node: str, service: str | None) -> dict[str, Path]:
    """Return the log file of each service of a machine; ignore links, which the machine could point anywhere."""
    lab = _collection.lab.Lab(name)
    directory = lab.directory / "logs"
    machines = sorted(entry.name for entry in directory.iterdir() if entry.is_dir()) if directory.is_dir() else []
    if not machines:
        raise MeshctlError(sentence(f"{lab.missing()}{_others(name)}"))
    record = lab.record
    if record and _guest(record, node):
        raise MeshctlError(
            f"'{node}' is a virtual machine, which keeps its own logs: "
            f"meshctl exec --lab {name} {node} -- journalctl -u {service or 'tailscaled'}"
        )
    if node not in machines:
        raise BadInputError(f"The lab '{name}' has no machine '{node}'. Its machines are: {', '.join(machines)}.")
    with os.scandir(directory / node) as entries:
        # The machine may create any number.
        services = sorted(entry.name for entry in islice(entries, _MOST_SERVICES))
    files = {each: directory / node / each / "current" for each in services}
    files["boot"] = lab.directory / "boot" / f"{node}.log"
    files = {name: path for name, path in files.items() if _tail.size(path)}
    if service is None:
        return files
    if service not in files:
        raise BadInputError(
            f"The machine '{node}' has no service '{service}'. Its services are: {', '.join(files) or 'none'}."
        )
    return {service: files[service]}
