# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watch peers in a detached process: ping each of them all the time, and keep a connection to each open.

Times are epoch seconds on this host's clock. The process notices when it is held up itself: it sends nothing meanwhile, and
the ages of its requests do not count that time.
"""

from __future__ import annotations

import select
import time
from collections import deque

from .detached import detach
from .door import Door, seconds_of
from .flows import flow_of
from .icmp import Echo
from .load import ThreadWatch
from .streams import Stream
from .wire import family_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, List

# A tick that is this late is a delay of this process.
_LATE_S = 0.25
_MOST_KEPT = 20
# Fewer requests without a reply in a row are single losses.
_RUN = 3
# An answer waits for the fate of the last requests when this many seconds of them are unanswered.
_UNDECIDED_S = 0.4


def hold(ask: Dict, _until: float) -> Json:
    """Begin to watch; return how to ask for what was seen. The watch ends when every address was dropped."""
    seconds = seconds_of(ask)
    door, watching = Door(), _Watch(ask)
    kept = [door.sock, *(echo.sock for echo in watching.echoes.values())]
    try:
        until = time.monotonic() + seconds
        detach(lambda: watching.run(door, until), {sock.fileno() for sock in kept}, seconds)
    finally:
        for sock in kept:
            sock.close()
    return {"name": door.name, "token": door.token, "seconds": seconds, "began": time.time()}


class _Line:
    """What became of the requests to one address."""

    def __init__(self) -> None:
        self.sent = self.answered = self.lost = self.losses = self.runs = 0
        self.first: float | None = None
        self.outages: List = []
        self.errors: Dict = {}
        # Requests in the order in which they were sent: [time, age clock, answered]
        self.open: deque = deque()
        self._run: Dict = {}

    def settle(self, active: float, patience: float) -> None:
        """Decide what is known of the oldest requests."""
        while self.open and (self.open[0][2] or active - self.open[0][1] >= patience):
            at, age, answered = self.open.popleft()
            if answered:
                self.answered += 1
                self.first = at if self.first is None else self.first
                self._end(age)
            elif self.first is not None:
                self.lost += 1
                self.losses += not self._run
                self._run = self._run or {"at": at, "from": age, "lost": 0}
                self._run.update(lost=self._run["lost"] + 1, until=age)

    def _end(self, age: float) -> None:
        run, self._run = self._run, {}
        if run.get("lost", 0) >= _RUN:
            self.runs += 1
            if len(self.outages) < _MOST_KEPT:
                self.outages.append(_outage(run, age))

    def undecided(self, active: float) -> bool:
        """Whether the last requests may belong to an outage that nothing is known of yet."""
        if self.first is None or self._run:
            return False
        oldest = active
        for _at, age, answered in reversed(self.open):
            if answered:
                break
            oldest = age
        return active - oldest >= _UNDECIDED_S

    def as_dict(self) -> Dict:
        last = [dict(_outage(self._run, self._run["until"]), open=True)] if self._run.get("lost", 0) >= _RUN else []
        return {
            "sent": self.sent, "answered": self.answered, "lost": self.lost, "first": self.first, "errors": self.errors,
            # Requests that were lost in a row count once.
            "losses": self.losses, "runs": self.runs + len(last), "outages": self.outages + last,
        }  # fmt: skip


def _outage(run: Dict, end: float) -> Dict:
    return {"at": round(run["at"], 3), "s": round(end - run["from"], 3), "lost": run["lost"]}


class _Pings(Echo):
    """Echo requests whose replies are counted by line."""

    def __init__(self, family: int, ask: Dict, lines: Dict) -> None:
        super().__init__(family, ask)
        self._lines = lines
        self._waiting: Dict = {}

    def ping(self, target: str, active: float) -> None:
        entry = [time.time(), active, False]
        self.send(target)
        line = self._lines[target]
        for error in self.found.pop(target)["errors"]:
            line.errors[error["error"]] = line.errors.get(error["error"], 0) + 1
        self._waiting[self.number] = entry
        line.sent += 1
        line.open.append(entry)

    def count(self, number: int, extra: List, now: float) -> None:
        self.sent.pop(number, None)
        entry = self._waiting.pop(number, None)
        if entry is not None:
            entry[2] = True

    def take_errors(self) -> None:
        """Drop refusals: a request that was refused is lost."""
        while True:
            try:
                self.sock.recvmsg(2048, 512, 0x2000)
            except OSError:
                return

    def forget(self, active: float, patience: float) -> None:
        for number, entry in list(self._waiting.items()):
            if active - entry[1] < patience:
                return
            self.sent.pop(number, None)
            del self._waiting[number]


class _Watch:
    """The loop of a detached process."""

    def __init__(self, ask: Dict) -> None:
        self.interval = max(0.02, float(ask.get("interval_s") or 0.1))
        self.patience = float(ask.get("patience_s") or 3.0)
        self.delay = float(ask.get("delay_s") or 0.0)
        self.targets = list(dict.fromkeys(ask.get("targets") or []))
        self.lines = {target: _Line() for target in self.targets}
        self.echoes = {
            family: _Pings(family, ask, self.lines) for family in sorted({family_of(one) for one in self.targets})
        }
        self.streams = [Stream(target) for target in ask.get("streams") or []]
        self.flows = [flow_of(target) for target in ask.get("flows") or []]
        self.ticks = 0
        self.began = time.time()
        self.held_up = 0.0
        self.load = ThreadWatch()
        self.delays: List = []

    def run(self, door: Door, until: float) -> None:
        """Watch until the deadline, or until it is asked to end."""
        self._wait(door, min(until, time.monotonic() + self.delay))
        self.began, self.load = time.time(), ThreadWatch()
        due = time.monotonic()
        ended: List = []
        while time.monotonic() < until and not ended:
            due = self._on_time(due)
            active = self._active()
            for target in self.targets:
                self.echoes[family_of(target)].ping(target, active)
            for stream in self.streams:
                stream.tick(active)
            for flow in self.flows:
                flow.tick(active)
            self.ticks += 1
            due += self.interval
            self._listen(door, due)
            self._settle()
            door.answer(lambda request: self._reply(request, ended))

    def _wait(self, door: Door, until: float) -> None:
        """Let the time before the watch pass; who asks for what was seen ends it."""
        poll = select.poll()
        poll.register(door.sock, select.POLLIN)
        while time.monotonic() < until and not door.asked:
            poll.poll(max(1, int((until - time.monotonic()) * 1000)))
            door.take()

    def _active(self) -> float:
        """Return a clock that pauses while this process is held up."""
        return time.monotonic() - self.held_up

    def _on_time(self, due: float) -> float:
        """Note a delay of this process; return when the tick took place."""
        late = time.monotonic() - due
        if late < _LATE_S:
            return due
        self.held_up += late
        if len(self.delays) < _MOST_KEPT:
            self.delays.append({"at": round(time.time() - late, 3), "s": round(late, 3)})
        return due + late

    def _listen(self, door: Door, due: float) -> None:
        # Replies to pings are read once a tick: to wake up for each of them takes most of the time of a core that this needs.
        poll = select.poll()
        poll.register(door.sock, select.POLLIN)
        for stream in self.streams:
            if stream.sock is not None:
                poll.register(stream.sock, stream.events)
        while True:
            ready = {number for number, _event in poll.poll(max(1, int((due - time.monotonic()) * 1000)))}
            if door.sock.fileno() in ready:
                door.take()
            for stream in self.streams:
                if stream.sock is not None and stream.sock.fileno() in ready:
                    self._attend(stream, poll)
            if time.monotonic() >= due:
                return

    def _attend(self, stream: Stream, poll: select.poll) -> None:
        if stream.sock is not None:
            poll.unregister(stream.sock.fileno())
        stream.ready(self._active())
        if stream.sock is not None:
            poll.register(stream.sock, stream.events)

    def _settle(self) -> None:
        # Replies that arrived while this process was held up are read before a request counts as lost.
        for echo in self.echoes.values():
            echo.take()
            echo.forget(self._active(), self.patience)
        for line in self.lines.values():
            line.settle(self._active(), self.patience)

    def _reply(self, request: Dict, ended: List) -> Dict | None:
        """Return what was seen, once the watch has lasted as long as the request says, and drop what it says."""
        hold_s = float(request.get("hold_s") or 0)
        if self.ticks * self.interval < hold_s or any(line.undecided(self._active()) for line in self.lines.values()):
            return None
        seen = self._seen()
        self._drop(list(request.get("drop") or []))
        if not self.targets:
            ended.append(request)
        return seen

    def _drop(self, addresses: List) -> None:
        """Watch these addresses no longer."""
        self.targets = [target for target in self.targets if target not in addresses]
        for stream in self.streams:
            if stream.found["host"] in addresses:
                stream.end()
        self.streams = [stream for stream in self.streams if stream.found["host"] not in addresses]
        for flow in self.flows:
            if flow.host in addresses:
                flow.end()
        self.flows = [flow for flow in self.flows if flow.host not in addresses]
        for address in addresses:
            self.lines.pop(address, None)

    def _seen(self) -> Dict:
        return {
            "began": round(self.began, 3),
            "now": round(time.time(), 3),
            "ticks": self.ticks,
            "interval_s": self.interval,
            "held_up_s": round(self.held_up, 3),
            "delays": self.delays,
            "load": self.load.figures(),
            "lines": {target: line.as_dict() for target, line in self.lines.items()},
            "streams": [stream.as_dict(self._active()) for stream in self.streams],
            "flows": [flow.as_dict(self._active()) for flow in self.flows],
        }
