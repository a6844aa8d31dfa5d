# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep a connection to a peer that serves open, and exchange a block over it again and again."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time

from .serve import COUNTED_BYTES, GREETING
from .tcp import kernel_of, lost_of
from .wire import family_of, outcome_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, List

_PAUSE_S = 0.25
_RETRY_S = 1.0
_CONNECT_S = 3.0
# A reply that takes this long is remembered.
_SLOW_S = 0.5
_MOST_KEPT = 20


class Stream:
    """One connection. It is opened until that succeeds once, and never again after it broke.

    With `idle_s`, that long passes before each block.
    """

    def __init__(self, target: Dict) -> None:
        self._target = target
        # A block is returned between two looks at the clock, and the next one is due at the second of them.
        self._pause = float(target.get("idle_s") or float(target.get("pause_s") or 0) / 2 or _PAUSE_S)
        self.sock: socket.socket | None = None
        self.state = "closed"
        self.events = 0
        self._since = -_RETRY_S
        self._out = b""
        self._sent = self._back = b""
        self._clock = 0.0
        # Segments that were lost on the way to the peer and back, at most so far.
        self._back_lost, self._most_lost = 0, 0
        self.found: Dict = {
            "host": target["host"], "family": 6 if ":" in target["host"] else 4, "tries": 0, "exchanged": 0,
            "bytes": 0, "outcome": "timeout", "waits": [], "idle_s": target.get("idle_s"), "losses": 0,
        }  # fmt: skip

    def tick(self, active: float) -> None:
        """Open the connection, or send the next block when it is time."""
        if self.state == "closed" and active - self._since >= _RETRY_S:
            self._open(active)
        elif self.state == "opening" and active - self._since >= _CONNECT_S:
            self._close("timeout", active)
        elif self.state == "idle" and not self._out and active - self._since >= self._pause:
            self._count_losses()
            self._sent = struct.pack("!Q", self.found["exchanged"]) + os.urandom(COUNTED_BYTES - 8)
            self._put(self._sent, "waiting", active)

    def ready(self, active: float) -> None:
        """Do what the connection is ready for."""
        if self.sock is None:
            return
        try:
            if self.state == "opening":
                self._opened(active)
            elif self._out:
                self._out = self._out[self.sock.send(self._out) :]
            else:
                self._take(active)
        except BlockingIOError:
            return
        except OSError as exc:
            self._fail(outcome_of(exc.errno), active)
        self.events = select.POLLOUT if self._out or self.state == "opening" else select.POLLIN

    def _open(self, active: float) -> None:
        self.found["tries"] += 1
        self._since = active
        self.sock = socket.socket(family_of(self._target["host"]), socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.state, self.events = "opening", select.POLLOUT
        number = self.sock.connect_ex((self._target["host"], int(self._target["tcp"])))
        if number not in (0, errno.EINPROGRESS):
            self._close(outcome_of(number), active)

    def _opened(self, active: float) -> None:
        number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if self.sock else 0
        if number or self.sock is None:
            self._close(outcome_of(number), active)
            return
        self.found.update(opened=round(time.time(), 3), local_port=self.sock.getsockname()[1], outcome="open")
        self._clock = active
        self._put(b"%b%b counted\n" % (GREETING, str(self._target["token"]).encode()), "idle", active)

    def _put(self, data: bytes, state: str, active: float) -> None:
        self._out, self._back, self.state, self._since = data, b"", state, active
        self.events = select.POLLOUT

    def _take(self, active: float) -> None:
        data = self.sock.recv(65536) if self.sock else b""
        if not data:
            self._fail("closed", active)
            return
        self.found["bytes"] += len(data)
        self._back += data
        # The peer writes a number into the first bytes.
        if self.state != "waiting" or not self._sent[8:].startswith(self._back[8 : len(self._sent)]):
            self._fail("damaged", active)
        elif len(self._back) >= len(self._sent):
            self._note(active, final=False)
            self._back_lost = struct.unpack_from("!q", self._back)[0]
            self.found["exchanged"] += 1
            self.found["last"] = round(time.time(), 3)
            self.state, self._since = "idle", active

    def _count_losses(self) -> None:
        """Count the last block if a segment was lost for it, once all is known about it that will be."""
        own = lost_of(self.sock) if self.sock else -1
        if own < 0 or self._back_lost < 0:
            self.found["losses"] = None
        elif self.found["losses"] is not None and own + self._back_lost > self._most_lost:
            self._most_lost = own + self._back_lost
            self.found["losses"] += bool(self.found["exchanged"])

    def _note(self, active: float, *, final: bool) -> None:
        """Remember a reply that took long, or has not come."""
        took = active - self._since
        if self.state == "waiting" and took >= _SLOW_S and (final or len(self.found["waits"]) < _MOST_KEPT):
            self.found["waits"].append({"at": round(time.time() - took, 3), "s": round(took, 3)})

    def _fail(self, outcome: str, active: float) -> None:
        self._note(active, final=True)
        self.found["broke"] = round(time.time(), 3)
        self.found["kernel"] = kernel_of(self.sock) if self.sock else {}
        self.found["open_s"] = round(active - self._clock, 3)
        self._close(outcome, active)
        self.state = "broken"

    def _close(self, outcome: str, active: float) -> None:
        self.found["outcome"] = outcome
        self.end()
        self._out, self.events = b"", 0
        self.state, self._since = "closed", active

    def end(self) -> None:
        """Close the connection."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def as_dict(self, active: float) -> Dict:
        """Return what is known of the connection."""
        found = {**self.found, "waits": list(self.found["waits"])}
        if self.state in ("idle", "waiting"):
            found["open_s"] = round(active - self._clock, 3)
            found["kernel"] = kernel_of(self.sock) if self.sock else {}
            if self.state == "waiting":
                took = active - self._since
                waits: List = found["waits"]
                if took >= _SLOW_S:
                    waits.append({"at": round(time.time() - took, 3), "s": round(took, 3), "open": True})
        return found
