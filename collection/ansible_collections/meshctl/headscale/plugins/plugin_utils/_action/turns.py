# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Let hosts that share cores take turns, a few of them at a time.

A transfer between two clients takes a tenth of the CPU when it is alone: tailscaled then reads many packets at once. Ansible's
`throttle` is for whole tasks, each of which costs every host a process.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from typing import TYPE_CHECKING

from ...module_utils._errors import BadInput
from .. import _paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

_LOOK_S = 0.05


@contextlib.contextmanager
def turn(name: str, *, at_once: int, seconds: float) -> Iterator[None]:
    """Wait until fewer than `at_once` others have a turn, at most so many seconds; a process that ends gives up its turn."""
    with contextlib.ExitStack() as stack:
        places = []
        with contextlib.suppress(OSError, BadInput):
            directory = _paths.state_dir() / "turns"
            _paths.make(directory)
            places = [stack.enter_context((directory / f"{name}-{place}").open("a")) for place in range(at_once)]
        until = time.monotonic() + seconds
        while places and not any(map(_taken, places)) and time.monotonic() < until:
            time.sleep(_LOOK_S)
        yield


def _taken(place: IO[str]) -> bool:
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks: no process waits.
        return True
    return True
