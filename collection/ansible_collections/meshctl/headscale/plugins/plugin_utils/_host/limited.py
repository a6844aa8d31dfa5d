# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a command on a machine of a lab, which may neither end nor stop sending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .bounds import Bounds, run
from .guard import MOST_BYTES

_LONGEST_ERRORS = 2000


class Done(NamedTuple):
    """The end of a command."""

    status: int
    output: str
    errors: str
    """The beginning of what it wrote to standard error."""
    exceeded: str
    """What the machine did, if the command was stopped; empty if it ended."""


def output(
    command: Sequence[str],
    *,
    seconds: float,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    new_session: bool = False,
) -> Done:
    """Run a command and return how it ended; raise OSError if it cannot be started."""
    bounds = Bounds(seconds=seconds, most_bytes=MOST_BYTES)
    status, out, err = run(command, stdin=stdin, bounds=bounds, environment=environment, new_session=new_session)
    exceeded = {"": "", "bytes": f"sent more than {MOST_BYTES // 1_000_000} MB"}.get(
        bounds.exceeded, f"did not end within {seconds:g} s"
    )
    return Done(status, out.decode(errors="replace"), err[:_LONGEST_ERRORS].decode(errors="replace"), exceeded)
