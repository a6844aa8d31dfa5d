# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the HTTP proxy through which tailscaled asks, and connect through it. Its password stays on this host."""

from __future__ import annotations

import os
import socket

from .base import Unseen, left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, List, Tuple

_PROGRAM = "tailscaled"
_HEAD = 16384


def proxy_of(host: str) -> Tuple | None:
    """Return host, port and authorization of the proxy that tailscaled's environment has for a host, None if there is none."""
    environment = _environment()
    url = environment.get("HTTPS_PROXY") or environment.get("https_proxy") or ""
    if not url or _is_excepted(host, environment.get("NO_PROXY") or environment.get("no_proxy") or ""):
        return None
    scheme, slashes, rest = url.partition("://")
    if slashes and scheme != "http":
        return None
    login, _at, authority = (rest if slashes else url).split("/")[0].rpartition("@")
    name, _colon, port = authority.rpartition(":")
    if not (port.isascii() and port.isdecimal()):
        name, port = authority, "80"
    return name.strip("[]"), int(port), login


def connect_through(sock: socket.socket, host: str, port: int, login: str, until: float) -> None:
    """Ask the proxy at the other end of a connection for one to a host."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if login:
        from base64 import b64encode
        from urllib.parse import unquote

        lines.append("Proxy-Authorization: Basic " + b64encode(unquote(login).encode()).decode())
    sock.settimeout(left(until))
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    head = b""
    # What follows the head already belongs to the other end, so nothing more is read.
    while not head.endswith(b"\r\n\r\n") and len(head) < _HEAD:
        sock.settimeout(left(until))
        byte = sock.recv(1)
        if not byte:
            break
        head += byte
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(None, 2)
    if len(words) < 2 or not words[1].startswith("2"):
        raise Unseen(
            "proxy", "answers {} when asked for {}".format(words[1] if len(words) > 1 else "nothing", authority)
        )


def processes() -> List:
    """Return the processes of this host's tailscaled, as far as this user may see them."""
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and _is_own(pid)]


def _is_own(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/comm") as file:
            # A container's tailscaled has another network.
            return file.read().strip() == _PROGRAM and os.readlink(f"/proc/{pid}/ns/net") == os.readlink(
                "/proc/self/ns/net"
            )
    except OSError:
        return False


def _environment() -> Dict:
    """Return the environment of this host's tailscaled, empty if there is none or it is not readable."""
    for pid in processes():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                pairs = (entry.decode("utf-8", "replace").partition("=") for entry in file.read(1 << 20).split(b"\0"))
                return {name: value for name, _equals, value in pairs if name}
        except OSError:
            continue
    return {}


def _is_excepted(host: str, entries: str) -> bool:
    for entry in (part.strip() for part in entries.split(",")):
        bare = entry.split(":")[0] if entry.count(":") == 1 else entry
        if bare == "*" or (bare and (host == bare.lstrip(".") or host.endswith("." + bare.lstrip(".")))):
            return True
        if "/" in entry and _is_in(host, entry):
            return True
    return False


def _is_in(host: str, network: str) -> bool:
    from ipaddress import ip_address, ip_network

    try:
        return ip_address(host) in ip_network(network, False)
    except ValueError:
        return False
