# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hold many conversations over sockets in one thread.

A conversation is a generator. It yields a socket, the event to wait for and the time until which it waits, and is told whether
the event came; its result is what it returns.
"""

from __future__ import annotations

import select
import time

from .base import left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Begin, Dict, Json, List, Talk

_AT_ONCE = 64
# Those that begin in this time begin together: one by one, a host would wake up for each.
_TOGETHER_S = 0.2
# What has reached the deadline still returns how far it came.
_SPARE_S = 0.1


def alone(talk: Talk) -> Json:
    """Hold one conversation; return its result."""
    came: bool | None = None
    try:
        while True:
            sock, event, limit = talk.send(came)
            ready = select.poll()
            ready.register(sock, event)
            came = bool(ready.poll(int(left(limit) * 1000)))
    except StopIteration as end:
        return end.value


def together(begin: Begin, items: List, until: float, per_second: float = 0) -> List:
    """Hold the conversation `begin(item)` for every item; return the results, None for those that did not end in time.

    With `per_second`, no more of them begin in a second.
    """
    talks = _Talks(len(items))
    group = max(1, int(per_second * _TOGETHER_S))
    began, begun = time.monotonic(), 0
    try:
        while begun < len(items) or talks.waiting:
            now = time.monotonic()
            if now >= until + _SPARE_S:
                break
            due = began + begun // group * group / per_second if per_second else began
            if begun == len(items) or len(talks.waiting) >= _AT_ONCE or now >= until:
                due = until + _SPARE_S
            if now >= due:
                talks.go_on(begun, begin(items[begun]), None)
                begun += 1
            else:
                talks.wait(due)
    finally:
        talks.close()
    return talks.results


class _Talks:
    """Conversations that wait for their sockets, and the results of those that have ended."""

    def __init__(self, count: int) -> None:
        self.results: List = [None] * count
        self.waiting: Dict = {}
        self._ready = select.epoll()

    def go_on(self, index: int, talk: Talk, came: bool | None) -> None:
        try:
            sock, event, limit = talk.send(came)
        except StopIteration as end:
            self.results[index] = end.value
            return
        except Exception as exc:  # an error of one item must not affect the others
            self.results[index] = {"outcome": "broken", "error": str(exc) or repr(exc)}
            return
        number = sock.fileno()
        try:
            self._ready.register(number, event | select.EPOLLONESHOT)
        except FileExistsError:
            self._ready.modify(number, event | select.EPOLLONESHOT)
        self.waiting[number] = (index, talk, limit)

    def wait(self, until: float) -> None:
        """Wait for an event or the end of someone's patience, no longer than `until`, and go on with those."""
        limit = min([until, *(limit for _index, _talk, limit in self.waiting.values())])
        for number, _event in self._ready.poll(left(limit)):
            if number in self.waiting:
                index, talk, _limit = self.waiting.pop(number)
                self.go_on(index, talk, True)
        now = time.monotonic()
        for number in [number for number, (_index, _talk, limit) in self.waiting.items() if limit <= now]:
            index, talk, _limit = self.waiting.pop(number)
            self.go_on(index, talk, False)

    def close(self) -> None:
        for _index, talk, _limit in self.waiting.values():
            talk.close()
        self._ready.close()
