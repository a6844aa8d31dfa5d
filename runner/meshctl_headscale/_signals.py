# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""End meshctl on Ctrl-C without a traceback, even during imports. Import this module first."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

_INTERRUPTED = 130
_PROGRAMS = ("meshctl", "__main__.py")


def end_quietly(leave: Callable[[int], NoReturn] = sys.exit) -> None:
    """End cleanly on a signal, except on one that was ignored when meshctl started."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        leave(_INTERRUPTED)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)


if os.path.basename(sys.argv[0]) in _PROGRAMS:  # noqa: PTH119 (pathlib would take longer than the rest)
    # Nothing needs cleaning up yet, and an import may swallow an exception.
    end_quietly(os._exit)
