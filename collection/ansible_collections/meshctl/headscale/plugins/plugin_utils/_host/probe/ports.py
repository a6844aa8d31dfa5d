# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Try many ports of peers that `serve`, each from a fresh source port, and ask the peers what arrived there.

The silence of a port says something only while another port of the same peer answers. So some that should answer, the
controls, are asked before, and one of them after; the listener behind it is the one behind all ports.
"""

from __future__ import annotations

import errno
import json
import selectors
import socket
import time

from .base import left, ms_since
from .serve import GREETING
from .wire import family_of, outcome_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, List

# How many sockets are open at once: most systems allow 1024.
_AT_ONCE = 240
_RESEND_S = 0.3
_DATAGRAMS = 3
_LONGEST_REPLY = 16384


def try_ports(ask: Dict, until: float) -> Json:
    """Return for each target, by name, the outcome of each port, and what its control said."""
    targets = list(ask.get("targets") or [])
    found: Dict = {}
    batch: List = []
    for target in targets:
        if batch and sum(len(one["ports"]) for one in batch) + len(target["ports"]) > _AT_ONCE:
            found.update(_batch(batch, ask, until))
            batch = []
        batch.append(target)
    found.update(_batch(batch, ask, until))
    return found


def _batch(targets: List, ask: Dict, until: float) -> Dict:
    patience = float(ask.get("try_timeout_s") or 3.0)
    controls = [_Control(target) for target in targets]
    _run(
        [one for control in controls for one in control.before],
        min(until, time.monotonic() + patience),
        enough=lambda: all(control.answered for control in controls),
    )
    slowest = max(
        [one.ms or 0.0 for control in controls for one in control.before if one.outcome == "answered"] or [0.0]
    )
    quiet = max(float(ask.get("quiet_s") or 1.0), 3 * slowest / 1000)
    tries = [[_Try(target, port) for port in target["ports"]] for target in targets]
    began = time.monotonic()
    _run([one for each in tries for one in each], min(until, began + max(patience, quiet)), began + quiet)
    window = ms_since(began)
    _run([one for control in controls for one in control.again()], min(until, time.monotonic() + patience))
    return {
        target["name"]: {"tries": [one.seen() for one in each], "control": control.seen(), "window_ms": window}
        for target, each, control in zip(targets, tries, controls)
    }


class _Control:
    """Ports that should answer, one of each protocol and family: the first that does is asked again afterwards."""

    def __init__(self, target: Dict) -> None:
        self._target = target
        self.before = [_Try(target, [*control, True]) for control in target.get("controls") or []]
        self.after: List = []

    @property
    def answered(self) -> List:
        return [one for one in self.before if one.outcome == "answered"]

    def again(self) -> List:
        """Return the second request, which asks what has arrived; nothing if nothing has answered."""
        for one in self.answered[:1]:
            own = ",".join(self._target.get("own") or []) or "-"
            words = b"%b%b %d seen %b\n" % (
                GREETING, self._target["token"].encode(), int(one.reply.get("clock") or 0), own.encode(),
            )  # fmt: skip
            self.after = [_Try(self._target, [one.host, one.protocol, one.port, True], words)]
        return self.after

    def seen(self) -> Dict | None:
        if not self.before:
            return None
        after = self.after[0] if self.after else None
        return {
            "before": after is not None,
            "after": after is not None and after.outcome == "answered",
            "outcome": after.outcome if after else self.before[0].outcome,
            "by": [after.host, after.protocol, after.port] if after else None,
            "arrived": after.reply.get("arrived") if after else None,
        }


class _Try:
    """One connection, or datagrams, from a fresh source port."""

    def __init__(self, target: Dict, port: List, words: bytes = b"") -> None:
        self.host, self.protocol, self.port, self.awaited = port
        self.outcome = ""
        self.reply: Dict = {}
        self.ms: float | None = None
        self._words = words or b"%b%b 0 0\n" % (GREETING, str(target["token"]).encode())
        self._connected = False
        self._data = b""
        self._sent, self._resend = 0, 0.0
        self.sock: socket.socket | None = None

    def open(self) -> int:
        """Begin; return the events to wait for."""
        self._began = time.monotonic()
        try:
            kind = socket.SOCK_STREAM if self.protocol == "tcp" else socket.SOCK_DGRAM
            self.sock = socket.socket(family_of(self.host), kind)
            self.sock.setblocking(False)
            if self.protocol == "tcp":
                number = self.sock.connect_ex((self.host, self.port))
                if number not in (0, errno.EINPROGRESS):
                    self.end(outcome_of(number))
                return selectors.EVENT_WRITE
            self.sock.connect((self.host, self.port))
            self.resend()
        except OSError as exc:
            self.end(outcome_of(exc.errno))
        return selectors.EVENT_READ

    def resend(self) -> None:
        """Send a datagram again, if it is time."""
        if self.outcome or self.protocol != "udp" or self._sent >= _DATAGRAMS or time.monotonic() < self._resend:
            return
        self._sent, self._resend = self._sent + 1, time.monotonic() + _RESEND_S
        self._io(lambda sock: sock.send(self._words))

    def ready(self) -> int:
        """Go on; return the events to wait for next."""
        if self.protocol == "tcp" and not self._connected:
            number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if self.sock else 0
            if number:
                self.end(outcome_of(number))
                return 0
            self._connected = True
            self._io(lambda sock: sock.send(self._words))
            return selectors.EVENT_READ
        self._io(self._read)
        return selectors.EVENT_READ

    def _io(self, work: Json) -> None:
        try:
            if self.sock is not None:
                work(self.sock)
        except BlockingIOError:
            return
        except OSError as exc:
            self.end(outcome_of(exc.errno))

    def _read(self, sock: socket.socket) -> None:
        data = sock.recv(65535)
        self._data = data if self.protocol == "udp" else self._data + data
        if not data and self.protocol == "tcp":
            self.end("closed")
            return
        if b"\n" not in self._data and self.protocol == "tcp" and len(self._data) < _LONGEST_REPLY:
            return
        try:
            found = json.loads(self._data)
        except ValueError:
            found = None
        self.reply = found if isinstance(found, dict) else {}
        elsewhere = self.reply.get("at") not in (None, self.port)
        self.end("redirected" if elsewhere else "answered" if self.reply else "damaged")

    def end(self, outcome: str) -> None:
        """Note the outcome and give the source port back."""
        if not self.outcome:
            self.outcome, self.ms = outcome, ms_since(self._began)
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def give_up(self) -> None:
        """End without an answer."""
        self.end("stalled" if self._connected else "silent")

    def seen(self) -> List:
        return [self.host, self.protocol, self.port, self.outcome, str(self.reply.get("from") or ""), self.ms]


def _run(tries: List, until: float, quiet_until: float = 0.0, enough: Json = None) -> None:
    """Go on with all tries until those that are awaited have ended and the others had their time, or it is `enough`."""
    chooser = selectors.DefaultSelector()
    waiting = _opened(tries, chooser)
    while waiting and time.monotonic() < until:
        over = time.monotonic() >= quiet_until and not any(one.awaited for one in waiting)
        if over or (enough and enough()):
            break
        for key, _events in chooser.select(min(0.05, left(until))):
            events = _next(chooser, key)
            if not events:
                waiting.pop(key.data, None)
        for one in list(waiting):
            sock = one.sock
            one.resend()
            if one.outcome:
                chooser.unregister(sock)
                waiting.pop(one)
    for one in tries:
        one.give_up()
    chooser.close()


def _opened(tries: List, chooser: selectors.BaseSelector) -> Dict:
    waiting: Dict = {}
    for one in tries:
        events = one.open()
        if not one.outcome:
            waiting[one] = events
            chooser.register(one.sock, events, one)
    return waiting


def _next(chooser: selectors.BaseSelector, key: selectors.SelectorKey) -> int:
    """Let a try go on; return 0 once it has ended."""
    one = key.data
    chooser.unregister(key.fileobj)
    events = one.ready()
    if one.outcome:
        return 0
    chooser.register(key.fileobj, events, one)
    return int(events)
