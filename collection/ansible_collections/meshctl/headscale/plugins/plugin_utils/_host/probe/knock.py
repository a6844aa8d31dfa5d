# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Try many ports and protocols of many hosts at once: TCP, UDP, and other protocols over IP.

One thread waits for all of them, so that silent hosts cost the same time whatever their number.
"""

from __future__ import annotations

import errno
import select
import socket
import time

from .base import each, left, ms_since
from .noted import note, number_of, packet, send_raw, what_of
from .system import listening
from .wire import IP_RECVERR, IPV6_RECVERR, MSG_ERRQUEUE, family_of, outcome_of, refusal_of
from .witness import ask as ask_witness

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, List

_AT_ONCE = 256
_PAUSE_S = 0.04
_LONGEST_ANSWER = 128 << 10
_MOST_OWN = 100
# For packets to arrive before their host is asked over the mesh.
_ARRIVE_S = 0.1
# For hosts to say what has arrived.
_WITNESS_S = 1.5


def knock(ask: Dict, until: float) -> Json:
    """Return the outcome of every target, a mapping with `host`, `protocol` and `port`; silence is a `timeout`.

    A target's `source` is the port to send from, where it is free and this user may.

    `try_timeout_s` is how long to wait for an answer. `send` is what UDP ports get. With `find`, TCP ports get it as well,
    and each row says whether the answer contains that text. With `sparing`, a host that has answered a datagram gets no
    more of them: their outcome is `untried`.

    With a `nonce`, packets say who sent them, and the `witness` of a silent target is asked whether they have arrived: then the
    outcome is `arrived`, and otherwise the row says that the host was `asked`. An echo request (`icmp`) is sent for this only.

    With `own`, a mapping with `addresses` and ports to leave out, `but`, targets are also all ports on which this host listens
    at these addresses; their rows are `own`.
    """
    patience = float(ask.get("try_timeout_s") or 0.8)
    payload, sought = str(ask.get("send") or "meshctl").encode(), str(ask.get("find") or "").encode()
    nonce = str(ask.get("nonce") or "")
    targets = list(ask.get("targets") or []) + own_targets(dict(ask.get("own") or {}), until)
    found: List = []
    for first in range(0, len(targets), _AT_ONCE):
        if time.monotonic() >= until - 0.05:
            found += [_row(target, "deadline") for target in targets[first:]]
            break
        batch = [_Knock(target, payload, sought, nonce) for target in targets[first : first + _AT_ONCE]]
        trying = [one for one in batch if one.protocol != "icmp"]
        try:
            end = min(until, time.monotonic() + patience)
            _wait_for(trying, end, _lines(trying, end, bool(ask.get("sparing"))))
        finally:
            for one in batch:
                one.close()
        found += [one.found for one in batch]
    if nonce:
        _ask_witnesses(nonce, targets, found, until)
    return found


def own_targets(own: Dict, until: float) -> List:
    """Return the ports on which this host listens at some of its addresses."""
    found: Dict = {}
    for entry in listening({}, until) if own else []:
        at, protocol, port = entry["address"], entry["proto"], entry["port"]
        # Any address of IPv4, or with :: of both families.
        every = {"0.0.0.0": ":", "::": "-"}.get(at)  # noqa: S104
        known = [host for host in own["addresses"] if at == host or (every and every not in host)]
        for host in known if port not in own["but"] else []:
            found[host, protocol, port] = {"host": host, "protocol": protocol, "port": port, "own": True}
    return list(found.values())[:_MOST_OWN]


def _ask_witnesses(nonce: str, targets: List, rows: List, until: float) -> None:
    """Ask the hosts of silent targets what has arrived."""
    quiet = [(target, row) for target, row in zip(targets, rows) if row["outcome"] == "timeout"]
    # A connection says nothing of itself before it is open.
    mute = [row for _target, row in quiet if row["protocol"] in ("tcp", "icmp")]
    unsent = {id(row) for row in mute if not send_raw(row, note(nonce, row["host"], what_of(row)))}
    silent = [(target["witness"], row) for target, row in quiet if target.get("witness") and id(row) not in unsent]
    if mute:
        time.sleep(min(_ARRIVE_S, left(until)))
    hosts = list({str(witness): witness for witness, _row in silent}.values())
    limit = min(until, time.monotonic() + _WITNESS_S)
    noted = dict(zip(map(str, hosts), each(lambda host: ask_witness(host, nonce, limit), hosts, limit)))
    for witness, row in silent:
        arrived = noted[str(witness)]
        if not isinstance(arrived, list):
            continue
        row["asked"] = True
        if (row["host"], what_of(row)) in arrived:
            row.update({"outcome": "arrived", "from": row["host"]})


def _row(target: Dict, outcome: str) -> Dict:
    row = {"host": str(target["host"]), "protocol": str(target["protocol"]), "port": int(target.get("port") or 0),
           "outcome": outcome, "from": ""}  # fmt: skip
    if target.get("source"):
        row["source"] = int(target["source"])
    return {**row, "own": True} if target.get("own") else row


def _wait_for(batch: List, until: float, lines: List) -> None:
    poll = select.poll()
    waiting = {}
    for one in batch:
        one.begin()
        if not one.done:
            waiting[one.sock.fileno()] = one
            poll.register(one.sock, one.events)
    while time.monotonic() < until:
        wake = min([until, *(line.send() for line in lines)])
        for number in [number for number, one in waiting.items() if one.done]:
            poll.unregister(number)
            del waiting[number]
        if not waiting:
            break
        for number, _event in poll.poll(max(1, int((wake - time.monotonic()) * 1000))):
            waiting[number].take()
            poll.modify(number, waiting[number].events)


def _lines(batch: List, until: float, sparing: bool) -> List:
    """Return what has no connection in the order to send it: at once, or one packet after the other to each host."""
    lines: Dict = {}
    for one in batch:
        if one.protocol != "tcp":
            lines.setdefault((one.host, one.protocol == "udp") if sparing else None, []).append(one)
    return [_Line(knocks, until, sparing) for knocks in lines.values()]


class _Line:
    """Packets to one host.

    Linux refuses six packets from an address at once, then one a second, and takes all that come from behind one router for
    one address. A sparing line leaves refusals for others: it waits a moment for the answer to each packet, and ends when the
    host itself has answered one.
    """

    def __init__(self, knocks: List, until: float, sparing: bool) -> None:
        seconds, now = left(until), time.monotonic()
        self._knocks, self._sparing = knocks, sparing
        self._pause = min(_PAUSE_S, 0.4 * seconds / len(knocks)) if sparing else 0.0
        # Everything is sent twice, because a single packet may be lost.
        self._queue = [(one, 0.0) for one in knocks] + [(one, now + seconds / 2) for one in knocks]
        self._last: _Knock | None = None
        self._free = 0.0

    def send(self) -> float:
        """Send what is due, and return when to send more."""
        if self._sparing and any(one.reached for one in self._knocks):
            self._queue = []
            for one in self._knocks:
                one.give_up()
        while self._queue:
            one, earliest = self._queue[0]
            if not one.done:
                free = 0.0 if self._last is None or self._last.done else self._free
                if time.monotonic() < max(free, earliest):
                    return max(free, earliest)
                one.send()
                self._last, self._free = one, time.monotonic() + self._pause
            del self._queue[0]
        return float("inf")


class _Knock:
    """One attempt."""

    def __init__(self, target: Dict, payload: bytes, sought: bytes, nonce: str) -> None:
        self.found = _row(target, "timeout")
        self.host, self.protocol = self.found["host"], self.found["protocol"]
        self.sock: socket.socket | None = None
        self.events = select.POLLOUT if self.protocol == "tcp" else select.POLLIN
        self.done = False
        said = note(nonce, self.host, what_of(self.found)) if nonce else payload
        self._payload = payload if self.protocol == "tcp" else said
        if self.protocol not in ("tcp", "udp"):
            self._payload = packet(self.protocol, said if nonce else b"meshctl." * 2)
        self._sought, self._answer = sought, b""
        self._began = time.monotonic()
        if sought:
            self.found["found"] = False

    def begin(self) -> None:
        """Open a socket, and connect."""
        try:
            self.sock = self._open()
        except PermissionError:
            self._settle("not-permitted", "")
            return
        except OSError as exc:
            self._settle(outcome_of(exc.errno), "local")
            return
        number = self.sock.connect_ex((self.host, self.found["port"]))
        if number not in (0, errno.EINPROGRESS):
            self._refused(number)

    def _open(self) -> socket.socket:
        family = family_of(self.host)
        kinds = {"tcp": (socket.SOCK_STREAM, 0), "udp": (socket.SOCK_DGRAM, 0)}
        kind, number = kinds.get(self.protocol) or (socket.SOCK_RAW, number_of(self.protocol))
        sock = socket.socket(family, kind, number)
        sock.setblocking(False)
        if self.found.get("source"):
            _bind(sock, self.found)
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        return sock

    @property
    def reached(self) -> bool:
        """Whether the host itself has answered."""
        return self.done and self.found["from"] == self.host

    def give_up(self) -> None:
        """Wait for no answer any more."""
        if not self.done:
            self.done = True
            self.found["outcome"] = "untried"

    def send(self) -> None:
        """Send a packet."""
        if self.sock is None:
            return
        try:
            self.sock.send(self._payload)
        except BlockingIOError:
            return
        except OSError as exc:
            self._refused(exc.errno or 0)

    def take(self) -> None:
        """Read what has arrived."""
        if self.done or self.sock is None:
            return
        try:
            if self.protocol != "tcp":
                self._read(self.sock, "answered")
            elif self.found["outcome"] == "connected":
                self._read(self.sock, "connected")
            elif number := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._refused(number)
            else:
                self._connected(self.sock)
        except BlockingIOError:
            return
        except OSError as exc:
            if self.found["outcome"] == "timeout":
                self._refused(exc.errno or 0)
            self.done = True

    def _connected(self, sock: socket.socket) -> None:
        self._settle("connected", self.host)
        if self._sought:
            self.done = False
            self.events = select.POLLIN
            sock.send(self._payload)

    def _read(self, sock: socket.socket, outcome: str) -> None:
        """Read a part of the answer; without a text to find in it, its arrival is enough."""
        data = sock.recv(65536)
        self._answer += data
        self._settle(outcome, self.host)
        if not self._sought:
            return
        self.found["found"] = self._sought in self._answer
        more = bool(data) and len(self._answer) < _LONGEST_ANSWER
        self.done = self.found["found"] or not (more or self.protocol == "udp")

    def _refused(self, number: int) -> None:
        """Keep the reason of an error, and the router or host that sent it."""
        refusal = None
        if self.sock is not None:
            try:
                refusal = refusal_of(self.sock.recvmsg(2048, 512, MSG_ERRQUEUE)[1])
            except OSError:
                refusal = None
        if refusal:
            self._settle(refusal["error"], refusal["from"])
            return
        # A refusal without an ICMP message is a reset from the target; other errors come from this host.
        outcome = outcome_of(number)
        self._settle(outcome, self.host if outcome in ("refused", "reset") else "local")

    def _settle(self, outcome: str, by: str) -> None:
        self.done = True
        self.found.update(outcome=outcome, ms=ms_since(self._began))
        self.found["from"] = by

    def close(self) -> None:
        """Release the socket."""
        if self.sock is not None:
            self.sock.close()


def _bind(sock: socket.socket, found: Dict) -> None:
    """Send from a port, or from any if another program has it or this user may not."""
    try:
        # Sockets to several hosts share it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", found["source"]))
    except OSError:
        found["any_source"] = True
