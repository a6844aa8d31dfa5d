# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the host's sockets, routes and files."""

from __future__ import annotations

import errno
import os
import socket
import struct
import time

from .allowed import allowed_config
from .base import MAX_BODY, Unseen, left, read_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, List, Tuple

_MAPPED = bytes(10) + b"\xff\xff"
_IPV4_BYTES = 4


def listening(ask: Dict, until: float) -> Json:
    """Return the listening sockets, with their process if this user may see it."""
    ports = {int(port) for port in ask.get("ports") or []}
    found = []
    for proto in ("tcp", "tcp6", "udp", "udp6"):
        try:
            with open("/proc/net/" + proto) as file:
                lines = file.readlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] != ("0A" if proto.startswith("tcp") else "07"):
                continue
            address, port = _proc_address(words[1])
            if not ports or port in ports:
                # Of a listening socket, the second half is the number of connections that wait.
                queue = int(words[4].partition(":")[2], 16)
                found.append(
                    {"proto": proto[:3], "address": address, "port": port, "queue": queue, "inode": int(words[9])}
                )
    owners = _owners({entry["inode"] for entry in found}, until)
    for entry in found:
        entry["process"] = owners.get(entry.pop("inode"))
    return found


def _proc_address(text: str) -> Tuple:
    digits, _colon, port = text.partition(":")
    words = [struct.pack("=I", int(digits[i : i + 8], 16)) for i in range(0, len(digits), 8)]
    packed = b"".join(words)
    # A socket of IPv6 that is bound to an address of IPv4 listens on nothing else.
    if packed.startswith(_MAPPED):
        packed = packed[len(_MAPPED) :]
    family = socket.AF_INET if len(packed) == _IPV4_BYTES else socket.AF_INET6
    return socket.inet_ntop(family, packed), int(port, 16)


def _owners(inodes: set[int], until: float) -> Dict:
    found: Dict = {}
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    for pid in [name for name in os.listdir("/proc") if name.isdigit()]:
        if len(found) == len(wanted) or time.monotonic() >= until:
            break
        try:
            for handle in os.listdir(f"/proc/{pid}/fd"):
                inode = wanted.get(os.readlink(f"/proc/{pid}/fd/{handle}"))
                if inode is not None and inode not in found:
                    with open(f"/proc/{pid}/comm") as file:
                        found[inode] = {"pid": int(pid), "name": file.read().strip()}
        except OSError:
            continue
    return found


def _ip(words: List, until: float) -> List:
    import subprocess

    try:
        done = subprocess.run(
            ["ip", "-j", *words],  # noqa: S607
            capture_output=True, timeout=left(until), check=False,
        )  # fmt: skip
    except FileNotFoundError as exc:
        raise Unseen("no_ip", "the command ip is missing on the host: install iproute2") from exc
    except subprocess.TimeoutExpired as exc:
        raise Unseen("timeout", "ip {} did not end in time".format(" ".join(words))) from exc
    if done.returncode:
        raise Unseen("refused", done.stderr.decode("utf-8", "replace").strip()[:300])
    # Some versions of ip repeat a name.
    return list(read_json(done.stdout or b"[]", repeated=True))


def addresses(_ask: Dict, until: float) -> Json:
    return [
        {
            "name": link.get("ifname"),
            "type": link.get("link_type") or "",
            "up": "UP" in (link.get("flags") or []),
            "carrier": "NO-CARRIER" not in (link.get("flags") or []),
            "addresses": ["{}/{}".format(a.get("local"), a.get("prefixlen")) for a in link.get("addr_info") or []],
        }
        for link in _ip(["address", "show"], until)
        if link.get("ifname")
    ]


def routes(ask: Dict, until: float) -> Json:
    """Return the routes of every table, or with `rules` the rules that select one; and the route to each address in `get`."""
    found: Dict = {"get": {}}
    if ask.get("rules"):
        found["rules"] = {"ipv4": _ip(["rule", "show"], until), "ipv6": _ip(["-6", "rule", "show"], until)}
    else:
        found["routes"] = _ip(["route", "show", "table", "all", "type", "unicast"], until)
    for address in ask.get("get") or []:
        try:
            found["get"][address] = _ip(["route", "get", str(address)], until)[0]
        except Unseen as exc:
            found["get"][address] = {"error": str(exc)}
    return found


def files(ask: Dict, _until: float) -> Json:
    found: Dict = {}
    for path in ask.get("paths") or []:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                found[path] = {"text": file.read(MAX_BODY)}
        except OSError as exc:
            found[path] = {"error": exc.strerror or str(exc)}
    return found


def modes(ask: Dict, _until: float) -> Json:
    """Return what the group and the other users of the host may do with each file: a directory above it may keep them away."""
    found: Dict = {}
    for path in ask.get("paths") or []:
        real = os.path.realpath(str(path))
        try:
            mode, above = os.stat(real).st_mode, real
            while os.path.dirname(above) != above:
                above = os.path.dirname(above)
                if not os.stat(above).st_mode & 1:
                    mode &= ~7
        except OSError as exc:
            found[path] = {"error": exc.strerror or str(exc)}
        else:
            found[path] = {"mode": f"{mode & 0o777:03o}"}
    return found


def config(ask: Dict, _until: float) -> Json:
    """Return the settings of headscale that are examined, and none that may be secret."""
    path = str(ask.get("path") or "/etc/headscale/config.yaml")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return {"path": path, "text": allowed_config(file.read(MAX_BODY))}
    except OSError as exc:
        kind = "not_permitted" if exc.errno in (errno.EACCES, errno.EPERM) else "no_config"
        raise Unseen(kind, f"{path}: {exc.strerror}") from exc
    except Unseen as exc:
        raise Unseen(exc.kind, f"{path}: {exc}") from exc


def clock(_ask: Dict, _until: float) -> Json:
    return {"now": time.time()}
