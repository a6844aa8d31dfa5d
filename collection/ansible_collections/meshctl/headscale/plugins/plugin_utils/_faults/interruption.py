# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn the signals that end a task into an exception, so that a fault is undone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator
from types import FrameType

_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Raise `KeyboardInterrupt` in the block at the first signal, or when ansible-playbook is killed; once.

    Ansible ends a task's process without unwinding it, and interrupts it again after five seconds.
    """
    heard: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        heard.append(number)
        if len(heard) == 1:
            raise KeyboardInterrupt

    parent = os.getppid()
    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    _signal_when_orphaned(signal.SIGTERM)
    try:
        if os.getppid() != parent:
            raise KeyboardInterrupt
        yield
    finally:
        _signal_when_orphaned(0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal_when_orphaned(number: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(number), 0, 0, 0)
