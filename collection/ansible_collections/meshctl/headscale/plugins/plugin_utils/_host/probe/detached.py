# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leave a process behind that ends by itself at its deadline.

It depends on nothing: not on the controller, not on the connection, not on the Python that started it. The kernel ends it
at the deadline (SIGALRM with its default action), whatever it is doing.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def detach(work: Callable[[], None], kept: set, seconds: float) -> None:
    """Run `work` in a process that has lost its parent, its session and all descriptors but these."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        os.setsid()
        if os.fork():
            os._exit(0)
        # A timer is not inherited.
        signal.setitimer(signal.ITIMER_REAL, seconds)
        _close_all_but(kept)
        work()
    finally:
        os._exit(0)


def _close_all_but(kept: set) -> None:
    """Release inherited descriptors: the reader of our output waits for its last writer."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        numbers = list(range(3, 1024))
    for number in numbers:
        if number > 2 and number not in kept:
            try:
                os.close(number)
            except OSError:
                continue
