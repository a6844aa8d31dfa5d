# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Send datagrams to a peer that serves, again and again from the same source port.

An answer counts however late it is: that the peer was held up is no loss.
"""

from __future__ import annotations

import json
import socket
import time
import zlib

from .serve import GREETING, LATE_COPIES
from .wire import family_of, outcome_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, List

_BYTES = 64
# A flow that is silent for this long is compared with a new one, which gets this many datagrams.
_SILENT_S = 1.5
_COMPARED = 10
# Shorter silences are single losses.
_NOTED_S = 0.5
_MOST_KEPT = 20
# Answers that are read at a time.
_MOST_READ = 1000
_RETRY_S = 0.5
# After a late answer was due, until the peer is asked whether it has sent it.
_GRACE_S = 1.0


class Flow:
    """One flow, with a datagram every `pause_s`."""

    def __init__(self, target: Dict) -> None:
        self._target = target
        self.host = str(target["host"])
        self._pause = float(target.get("pause_s") or 0)
        self._sock: socket.socket | None = None
        self._due = 0.0
        # Of each datagram, when it was sent on both clocks.
        self._sent: List = []
        self._answered = bytearray()
        self._last = -1
        self._numbers: Dict = {}
        self._new: Dict = {}
        self._errors: Dict = {}

    def tick(self, active: float) -> None:
        """Take what has arrived, and send the next datagram when it is time."""
        self.take()
        # A tick may be early by as little as the one before was late.
        if active < self._due - 0.01:
            return
        self._due = active + self._pause
        number = len(self._sent)
        data = _padded(b"%b%b 0 0\n%d" % (GREETING, str(self._target["token"]).encode(), number))
        self._numbers[zlib.crc32(data)] = number
        self._sent.append((time.time(), active))
        self._answered.append(0)
        self._sock = _send(self._sock, self._target, data, self._errors)
        if self._last >= 0 and active - self._sent[min(self._last + 1, number)][1] >= _SILENT_S:
            self._compare(data)

    def take(self) -> None:
        """Note which datagrams were answered."""
        for reply in _replies(self._sock, self._errors):
            number = self._numbers.get(reply.get("crc"))
            if number is not None:
                self._answered[number] = 1
                self._last = max(self._last, number)

    def _compare(self, data: bytes) -> None:
        """Send a datagram from another port: only the first silence is compared."""
        new = self._new or {"sock": None, "sent": 0, "answered": False, "number": self._last + 1}
        self._new = new
        if new["number"] == self._last + 1 and not new["answered"]:
            new["answered"] = bool(_replies(new["sock"], {}))
            if new["sent"] < _COMPARED and not new["answered"]:
                new["sock"] = _send(new["sock"], self._target, data, {})
                new["sent"] += 1

    def end(self) -> None:
        """Send nothing more."""
        for sock in (self._sock, self._new.get("sock")):
            if sock is not None:
                sock.close()

    def as_dict(self, active: float) -> Dict:
        """Return what is known of the flow since its first answer."""
        first = self._answered.find(1)
        found: Dict = {
            "host": self.host, "idle_s": None, "first": None, "sent": 0, "lost": 0, "losses": 0, "silences": [],
            "errors": self._errors, "pause_s": self._pause,
        }  # fmt: skip
        if self._new:
            found["new"] = {"sent": self._new["sent"], "answered": self._new["answered"]}
        if first < 0:
            return found
        # What was sent after the last answer is not known to be lost.
        lost = self._answered.count(0, first, self._last)
        found.update(first=self._sent[first][0], sent=self._last + 1 - first, lost=lost)
        at = self._answered.find(0, first)
        while 0 <= at < self._last:
            end = self._answered.find(1, at)
            found["losses"] += 1
            self._note(found["silences"], at, end, self._sent[end][1])
            at = self._answered.find(0, end)
        if at >= 0:
            self._note(found["silences"], at, len(self._sent), active)
        return found

    def _note(self, silences: List, at: int, end: int, until: float) -> None:
        """Note for how long no datagram was answered, if that was long."""
        lasted = until - self._sent[at][1]
        if lasted >= _NOTED_S and end - at > 1 and len(silences) < _MOST_KEPT:
            said = {"at": round(self._sent[at][0], 3), "s": round(lasted, 3), "lost": end - at, "before": at}
            silences.append({**said, "open": True} if end == len(self._sent) else said)


class IdleFlow:
    """A flow over which the peer is asked to answer again after `idle_s`, of which that long nothing is sent."""

    def __init__(self, target: Dict) -> None:
        self._target = target
        self.host = str(target["host"])
        self._sock: socket.socket | None = None
        self._idle = float(target["idle_s"])
        self._number = 0
        self._asked: float | None = None
        self._since = -_RETRY_S
        self._errors: Dict = {}
        self.found: Dict = {"host": target["host"], "idle_s": self._idle, "rounds": 0, "arrived": 0, "forgotten": []}

    def tick(self, active: float) -> None:
        """Ask the peer to answer later, and after that whether it has."""
        self.take(active)
        over = self._asked is None or active - self._asked >= self._idle + _GRACE_S
        if not over or active - self._since < _RETRY_S:
            return
        self._since = active
        words = b"%b%b %d later %d\n" % (GREETING, str(self._target["token"]).encode(), self._idle * 1000, self._number)
        self._sock = _send(self._sock, self._target, _padded(words), self._errors)

    def take(self, active: float) -> None:
        """Read the answers: those at once, which say how many late ones were sent, and the late ones."""
        for reply in _replies(self._sock, self._errors):
            if reply.get("round") != self._number:
                continue
            if reply.get("late"):
                self.found["arrived"] += 1
                self._end_round()
            elif self._asked is None:
                self._asked = active
            elif reply.get("copies") == LATE_COPIES and active - self._asked >= self._idle + _GRACE_S:
                if len(self.found["forgotten"]) < _MOST_KEPT:
                    self.found["forgotten"].append(round(time.time() - active + self._asked + self._idle, 3))
                self._end_round()

    def _end_round(self) -> None:
        self.found["rounds"] += 1
        self._number, self._asked = self._number + 1, None

    def end(self) -> None:
        """Ask nothing more."""
        if self._sock is not None:
            self._sock.close()

    def as_dict(self, _active: float) -> Dict:
        """Return what became of the late answers: how many arrived, and when those were due that did not."""
        return {**self.found, "forgotten": list(self.found["forgotten"])}


def flow_of(target: Dict) -> Flow | IdleFlow:
    """Return a flow to a peer."""
    return IdleFlow(target) if target.get("idle_s") else Flow(target)


def _padded(data: bytes) -> bytes:
    return data.ljust(_BYTES, b".")


def _send(sock: socket.socket | None, target: Dict, data: bytes, errors: Dict) -> socket.socket | None:
    """Send a datagram; return the socket, which is opened if there is none."""
    new = sock or socket.socket(family_of(target["host"]), socket.SOCK_DGRAM)
    try:
        if sock is None:
            new.setblocking(False)
            new.connect((target["host"], int(target["udp"])))
            sock = new
        new.send(data)
    except OSError as exc:
        _count(errors, exc)
        if sock is None:
            new.close()
    return sock


def _replies(sock: socket.socket | None, errors: Dict) -> List:
    """Return all answers that have arrived."""
    found: List = []
    for _turn in range(_MOST_READ if sock else 0):
        try:
            reply = json.loads(sock.recv(65535) if sock else b"")
        except BlockingIOError:
            break
        except ValueError:
            continue
        except OSError as exc:
            _count(errors, exc)
            continue
        if isinstance(reply, dict):
            found.append(reply)
    return found


def _count(errors: Dict, exc: OSError) -> None:
    name = outcome_of(exc.errno)
    errors[name] = errors.get(name, 0) + 1
