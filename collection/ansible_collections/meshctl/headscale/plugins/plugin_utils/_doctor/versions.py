# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Know which versions of server and client work together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .._judge.answer import text

if TYPE_CHECKING:
    from .records import Server

SUPPORTED = (0, 29)
# The oldest client of each minor version of the server, the newest first.
_OLDEST_CLIENT = (((0, 29), (1, 80)), ((0, 28), (1, 74)), ((0, 25), (1, 62)))


def version_of(said: str) -> tuple[int, ...]:
    """Return the first two numbers of a version, none if it has none."""
    match = re.match(r"v?(\d+)\.(\d+)", said)
    return tuple(int(part) for part in match.groups()) if match else ()


def dotted(number: tuple[int, ...]) -> str:
    """Return numbers as a version."""
    return ".".join(map(str, number))


def of_server(server: Server) -> str:
    """Return the version that the server tells, empty if it does not."""
    body = next((text(row.get("body")) for row in server.rows("web") if text(row.get("url")).endswith("/version")), "")
    return next(iter(re.findall(r'"version":\s*"([^"]+)"', body)), "")


def oldest_client(said: str) -> tuple[int, ...]:
    """Return the oldest client that a version of the server accepts, none if that is unknown."""
    number = version_of(said)
    return next((client for minor, client in _OLDEST_CLIENT if number >= minor), ()) if number else ()
