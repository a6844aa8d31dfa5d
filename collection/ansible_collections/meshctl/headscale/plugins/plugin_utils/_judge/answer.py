# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a host's answer, whatever its shape.

A field may be missing, null or of another type. These readers never raise, and the value that they return for such a
field never satisfies an expectation.
"""

from __future__ import annotations

import contextlib
import math
import re
import socket
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, TypeAlias

from .reason import Reason, of_error

Json: TypeAlias = Any

# Whatever a host says, what is kept of it is short.
_LONGEST_KEPT = 64
_SCOPE = re.compile(r"[A-Za-z0-9_.-]{1,15}")


def mapping(value: Json) -> dict[str, Any]:
    """Return `value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Json) -> list[Any]:
    """Return `value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: Json) -> str:
    """Return text as it is, a whole number as text, and anything else as an empty text."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return ""


def number(value: Json) -> float | None:
    """Return `value` if it is a finite number; a whole number stays whole, because people read it in reports."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an integer that no float can hold
        return None


def numbers(value: Json) -> list[float]:
    """Return the finite numbers of a list."""
    return [found for entry in items(value) if (found := number(entry)) is not None]


def addresses(value: Json) -> list[str]:
    """Return the IP addresses of a list in their usual spelling, IPv4 first."""
    found = {known for entry in items(value) if (known := address(entry))}
    return sorted(found, key=lambda entry: (":" in entry, entry))


def address(value: Json) -> str:
    """Return an IP address in its usual spelling, empty if `value` is not one."""
    said = text(value)
    return _spelled(said) if len(said) <= _LONGEST_KEPT else _spelled.__wrapped__(said)


# In a large mesh, each node judges the same addresses again and again.
@lru_cache(maxsize=1 << 14)
def _spelled(said: str) -> str:
    host = said.partition("/")[0].strip()
    # The C library takes a tenth of the time, but spells IPv6 that contains IPv4 differently.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.suppress(OSError, ValueError):
        found = socket.inet_ntop(family, socket.inet_pton(family, host))
        if family == socket.AF_INET or "." not in found:
            return found
    # Python takes any text for the scope of an address.
    _address, percent, scope = host.partition("%")
    try:
        return str(ip_address(host)) if not percent or _SCOPE.fullmatch(scope) else ""
    except ValueError:
        return ""


def endpoint(value: Json) -> tuple[str, int]:
    """Return address and port of `192.0.2.1:41641` or `[2001:db8::1]:41641`; the address is empty for anything else."""
    host, _colon, port = text(value).rpartition(":")
    known = address(host.strip("[]"))
    usable = known and port.isdecimal() and port.isascii() and len(port) <= len("65535")
    return (known, int(port)) if usable else ("", 0)


def moment(value: Json) -> float | None:
    """Return an RFC 3339 time as epoch seconds; None for headscale's zero and for anything that is not a time."""
    said = text(value)
    if not said or said.startswith("0001-"):
        return None
    head, dot, fraction = said.partition(".")
    if dot:  # Go writes up to nine digits
        zone = fraction.lstrip("0123456789")
        digits = fraction[: len(fraction) - len(zone)]
        said = f"{head}.{digits[:6].ljust(6, '0')}{zone}"
    try:
        found = datetime.fromisoformat(said.replace("Z", "+00:00"))
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()  # noqa: UP017
    except (ValueError, OverflowError):
        return None


def observed(answer: Json) -> Iterator[dict[str, Any]]:
    """Yield the observations of an answer, also those that are steps of another one, or were made during a capture."""
    for found in map(mapping, mapping(mapping(answer).get("observations")).values()):
        yield found
        data = mapping(found.get("data"))
        if within := {"sequence": data, "capture": mapping(data.get("during"))}.get(text(found.get("kind"))):
            yield from map(mapping, within.values())


def error_of(observation: Json) -> str:
    """Return the type of an observation's error, empty if it was made."""
    return "" if observation.get("ok") is True else text(mapping(observation.get("error")).get("type")) or "unknown"


class Answer:
    """A probe's answer: observations by name; each was made or failed."""

    def __init__(self, answer: Json) -> None:
        self._answer = mapping(answer)
        self._observations = mapping(self._answer.get("observations"))

    def data(self, name: str) -> Json:
        """Return an observation's data, None if the observation failed."""
        observation = mapping(self._observations.get(name))
        return observation.get("data") if observation.get("ok") is True else None

    def why(self, name: str) -> Reason:
        """Return why an observation failed."""
        error = self.error(name)
        return of_error(
            text(error.get("message")) or "the host did not report this observation", text(error.get("type"))
        )

    @property
    def failed(self) -> bool:
        """Whether the host did not answer at all."""
        return bool(mapping(self._answer.get("failure")))

    def error(self, name: str) -> dict[str, Any]:
        """Return the error of a failed observation."""
        observation = mapping(self._observations.get(name))
        return mapping(observation.get("error")) or mapping(self._answer.get("failure"))

    @property
    def now(self) -> float | None:
        """Return the time on the host's clock during the probe."""
        return number(self.host.get("now"))

    @property
    def host(self) -> dict[str, Any]:
        """Return what the probe said about the host itself."""
        return mapping(self._answer.get("host"))
