# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare URLs and names as clients do."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from .._judge.answer import Json, address
from .._judge.interfaces import is_local

_PORTS = {"https": 443, "http": 80}


def normal(url: str) -> tuple[str, str, int | None, str]:
    """Return scheme, host, port and path of a URL, so that equal URLs compare equal."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme), parts.path.rstrip("/")
    except ValueError:
        return "", url, None, ""


def host(url: str) -> str:
    """Return the name or address in a URL, empty if there is none."""
    scheme, found, _port, _path = normal(url)
    return found if scheme else ""


def authority(found: str, port: Json) -> str:
    """Return a host and a port as URLs have them."""
    return f"[{found}]:{port}" if ":" in found else f"{found}:{port}"


def names(*hosts: str) -> list[str]:
    """Return the hosts that are names and not addresses, each once."""
    return [found for found in dict.fromkeys(hosts) if found and not address(found)]


def problem(url: str) -> str:
    """Return why clients cannot rely on a server_url, empty if they can."""
    scheme, found, _port, _path = normal(url)
    if scheme not in _PORTS or not found:
        return f"{url!r} is not an http or https URL: correct server_url"
    known = address(found)
    if scheme == "https" or found == "localhost" or (known and is_local(known)):
        return ""
    return (
        "after an interruption clients of an http server try only https on port 443, and never recover: give the server a "
        f"certificate and set server_url to https://{found}"
    )


def is_loopback(found: str) -> bool:
    """Whether a host is the one that asks for it, by its name or its address."""
    known = address(found)
    return found == "localhost" or bool(known and ip_address(known).is_loopback)


def within(name: str, domain: str) -> bool:
    """Whether a name is a domain or below it."""
    low = name.lower().rstrip(".")
    return low == domain or low.endswith(f".{domain}")


def overlap(one: str, other: str) -> bool:
    """Whether two networks have addresses in common."""
    try:
        first, second = ip_network(one, strict=False), ip_network(other, strict=False)
    except ValueError:
        return False
    return first.version == second.version and first.overlaps(second)
