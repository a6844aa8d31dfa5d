# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell how busy the host was: how long the probe waited for a core, and what the kernel says of all processes."""

from __future__ import annotations

import os
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, List

_lock = threading.Lock()
_waits: List = []


def note_wait() -> None:
    """Note how long this thread has computed and has waited for a core, in seconds; call it when the thread ends."""
    found = _waited()
    if found:
        with _lock:
            _waits.append(found)


def _waited() -> List:
    """Return the seconds for which this thread has computed, and has waited for a core; nothing if that is unknown."""
    found = [int(word) / 1e9 for word in _read("/proc/thread-self/schedstat").split()[:2]]
    return found if len(found) == 2 else []


class ThreadWatch:
    """Compares how long this thread has computed, and has waited for a core, at two moments."""

    def __init__(self) -> None:
        self._began = _waited()

    def figures(self) -> Dict:
        """Return what is known of the time since then."""
        now = _waited()
        if not (now and self._began):
            return {}
        ran, waited = (round(after - before, 3) for before, after in zip(self._began, now))
        return _figures(ran, waited)


class Watch:
    """Compares the kernel's counters of two moments."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._pressure = _pressure()
        self._ticks = _ticks()

    def figures(self) -> Dict:
        """Return what is known of the time since then."""
        note_wait()
        with _lock:
            ran, waited = (round(sum(column), 3) for column in zip(*_waits)) if _waits else (None, None)
        found = _figures(ran, waited)
        pressure, ticks = _pressure(), _ticks()
        if pressure is not None and self._pressure is not None:
            seconds = max(0.001, time.monotonic() - self._began)
            found["pressure"] = round(min(1.0, (pressure - self._pressure) / 1e6 / seconds), 2)
        spent = sum(ticks) - sum(self._ticks)
        if len(ticks) > 7 and len(self._ticks) > 7 and spent > 0:
            found["stolen"] = round((ticks[7] - self._ticks[7]) / spent, 2)
        return found


def _figures(ran: float | None, waited: float | None) -> Dict:
    return {"cores": _cores(), "ran_s": ran, "waited_s": waited, "load": _number(_read("/proc/loadavg"))}


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(4096)
    except OSError:
        return ""


def _number(words: str) -> float | None:
    try:
        return float(words.split(maxsplit=1)[0])
    except (IndexError, ValueError):
        return None


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def _pressure() -> float | None:
    """Return the microseconds in which a process waited for a core, since the system started."""
    some = _read("/proc/pressure/cpu").partition("\n")[0]
    return _number(some.rpartition("total=")[2]) if "total=" in some else None


def _ticks() -> List:
    """Return the time of all cores together, by what they did; the eighth is what a hypervisor took."""
    words = _read("/proc/stat").partition("\n")[0].split()
    return [int(word) for word in words[1:9]] if words[:1] == ["cpu"] else []
