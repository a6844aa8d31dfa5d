# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts that are the same on all hosts of a task, made once.

Ansible copies and converts the facts in each host's result several times. Facts of all hosts on each host would take time by
the square of the number of hosts. In a process that runs the task for all hosts, they get the same objects instead.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

Facts = dict[str, Any]


class _State:
    """What is known in this process; a fork that Ansible makes for one task forgets it with its end."""

    made: tuple[Hashable, Facts] | None = None
    taken: Facts | None = None


_state = _State()


def facts(key: Hashable, make: Callable[[], Facts], *, first: bool) -> tuple[Facts, Facts]:
    """Return the facts of a host, and those that its result must contain: all for the first host of a task.

    Without `taking`, the result must contain all of them for every host.
    """
    known = _state.made
    if first or known is None or known[0] != key or _state.taken is None:
        made = make()
        _state.made = (key, made) if first else known
        return made, made
    _state.taken.update(known[1])
    return known[1], {}


@contextlib.contextmanager
def taking() -> Iterator[Facts]:
    """Provide the facts that a task gives its host besides those in its result, in the process that keeps all facts."""
    found: Facts = {}
    _state.taken = found
    try:
        yield found
    finally:
        _state.taken = None
