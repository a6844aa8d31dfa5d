# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conversations in one thread: their results, their pace, and that none holds up another."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import talks


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Return connected sockets, more than are used at once."""
    found = [socket.socketpair() for _number in range(100)]
    yield found
    for near, far in found:
        near.close()
        far.close()


def _echoed(pair: tuple[socket.socket, socket.socket], patience: float = 5.0) -> talks.Talk:
    near, far = pair
    limit = time.monotonic() + patience
    if not (yield far, select.POLLOUT, limit):
        return "not ready"
    far.send(b"x")
    return near.recv(1) if (yield near, select.POLLIN, limit) else "silent"


def _waits(pair: tuple[socket.socket, socket.socket], until: float) -> talks.Talk:
    came = yield pair[0], select.POLLIN, until
    return "came" if came else "silent"


def test_each_has_its_result_in_the_order_of_the_items(pairs: Any) -> None:
    found = talks.together(_echoed, pairs, time.monotonic() + 5)
    assert found == [b"x"] * len(pairs)


def test_one_that_waits_or_fails_holds_up_no_other(pairs: Any) -> None:
    until = time.monotonic() + 0.4

    def begin(index: int) -> talks.Talk:
        if index == 0:
            return (yield from _waits(pairs[index], until))
        if index == 1:
            raise OSError("broken pipe")
        return (yield from _echoed(pairs[index]))

    found = talks.together(begin, list(range(20)), until)
    assert found == ["silent", {"outcome": "broken", "error": "broken pipe"}, *[b"x"] * 18]


def test_what_has_not_ended_in_time_is_none_and_lets_go_of_its_sockets() -> None:
    class Late:
        """A socket that notes that it was closed."""

        closed = False

    def never() -> talks.Talk:
        with closing(socket.socketpair()[0]) as sock:
            try:
                while True:
                    yield sock, select.POLLIN, time.monotonic() + 60
            finally:
                Late.closed = True

    began = time.monotonic()
    assert talks.together(lambda _item: never(), [1], began + 0.2) == [None]
    assert Late.closed
    assert time.monotonic() - began < 5


def test_no_more_begin_in_a_second_than_the_pace_says(pairs: Any) -> None:
    begun: list[float] = []

    def begin(pair: Any) -> talks.Talk:
        begun.append(time.monotonic())
        return _echoed(pair)

    began = time.monotonic()
    talks.together(begin, pairs[:60], began + 20, per_second=40)
    # Some begin together, and the last of them after a second and a half.
    assert begun[-1] - began >= 1.3
    # None is early, however late others were on a busy machine.
    assert all(at - began >= place // 8 * 8 / 40 for place, at in enumerate(begun))


def test_alone_returns_the_result_of_one(pairs: Any) -> None:
    assert talks.alone(_echoed(pairs[0])) == b"x"
    assert talks.alone(_waits(pairs[1], time.monotonic() + 0.05)) == "silent"
