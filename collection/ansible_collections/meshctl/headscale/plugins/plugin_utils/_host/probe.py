# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is sent to a host to look at it: observes, judges nothing. PRIVATE to the collection.

One file, standard library only, Python 3.8 or later, imports kept light because every assertion pays for them on every
host. `main` makes the observations that are asked for, all at once, and none outlives the deadline. An observation is
`ok` when it could be made: a refused connection is a fact that was observed, a missing permission is not.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import struct
import sys
import threading
import time

# Importing `typing` would cost more than it gives; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Json = Any
    Dict = dict[Any, Any]
    List = list[Any]
    Tuple = tuple[Any, ...]

_SOCKET = "/var/run/tailscale/tailscaled.sock"
_MAX_ANSWER = 32 << 20
_MAX_BODY = 64 << 10
_MAX_WORKERS = 64


class Unseen(Exception):
    """An observation could not be made."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def main(request: Dict) -> Dict:
    """Make every observation of the request and return what was seen."""
    deadline = time.monotonic() + float(request.get("deadline_s") or 10)
    return {
        "host": {
            "hostname": socket.gethostname(),
            "python": ".".join(map(str, sys.version_info[:3])),
            "euid": os.geteuid(),
            "now": time.time(),
        },
        "observations": _observe_all(request.get("observe") or [], deadline),
    }


def _observe_all(asks: List, deadline: float) -> Dict:
    seen: Dict = {}
    threads = []
    for number, ask in enumerate(asks):
        key = str(ask.get("id") or number)
        thread = threading.Thread(target=_observe, args=(ask, deadline, seen, key), daemon=True)
        threads.append((key, ask, thread))
        thread.start()
    for _key, _ask, thread in threads:
        thread.join(max(0.0, deadline + 0.3 - time.monotonic()))
    # A copy: a thread that is still blocked must not change the answer while it is written out.
    answer = dict(seen)
    for key, ask, _thread in threads:
        if key not in answer:
            answer[key] = _unseen(ask, "deadline", "no answer within the deadline", 0.0)
    return answer


def _observe(ask: Dict, deadline: float, seen: Dict, key: str) -> None:
    began = time.monotonic()
    limit = ask.get("timeout_s")
    until = deadline if limit is None else min(deadline, began + float(limit))
    try:
        look = _KINDS.get(str(ask.get("kind")))
        if look is None:
            raise Unseen("unknown_kind", "the probe does not know the observation {!r}".format(ask.get("kind")))
        data = look(ask, until)
    except Unseen as exc:
        seen[key] = _unseen(ask, exc.kind, str(exc), began)
    except Exception as exc:  # the other observations must still be reported
        seen[key] = _unseen(ask, type(exc).__name__, str(exc) or repr(exc), began)
    else:
        seen[key] = {"kind": ask["kind"], "ok": True, "duration_ms": _ms_since(began), "data": data}


def _unseen(ask: Dict, kind: str, message: str, began: float) -> Dict:
    spent = _ms_since(began) if began else 0.0
    return {"kind": ask.get("kind"), "ok": False, "duration_ms": spent, "error": {"type": kind, "message": message}}


def _ms_since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 3)


def _left(until: float) -> float:
    """Return the seconds until `until`; never 0, which would make a socket non-blocking."""
    return max(0.001, until - time.monotonic())


def _each(work: Callable[[Any], Json], items: List, until: float, workers: int = _MAX_WORKERS) -> List:
    """Return `work(item)` for every item, made in threads; None for what did not end in time."""
    results: List = [None] * len(items)
    todo = iter(range(len(items)))
    lock = threading.Lock()

    def run() -> None:
        while True:
            with lock:
                index = next(todo, None)
            if index is None or time.monotonic() >= until:
                return
            try:
                results[index] = work(items[index])
            except Exception as exc:  # one item that goes wrong must not take the others along
                results[index] = {"outcome": "broken", "error": str(exc) or repr(exc)}

    threads = [threading.Thread(target=run, daemon=True) for _worker in range(min(workers, len(items)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_left(until) + 0.1)
    return list(results)


# -- HTTP, by hand: http.client costs more to import than all the rest --


def _request(method: str, path: str, headers: Dict) -> bytes:
    """Return an HTTP/1.0 request, whose answer is never chunked."""
    lines = [f"{method} {path} HTTP/1.0", *(f"{name}: {value}" for name, value in headers.items())]
    if method == "POST":
        lines.append("Content-Length: 0")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _http(sock: socket.socket, request: bytes, until: float, limit: int) -> Tuple:
    """Send a request and return its answer: status, headers, body and the milliseconds to the first byte."""
    began = time.monotonic()
    sock.settimeout(_left(until))
    sock.sendall(request)
    raw, first = bytearray(), 0.0
    while len(raw) < limit:
        sock.settimeout(_left(until))
        chunk = sock.recv(65536)
        if not chunk:
            break
        first = first or _ms_since(began)
        raw += chunk
        if time.monotonic() >= until:
            raise socket.timeout("timed out")
    head, found, body = bytes(raw).partition(b"\r\n\r\n")
    first_line = head.split(b"\r\n", 1)[0].decode("latin-1").split(None, 2)
    if not found or len(first_line) < 2 or not first_line[1].isdigit():
        raise Unseen("bad_response", f"the answer is not HTTP: {bytes(raw[:80])!r}")
    pairs = [line.decode("latin-1").partition(":") for line in head.split(b"\r\n")[1:]]
    return int(first_line[1]), {name.strip().lower(): value.strip() for name, _c, value in pairs}, body, first


# -- tailscaled --


def _local_api(ask: Dict, method: str, path: str, until: float) -> bytes:
    """Ask tailscaled through its socket."""
    where = str(ask.get("socket") or _SOCKET)
    what = path.partition("?")[0]
    request = _request(method, "/localapi/v0/" + path, {"Host": "local-tailscaled.sock", "Connection": "close"})
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(_left(until))
        try:
            sock.connect(where)
        except OSError as exc:
            raise _no_tailscaled(where, exc) from exc
        status, _headers, body, _first = _http(sock, request, until, _MAX_ANSWER)
    except socket.timeout as exc:
        raise Unseen("timeout", f"tailscaled did not answer {what} in time") from exc
    finally:
        sock.close()
    if status == 403:
        raise Unseen("not_permitted", f"tailscaled refuses {what} to this user: use become: true")
    if status != 200:
        said = body.decode("utf-8", "replace").strip()[:300]
        raise Unseen("refused", f"tailscaled answered {status} to {what}: {said}")
    return bytes(body)


def _no_tailscaled(where: str, exc: OSError) -> Unseen:
    if exc.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return Unseen("no_tailscaled", f"tailscaled is not running: nobody listens on {where}")
    if exc.errno in (errno.EACCES, errno.EPERM):
        return Unseen("not_permitted", f"{where} may not be opened by this user: use become: true")
    return Unseen("no_tailscaled", f"{where}: {exc}")


def _json(body: bytes) -> Json:
    try:
        return _scrub(json.loads(body))
    except ValueError as exc:
        raise Unseen("bad_response", f"the answer is not JSON: {exc}") from exc


def _scrub(value: Json) -> Json:
    """Drop whatever could be a secret: keys never leave the host."""
    if isinstance(value, dict):
        return {name: _scrub(item) for name, item in value.items() if not _is_secret(name, item)}
    if isinstance(value, list):
        return [_scrub(item) for item in value]
    return value


def _is_secret(name: str, item: Json) -> bool:
    low = name.lower()
    named = ("private" in low and "key" in low) or (low in ("preauthkey", "authkey", "authurl") and bool(item))
    return named or (isinstance(item, str) and item.startswith(("nlpriv:", "privkey:")))


def _status(ask: Dict, until: float) -> Json:
    found = _json(_local_api(ask, "GET", "status", until))
    if not ask.get("full") and isinstance(found, dict):
        for node in [found.get("Self"), *list((found.get("Peer") or {}).values())]:
            for noise in ("CapMap", "Capabilities", "sshHostKeys"):
                (node or {}).pop(noise, None)
    return found


def _prefs(ask: Dict, until: float) -> Json:
    return _json(_local_api(ask, "GET", "prefs", until))


def _netmap(ask: Dict, until: float) -> Json:
    try:
        return _json(_local_api(ask, "POST", "debug?action=current-netmap", until))
    except Unseen as exc:
        if exc.kind != "refused":
            raise
        raise Unseen("refused", f"this tailscaled does not show its network map (1.90 or later does): {exc}") from exc


def _metrics(ask: Dict, until: float) -> Json:
    """Return tailscaled's public metrics: `{name: [{labels, value}]}`."""
    found: Dict = {}
    for line in _local_api(ask, "GET", "usermetrics", until).decode("utf-8", "replace").splitlines():
        series, _space, number = line.strip().rpartition(" ")
        if not series or line.startswith("#"):
            continue
        name, _brace, labels = series.partition("{")
        pairs = [pair.partition("=") for pair in labels.rstrip("}").split(",") if "=" in pair]
        try:
            value = float(number)
        except ValueError:
            continue
        found.setdefault(name, []).append({"labels": {k: v.strip('"') for k, _e, v in pairs}, "value": value})
    return found


def _derp_map(ask: Dict, until: float) -> Json:
    return _json(_local_api(ask, "GET", "derpmap", until))


def _dns_config(ask: Dict, until: float) -> Json:
    return _json(_local_api(ask, "GET", "dns-osconfig", until))


def _mesh_ping(ask: Dict, until: float) -> Json:
    """Ping targets through tailscaled (`disco` tells the path, `tsmp` proves WireGuard)."""
    kind = "TSMP" if ask["kind"] == "tsmp" else "disco"
    targets = list(ask.get("targets") or [])
    # One question tells whether tailscaled is there at all: without it every ping would look lost.
    _local_api(ask, "GET", "status?peers=false", until)
    found = _each(lambda target: _ping_one(ask, kind, target, until), targets, until)
    return {target: result or _pinged([], 0) for target, result in zip(targets, found)}


def _ping_one(ask: Dict, kind: str, target: str, until: float) -> Dict:
    answers: List = []
    lost = 0
    for attempt in range(int(ask.get("tries") or 5)):
        if attempt:
            time.sleep(min(float(ask.get("interval_s") or 0.2), max(0.0, until - time.monotonic())))
        if time.monotonic() >= until:
            break
        # tailscaled waits for ever for a pong that was lost.
        stop = min(until, time.monotonic() + float(ask.get("try_timeout_s") or 1.0))
        try:
            pong = _json(_local_api(ask, "POST", f"ping?ip={target}&type={kind}", stop))
        except Unseen as exc:
            if exc.kind != "timeout":
                answers.append({"err": str(exc)})
            lost += 1
            continue
        answers.append(_pong(pong if isinstance(pong, dict) else {}))
        if answers[-1].get("err") or (ask.get("until_direct") and not answers[-1]["endpoint"]):
            continue
        if kind == "TSMP" or ask.get("until_direct"):
            break
    return _pinged(answers, lost)


def _pong(pong: Dict) -> Dict:
    return {
        "err": pong.get("Err") or "",
        "latency_ms": round((pong.get("LatencySeconds") or 0) * 1000, 3),
        "endpoint": pong.get("Endpoint") or "",
        "derp": pong.get("DERPRegionCode") or "",
        "derp_id": pong.get("DERPRegionID") or 0,
        "peer_relay": pong.get("PeerRelay") or "",
        "name": pong.get("NodeName") or "",
    }


def _pinged(answers: List, lost: int) -> Dict:
    good = [answer for answer in answers if not answer.get("err")]
    return {
        "answers": answers,
        "lost": lost,
        "answered": bool(good),
        "direct": bool(good and good[-1].get("endpoint")),
        "last": good[-1] if good else None,
    }


# -- ICMP --

_IP_RECVERR, _IPV6_RECVERR, _MSG_ERRQUEUE, _SO_TIMESTAMPNS = 11, 25, 0x2000, 35
_V4_REFUSALS = {
    0: "net-unreachable", 1: "host-unreachable", 2: "protocol-unreachable", 3: "port-unreachable",
    6: "net-unknown", 7: "host-unknown", 9: "net-prohibited", 10: "host-prohibited", 13: "prohibited",
}  # fmt: skip
_V6_REFUSALS = {0: "net-unreachable", 1: "prohibited", 3: "host-unreachable", 4: "port-unreachable", 6: "net-rejected"}
_ERRNO_OUTCOMES = {
    errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset", errno.ENETUNREACH: "net-unreachable",
    errno.EHOSTUNREACH: "host-unreachable", errno.ETIMEDOUT: "timeout", errno.EACCES: "prohibited",
    errno.EPERM: "prohibited", errno.EADDRNOTAVAIL: "no-such-source", errno.ENETDOWN: "net-down",
}  # fmt: skip


def _outcome(number: int | None) -> str:
    return _ERRNO_OUTCOMES.get(number or 0) or errno.errorcode.get(number or 0, "unknown")


def _icmp_socket(family: int) -> Tuple:
    """Return an echo socket and whether it is raw."""
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
        try:
            sock = socket.socket(family, kind, protocol)
        except PermissionError:
            continue
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.setblocking(False)
        return sock, kind == socket.SOCK_RAW
    raise Unseen(
        "not_permitted",
        "this user may not send ICMP echo requests: use become: true, or widen net.ipv4.ping_group_range on the host",
    )


class _Echo:
    """Echo requests to many targets over one socket of a family."""

    def __init__(self, family: int, ask: Dict) -> None:
        self.family = family
        self.sock, self.raw = _icmp_socket(family)
        if ask.get("source"):
            self.sock.bind((ask["source"], 0))
        self.ident = int.from_bytes(os.urandom(2), "big")
        self.payload = str(ask.get("marker") or "meshctl").encode().ljust(int(ask.get("size") or 24), b".")
        self.sent: Dict = {}
        self.found: Dict = {}
        self.number = 0

    def send(self, target: str) -> None:
        """Send one request to `target`."""
        self.number = (self.number + 1) & 0xFFFF
        request = 8 if self.family == socket.AF_INET else 128
        head = struct.pack("!BBHHH", request, 0, 0, self.ident, self.number)
        if self.family == socket.AF_INET:  # the kernel fills in the checksum of ICMPv6 only
            head = struct.pack("!BBHHH", request, 0, _checksum(head + self.payload), self.ident, self.number)
        result = self.found.setdefault(target, {"sent": 0, "received": 0, "rtt_ms": [], "errors": []})
        result["sent"] += 1
        self.sent[self.number] = (target, time.time(), time.monotonic())
        for last in (False, True):
            try:
                self.sock.sendto(head + self.payload, (target, 0))
                return
            except BlockingIOError:
                select.select([], [self.sock], [], 0.05)
            except OSError as exc:
                # With RECVERR an earlier target's refusal surfaces here once: take it off, then ask again.
                self.take_errors()
                if last:
                    self.sent.pop(self.number, None)
                    result["errors"].append({"error": _outcome(exc.errno), "from": "local", "errno": exc.errno})

    def take(self) -> None:
        """Take what has arrived."""
        self.take_errors()
        while True:
            try:
                packet, extra, _flags, _address = self.sock.recvmsg(2048, 256)
            except BlockingIOError:
                return
            except OSError:
                self.take_errors()
                continue
            now = time.monotonic()
            if self.raw and self.family == socket.AF_INET:
                packet = packet[(packet[0] & 15) * 4 :]
            reply = 0 if self.family == socket.AF_INET else 129
            if len(packet) < 8 or packet[0] != reply:
                continue
            _kind, _code, _sum, ident, number = struct.unpack("!BBHHH", packet[:8])
            if (self.raw and ident != self.ident) or packet[8:] != self.payload:
                continue
            self._count(number, extra, now)

    def _count(self, number: int, extra: List, now: float) -> None:
        if number not in self.sent:
            return
        target, wall, began = self.sent.pop(number)
        rtt = now - began
        for level, kind, data in extra:
            # The kernel's own time of arrival: a busy host's Python wakes up late.
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) == 16:
                seconds, nanos = struct.unpack("qq", data)
                exact = seconds + nanos / 1e9 - wall
                rtt = exact if 0 < exact <= rtt else rtt
        self.found[target]["received"] += 1
        self.found[target]["rtt_ms"].append(round(rtt * 1000, 3))

    def take_errors(self) -> None:
        """Take the refusals that routers and hosts sent."""
        while True:
            try:
                packet, extra, _flags, address = self.sock.recvmsg(2048, 512, _MSG_ERRQUEUE)
            except OSError:
                return
            refusal = _refusal(extra, self.family)
            number = struct.unpack("!H", packet[6:8])[0] if len(packet) >= 8 else -1
            if refusal is None or number not in self.sent or self.sent[number][0] != address[0]:
                continue
            target, _wall, began = self.sent.pop(number)
            refusal["ms"] = _ms_since(began)
            self.found[target]["errors"].append(refusal)


def _refusal(extra: List, family: int) -> Dict | None:
    """Return who refused and why, from a socket's error queue."""
    for level, _kind, data in extra:
        if level not in (socket.IPPROTO_IP, socket.IPPROTO_IPV6) or len(data) < 16:
            continue
        number, origin, kind, code = struct.unpack("=IBBB", data[:7])
        if origin not in (1, 2, 3):
            continue
        offender = "local"
        if origin == 2 and len(data) >= 24:
            offender = socket.inet_ntop(socket.AF_INET, data[20:24])
        elif origin == 3 and len(data) >= 40:
            offender = socket.inet_ntop(socket.AF_INET6, data[24:40])
        names = _V4_REFUSALS if origin == 2 and kind == 3 else _V6_REFUSALS if origin == 3 and kind == 1 else {}
        return {"error": names.get(code) or _outcome(number), "from": offender, "type": kind, "code": code}
    return None


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    total += total >> 16
    return int(~total & 0xFFFF)


def _icmp(ask: Dict, until: float) -> Json:
    """Kernel ICMP echo, v4 and v6, to many targets."""
    targets = list(dict.fromkeys(ask.get("targets") or []))
    echoes = {family: _Echo(family, ask) for family in sorted({_family(target) for target in targets})}
    patience = float(ask.get("try_timeout_s") or 1.0)
    interval = float(ask.get("interval_s") or 0.2)
    try:
        for number in range(int(ask.get("count") or 3)):
            if number and time.monotonic() + interval >= until:
                break
            sent_at = time.monotonic()
            for target in targets:
                echoes[_family(target)].send(target)
                for echo in echoes.values():
                    echo.take()
            _listen(echoes, min(until, sent_at + interval), early=False)
        _listen(echoes, min(until, time.monotonic() + max(0.0, patience - interval)), early=True)
    finally:
        for echo in echoes.values():
            echo.sock.close()
    found: Dict = {}
    for echo in echoes.values():
        found.update(echo.found)
    for result in found.values():
        result["lost"] = result["sent"] - result["received"]
    return found


def _listen(echoes: Dict, until: float, early: bool) -> None:
    """Take replies until `until`; with `early`, no longer than something is outstanding."""
    poll = select.poll()
    for echo in echoes.values():
        poll.register(echo.sock, select.POLLIN | select.POLLERR)
    while time.monotonic() < until and not (early and not any(echo.sent for echo in echoes.values())):
        poll.poll(max(1, int((until - time.monotonic()) * 1000)))
        for echo in echoes.values():
            echo.take()


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


# -- TCP, UDP and HTTP --


def _tcp(ask: Dict, until: float) -> Json:
    """Try to connect to each target; the outcome is what the kernel was told."""
    patience = min(until, time.monotonic() + float(ask.get("try_timeout_s") or 3.0))
    return _each(lambda target: _connect_one(target, ask, patience), list(ask.get("targets") or []), until)


def _connect_one(target: Dict, ask: Dict, until: float) -> Dict:
    host, port = str(target["host"]), int(target["port"])
    found: Dict = {"host": host, "port": port, "from": "", "local": ""}
    began = time.monotonic()
    sock = socket.socket(_family(host), socket.SOCK_STREAM)
    try:
        if _family(host) == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        if ask.get("source"):
            sock.bind((ask["source"], 0))
        found["outcome"], found["from"] = _connect(sock, host, port, until)
        if found["outcome"] == "connected":
            found["local"] = sock.getsockname()[0]
    except OSError as exc:
        found["outcome"] = _outcome(exc.errno)
    finally:
        sock.close()
    found["duration_ms"] = _ms_since(began)
    return found


def _connect(sock: socket.socket, host: str, port: int, until: float) -> Tuple:
    """Return the outcome of connecting, and the address of the router or host that refused by ICMP."""
    sock.setblocking(False)
    number = sock.connect_ex((host, port))
    if number == errno.EINPROGRESS:
        ready = select.poll()
        ready.register(sock, select.POLLOUT)
        if not ready.poll(int(_left(until) * 1000)):
            return "timeout", ""
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if not number:
        return "connected", ""
    try:
        refusal = _refusal(sock.recvmsg(2048, 512, _MSG_ERRQUEUE)[1], sock.family)
    except OSError:
        refusal = None
    if refusal:
        return refusal["error"], refusal["from"]
    # A refusal without an ICMP message is a reset from the host itself; no route is this host's own word.
    return _outcome(number), host if number == errno.ECONNREFUSED else "local"


def _send(ask: Dict, _until: float) -> Json:
    """Send UDP datagrams with a marker."""
    host, port = str(ask["host"]), int(ask["port"])
    sock = socket.socket(_family(host), socket.SOCK_DGRAM)
    sent, errors = 0, []
    with sock:
        for _number in range(int(ask.get("count") or 1)):
            try:
                sock.sendto(str(ask.get("marker") or "meshctl").encode(), (host, port))
                sent += 1
            except OSError as exc:
                errors.append(_outcome(exc.errno))
    return {"sent": sent, "errors": errors}


def _web(ask: Dict, until: float) -> Json:
    """Fetch each URL; what cannot be fetched has an outcome as well."""
    patience = min(until, time.monotonic() + float(ask.get("try_timeout_s") or 5.0))
    return _each(lambda target: _fetch(target, patience), list(ask.get("targets") or []), until)


def _fetch(target: Dict, until: float) -> Dict:
    url = str(target["url"])
    found: Dict = {"url": url, "outcome": "", "address": "", "status": None, "body": "", "timings": {}}
    began = time.monotonic()
    try:
        _fetch_into(found, target, url, until)
    except Unseen as exc:
        found["outcome"], found["error"] = exc.kind, str(exc)
    except socket.gaierror as exc:
        found["outcome"], found["error"] = "no-name", str(exc)
    except socket.timeout as exc:
        found["outcome"], found["error"] = "timeout", str(exc)
    except OSError as exc:
        found["outcome"] = _outcome(exc.errno) if exc.errno else "broken"
        found["error"] = str(exc)
    found["timings"]["total_ms"] = _ms_since(began)
    return found


def _fetch_into(found: Dict, target: Dict, url: str, until: float) -> None:
    scheme, host, port, path = _split_url(url)
    began = time.monotonic()
    asked = str(target.get("connect") or host)
    rows = socket.getaddrinfo(asked, port, type=socket.SOCK_STREAM)
    found["timings"]["resolve_ms"] = _ms_since(began)
    sock = _connected(found, rows, target, until)
    if sock is None:
        return
    try:
        sock.settimeout(_left(until))
        if scheme == "https":
            sock = _tls(sock, host, target)
        headers = {"Host": target.get("host_header") or _authority(host, port, scheme), "User-Agent": "meshctl",
                   "Accept": "*/*", "Connection": "close"}  # fmt: skip
        if target.get("upgrade"):
            # What a client asks for before it speaks Noise; what comes after the answer's head is not for us.
            status, got, body, first = _http(sock, _upgrade(path, headers), until, 1)
        else:
            status, got, body, first = _http(sock, _request("GET", path, headers), until, _MAX_BODY + 16384)
    finally:
        sock.close()
    found["timings"]["first_byte_ms"] = first
    found.update(outcome="answered", status=status, headers=got, truncated=len(body) > _MAX_BODY)
    found["body"] = body[:_MAX_BODY].decode("utf-8", "replace")


def _connected(found: Dict, rows: List, target: Dict, until: float) -> socket.socket | None:
    """Connect to the first address of a name that takes it, as programs do; None with the last outcome when none does."""
    for left in range(len(rows), 0, -1):
        kind, _type, _proto, _name, address = rows[-left]
        sock = socket.socket(kind, socket.SOCK_STREAM)
        began = time.monotonic()
        try:
            if target.get("source"):
                sock.bind((target["source"], 0))
            outcome, by = _connect(sock, str(address[0]), address[1], began + _left(until) / left)
        except OSError:
            sock.close()
            raise
        found["address"], found["timings"]["connect_ms"] = address[0], _ms_since(began)
        if outcome == "connected":
            return sock
        found["outcome"], found["from"] = outcome, by
        sock.close()
    return None


def _upgrade(path: str, headers: Dict) -> bytes:
    """Return the request by which a Tailscale client leaves HTTP, with a handshake that no server accepts."""
    asked = {
        **headers,
        "Upgrade": "tailscale-control-protocol",
        "Connection": "upgrade",
        "X-Tailscale-Handshake": "AAAA",
    }
    return _request("POST", path, asked).replace(b" HTTP/1.0\r\n", b" HTTP/1.1\r\n", 1)


def _authority(host: str, port: int, scheme: str) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == (443 if scheme == "https" else 80) else f"{name}:{port}"


def _split_url(url: str) -> Tuple:
    scheme, _slashes, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if scheme not in ("http", "https") or not authority or "@" in authority:
        raise Unseen("bad_url", f"{url!r} is not an http or https URL")
    host, port = authority, ""
    if authority.startswith("["):
        host, _bracket, port = authority[1:].partition("]")
        port = port.lstrip(":")
    elif ":" in authority:
        host, _colon, port = authority.partition(":")
    if port and not port.isdigit():
        raise Unseen("bad_url", f"the port of {url!r} is not a number")
    return scheme, host, int(port or (443 if scheme == "https" else 80)), slash + path or "/"


def _tls(sock: socket.socket, host: str, target: Dict) -> socket.socket:
    import ssl

    try:
        context = ssl.create_default_context(cafile=target.get("ca_file") or None)
        return context.wrap_socket(sock, server_hostname=host)
    except ssl.SSLError as exc:
        raise Unseen("tls", f"{exc}") from exc


# -- STUN, as Tailscale's servers want it --

_STUN_COOKIE = 0x2112A442


def _stun(ask: Dict, until: float) -> Json:
    """Ask STUN servers under which address they see this host."""
    return _each(lambda target: _ask_stun(target, ask, until), list(ask.get("targets") or []), until)


def _ask_stun(target: Dict, ask: Dict, until: float) -> Dict:
    host, port = str(target["host"]), int(target["port"])
    found: Dict = {"host": host, "port": port, "outcome": "timeout", "mapped": ""}
    patience = float(ask.get("try_timeout_s") or 1.0)
    try:
        kind, _type, _proto, _name, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(kind, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
            for _attempt in range(int(ask.get("tries") or 2)):
                sock.settimeout(min(patience, _left(until)))
                transaction = os.urandom(12)
                sock.send(_stun_request(transaction))
                try:
                    found["mapped"] = _mapped(sock.recv(2048), transaction)
                except socket.timeout:
                    continue
                found["outcome"] = "answered"
                break
    except socket.gaierror as exc:
        found.update(outcome="no-name", error=str(exc))
    except OSError as exc:
        found["outcome"] = _outcome(exc.errno)
    return found


def _stun_request(transaction: bytes) -> bytes:
    from binascii import crc32

    # Tailscale's servers answer only requests that name its software and carry a fingerprint.
    software = struct.pack("!HH", 0x8022, 8) + b"tailnode"
    head = struct.pack("!HHI", 1, len(software) + 8, _STUN_COOKIE) + transaction
    return head + software + struct.pack("!HHI", 0x8028, 4, crc32(head + software) ^ 0x5354554E)


def _mapped(answer: bytes, transaction: bytes) -> str:
    """Return address and port in a binding response."""
    if len(answer) < 20 or answer[:2] != b"\x01\x01" or answer[8:20] != transaction:
        raise Unseen("bad_response", "the answer is not STUN")
    at = 20
    while at + 4 <= len(answer):
        kind, size = struct.unpack("!HH", answer[at : at + 4])
        value = answer[at + 4 : at + 4 + size]
        if kind == 0x20 and size in (8, 20):
            port = struct.unpack("!H", value[2:4])[0] ^ (_STUN_COOKIE >> 16)
            mask = struct.pack("!I", _STUN_COOKIE) + transaction
            raw = bytes(one ^ other for one, other in zip(value[4:], mask))
            host = socket.inet_ntop(socket.AF_INET if size == 8 else socket.AF_INET6, raw)
            host = host[7:] if host.startswith("::ffff:") and "." in host else host
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        at += 4 + size + -size % 4
    return ""


# -- names --

_TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "TXT": 16, "AAAA": 28}
_TYPE_NAMES = {number: name for name, number in _TYPES.items()}
_RCODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")


def _dns(ask: Dict, until: float) -> Json:
    """Ask a name server over UDP, without the system's resolver in between."""
    server = ask.get("server") or next(iter(_resolv()["nameservers"]), None)
    if not server:
        raise Unseen("no_server", "/etc/resolv.conf names no server")
    queries = list(ask.get("queries") or [])
    return _each(lambda query: _ask_server(str(server), ask, query, until), queries, until, workers=16)


def _ask_server(server: str, ask: Dict, query: Dict, until: float) -> Dict:
    name, kind = str(query["name"]), str(query.get("type") or "A").upper()
    found: Dict = {"name": name, "type": kind, "server": server, "outcome": "timeout", "rcode": None, "answers": []}
    began = time.monotonic()
    patience = float(ask.get("try_timeout_s") or 1.0)
    sock = socket.socket(_family(server), socket.SOCK_DGRAM)
    with sock:
        try:
            sock.connect((server, int(ask.get("port") or 53)))
            for attempt in range(int(ask.get("tries") or 2)):
                found["tries"] = attempt + 1
                if _exchange(sock, found, _question(name, kind), min(until, time.monotonic() + patience)):
                    break
        except OSError as exc:
            found["outcome"] = _outcome(exc.errno)
    found["duration_ms"] = _ms_since(began)
    return found


def _exchange(sock: socket.socket, found: Dict, question: bytes, until: float) -> bool:
    sock.send(question)
    # A connected socket takes datagrams from that server alone; id and question tell ours from an older one.
    while time.monotonic() < until:
        sock.settimeout(_left(until))
        try:
            reply = sock.recv(4096)
        except socket.timeout:
            return False
        if len(reply) >= len(question) and reply[:2] == question[:2] and _same_question(reply, question):
            found.update(_parse_reply(reply, len(question)))
            found["outcome"] = "answered"
            return True
    return False


def _same_question(reply: bytes, question: bytes) -> bool:
    return bool(reply[2] & 0x80) and reply[12 : len(question)].lower() == question[12:].lower()


def _question(name: str, kind: str) -> bytes:
    if kind == "PTR":
        name = _reverse(name)
    if kind not in _TYPES:
        raise Unseen("bad_query", f"{kind!r} is not a record type that the probe knows")
    labels = [label.encode("idna") if not label.isascii() else label.encode() for label in name.rstrip(".").split(".")]
    if any(not 0 < len(label) < 64 for label in labels):
        raise Unseen("bad_query", f"{name!r} is not a host name")
    head = struct.pack("!2sHHHHH", os.urandom(2), 0x0100, 1, 0, 0, 0)
    encoded = b"".join(bytes([len(label)]) + label for label in labels)
    return head + encoded + struct.pack("!BHH", 0, _TYPES[kind], 1)


def _reverse(name: str) -> str:
    if ":" in name:
        return ".".join(reversed(socket.inet_pton(socket.AF_INET6, name).hex())) + ".ip6.arpa"
    parts = name.split(".")
    if len(parts) == 4 and all(part.isdigit() for part in parts):
        return ".".join(reversed(parts)) + ".in-addr.arpa"
    return name


def _parse_reply(reply: bytes, offset: int) -> Dict:
    flags, _questions, count = struct.unpack("!HHH", reply[2:8])
    answers = []
    try:
        for _number in range(count):
            name, offset = _name_at(reply, offset)
            kind, _class, ttl, size = struct.unpack("!HHIH", reply[offset : offset + 10])
            offset += 10
            value = _record(reply, kind, offset, size)
            answers.append({"name": name, "type": _TYPE_NAMES.get(kind, str(kind)), "ttl": ttl, "value": value})
            offset += size
    except (struct.error, IndexError, ValueError) as exc:
        raise Unseen("bad_response", f"the name server's answer is broken: {exc}") from exc
    code = flags & 15
    return {"rcode": _RCODES[code] if code < len(_RCODES) else str(code), "answers": answers,
            "authoritative": bool(flags & 0x400), "truncated": bool(flags & 0x200)}  # fmt: skip


def _record(reply: bytes, kind: int, offset: int, size: int) -> str:
    data = reply[offset : offset + size]
    if kind == 1:
        return socket.inet_ntop(socket.AF_INET, data)
    if kind == 28:
        return socket.inet_ntop(socket.AF_INET6, data)
    if kind in (2, 5, 12):
        return str(_name_at(reply, offset)[0])
    return data.hex()


def _name_at(reply: bytes, offset: int) -> Tuple:
    labels, after, jumps = [], None, 0
    while True:
        size = reply[offset]
        if size >= 192:
            jumps += 1
            if jumps > 32:
                raise ValueError("a name that points to itself")
            after = offset + 2 if after is None else after
            offset = struct.unpack("!H", reply[offset : offset + 2])[0] & 0x3FFF
            continue
        offset += 1
        if not size:
            break
        labels.append(reply[offset : offset + size].decode("latin-1"))
        offset += size
    return ".".join(labels), offset if after is None else after


def _lookup(ask: Dict, until: float) -> Json:
    """Resolve names as every program on the host does."""
    names = list(ask.get("names") or [])
    family = {4: socket.AF_INET, 6: socket.AF_INET6}.get(int(ask.get("family") or 0), socket.AF_UNSPEC)
    found = _each(lambda name: _look_up(str(name), family), names, until, workers=16)
    return [result or {"name": name, "outcome": "timeout", "addresses": []} for name, result in zip(names, found)]


def _look_up(name: str, family: int) -> Dict:
    began = time.monotonic()
    found: Dict = {"name": name, "outcome": "found", "addresses": [], "canonical": ""}
    try:
        rows = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM, 0, socket.AI_CANONNAME)
        found["addresses"] = list(dict.fromkeys(row[4][0] for row in rows))
        found["canonical"] = rows[0][3] if rows else ""
    except socket.gaierror as exc:
        absent = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", -5))
        found.update(outcome="not-found" if exc.errno in absent else "failed", error=str(exc))
    except (OSError, UnicodeError) as exc:
        found.update(outcome="failed", error=str(exc))
    found["duration_ms"] = _ms_since(began)
    return found


def _resolv() -> Dict:
    found: Dict = {"nameservers": [], "search": [], "text": ""}
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
            found["text"] = file.read(_MAX_BODY)
    except OSError as exc:
        raise Unseen("unreadable", f"/etc/resolv.conf: {exc.strerror}") from exc
    for line in found["text"].splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            found["nameservers"].append(words[1])
        elif len(words) > 1 and words[0] in ("search", "domain"):
            found["search"] = words[1:]
    return found


def _resolv_conf(_ask: Dict, _until: float) -> Json:
    return _resolv()


# -- the host's own network --


def _listening(ask: Dict, until: float) -> Json:
    """Return the listening sockets, with their process where this user may see it."""
    ports = {int(port) for port in ask.get("ports") or []}
    found = []
    for proto in ("tcp", "tcp6", "udp", "udp6"):
        try:
            with open("/proc/net/" + proto) as file:
                lines = file.readlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] != ("0A" if proto.startswith("tcp") else "07"):
                continue
            address, port = _proc_address(words[1])
            if not ports or port in ports:
                found.append({"proto": proto[:3], "address": address, "port": port, "inode": int(words[9])})
    owners = _owners({entry["inode"] for entry in found}, until)
    for entry in found:
        entry["process"] = owners.get(entry.pop("inode"))
    return found


def _proc_address(text: str) -> Tuple:
    digits, _colon, port = text.partition(":")
    words = [struct.pack("=I", int(digits[i : i + 8], 16)) for i in range(0, len(digits), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, b"".join(words)), int(port, 16)


def _owners(inodes: set[int], until: float) -> Dict:
    found: Dict = {}
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    for pid in [name for name in os.listdir("/proc") if name.isdigit()]:
        if len(found) == len(wanted) or time.monotonic() >= until:
            break
        try:
            for handle in os.listdir(f"/proc/{pid}/fd"):
                inode = wanted.get(os.readlink(f"/proc/{pid}/fd/{handle}"))
                if inode is not None and inode not in found:
                    with open(f"/proc/{pid}/comm") as file:
                        found[inode] = {"pid": int(pid), "name": file.read().strip()}
        except OSError:
            continue
    return found


def _ip(words: List, until: float) -> List:
    import subprocess

    try:
        done = subprocess.run(
            ["ip", "-j", *words],  # noqa: S607
            capture_output=True, timeout=_left(until), check=False,
        )  # fmt: skip
    except FileNotFoundError as exc:
        raise Unseen("no_ip", "the command ip is missing on the host: install iproute2") from exc
    except subprocess.TimeoutExpired as exc:
        raise Unseen("timeout", "ip {} did not end in time".format(" ".join(words))) from exc
    if done.returncode:
        raise Unseen("refused", done.stderr.decode("utf-8", "replace").strip()[:300])
    return list(_json(done.stdout or b"[]"))


def _addresses(_ask: Dict, until: float) -> Json:
    return [
        {
            "name": link.get("ifname"),
            "up": "UP" in (link.get("flags") or []),
            "carrier": "NO-CARRIER" not in (link.get("flags") or []),
            "addresses": ["{}/{}".format(a.get("local"), a.get("prefixlen")) for a in link.get("addr_info") or []],
        }
        for link in _ip(["address", "show"], until)
        if link.get("ifname")
    ]


def _routes(ask: Dict, until: float) -> Json:
    """Return the routes of every table, and which one is taken to each address of `get`."""
    found: Dict = {"routes": _ip(["route", "show", "table", "all", "type", "unicast"], until), "get": {}}
    for address in ask.get("get") or []:
        try:
            found["get"][address] = _ip(["route", "get", str(address)], until)[0]
        except Unseen as exc:
            found["get"][address] = {"error": str(exc)}
    return found


def _files(ask: Dict, _until: float) -> Json:
    found: Dict = {}
    for path in ask.get("paths") or []:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                found[path] = {"text": file.read(_MAX_BODY)}
        except OSError as exc:
            found[path] = {"error": exc.strerror or str(exc)}
    return found


def _config(ask: Dict, _until: float) -> Json:
    """Return a configuration file of YAML, with every value blanked whose name says that it is a secret."""
    path = str(ask.get("path") or "/etc/headscale/config.yaml")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(_MAX_BODY).splitlines()
    except OSError as exc:
        kind = "not_permitted" if exc.errno in (errno.EACCES, errno.EPERM) else "no_config"
        raise Unseen(kind, f"{path}: {exc.strerror}") from exc
    kept = []
    for line in lines:
        name, colon, _value = line.partition(":")
        secret = name.strip().lstrip("- ").lower().endswith(("secret", "password", "pass", "token", "key"))
        kept.append(f"{name}: hidden" if colon and secret and _value.strip() else line)
    return {"path": path, "text": "\n".join(kept)}


def _clock(_ask: Dict, _until: float) -> Json:
    return {"now": time.time()}


# -- what really is on the wire --

_ETH_P_ALL, _SOL_PACKET, _PACKET_STATISTICS, _PACKET_OUTGOING = 3, 263, 6, 4
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}
_DISCO = b"TS\xf0\x9f\x92\xac"


def _capture(ask: Dict, until: float) -> Json:
    """Watch every interface while the observations in `during` are made; count what went by, by flow."""
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    except PermissionError as exc:
        raise Unseen("not_permitted", "this user may not capture packets: use become: true") from exc
    flows: Dict = {}
    stop = threading.Event()
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.settimeout(0.05)
        marker = str(ask.get("marker") or "").encode()
        watcher = threading.Thread(target=_watch, args=(sock, flows, marker, stop), daemon=True)
        watcher.start()
        during = _observe_all(ask.get("during") or [], until - 0.2)
        time.sleep(0.05)  # what was sent last may still be on its way through tailscaled
        stop.set()
        watcher.join(1.0)
        seen, dropped = struct.unpack("=II", sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
    return {"flows": list(flows.values()), "packets": seen, "dropped": dropped, "during": during}


def _watch(sock: socket.socket, flows: Dict, marker: bytes, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            packet, where = sock.recvfrom(65535)
        except socket.timeout:
            continue
        except OSError:
            return
        flow = _flow(packet, where)
        if flow is None:
            continue
        key, payload = flow
        seen = flows.get(key)
        if seen is None:
            names = ("interface", "direction", "proto", "src", "dst", "sport", "dport")
            seen = flows[key] = dict(zip(names, key), packets=0, bytes=0, marked=0, wireguard={}, disco=0)
        seen["packets"] += 1
        seen["bytes"] += len(payload)
        if marker and marker in packet:
            seen["marked"] += 1
        if key[2] == "udp":
            _classify(seen, payload)


def _classify(seen: Dict, payload: bytes) -> None:
    if payload.startswith(_DISCO):
        seen["disco"] += 1
    elif len(payload) >= 32 and payload[0] in (1, 2, 3, 4) and payload[1:4] == b"\0\0\0":
        kind = str(payload[0])
        seen["wireguard"][kind] = seen["wireguard"].get(kind, 0) + 1


def _flow(packet: bytes, where: Tuple) -> Tuple | None:
    """Return a packet's flow and its payload, None for what is not IP."""
    if len(packet) < 20:
        return None
    if packet[0] >> 4 == 4:
        proto, head = packet[9], (packet[0] & 15) * 4
        src, dst = (socket.inet_ntop(socket.AF_INET, packet[at : at + 4]) for at in (12, 16))
    elif packet[0] >> 4 == 6 and len(packet) >= 40:
        proto, head = packet[6], 40
        src, dst = (socket.inet_ntop(socket.AF_INET6, packet[at : at + 16]) for at in (8, 24))
    else:
        return None
    ports = struct.unpack("!HH", packet[head : head + 4]) if proto in (6, 17) and len(packet) >= head + 4 else (0, 0)
    body = head + 8 if proto == 17 else head
    way = "out" if where[2] == _PACKET_OUTGOING else "in"
    return (where[0], way, _PROTOCOLS.get(proto, str(proto)), src, dst, *ports), packet[body:]


def _sequence(ask: Dict, until: float) -> Json:
    """Make observations one after another; return them by id."""
    found: Dict = {}
    for number, step in enumerate(ask.get("steps") or []):
        found.update(_observe_all([dict(step, id=step.get("id") or str(number))], until - 0.3))
    return found


# -- the control server --


def _headscale(ask: Dict, until: float) -> Json:
    """Return the JSON of a path of headscale's HTTP API; the key is read here and stays here."""
    url = str(ask.get("url") or "").rstrip("/")
    key = str(ask.get("api_key") or "") or _api_key(str(ask.get("api_key_file") or ""))
    return _ask_headscale(url, str(ask.get("path") or "/api/v1/node"), key, ask.get("ca_file"), until)


def _api_key(path: str) -> str:
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            key = file.read().strip()
    except OSError as exc:
        said = f"the API key file {path!r} cannot be read: {exc.strerror}; mesh_api_key_file names another"
        raise Unseen("no_api_key", said) from exc
    if not key:
        raise Unseen("no_api_key", f"the API key file {path!r} is empty")
    return key


def _ask_headscale(url: str, path: str, key: str, ca_file: str | None, until: float) -> Json:
    import ssl
    import urllib.error
    import urllib.request

    if not url.startswith(("https://", "http://")):
        raise Unseen("bad_url", f"the server's URL {url!r} begins with neither https:// nor http://")
    try:
        request = urllib.request.Request(  # noqa: S310
            url + path, headers={"Authorization": "Bearer " + key}
        )
        context = ssl.create_default_context(cafile=ca_file or None) if url.startswith("https:") else None
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _stay_here()
        )
        with opener.open(request, timeout=_left(until)) as answer:
            return _json(answer.read(_MAX_ANSWER))
    except urllib.error.HTTPError as exc:
        if exc.code in (401, 403):
            remedy = "`headscale apikeys create` makes another"
            raise Unseen("bad_api_key", f"{url} refuses the API key: it is wrong or has expired; {remedy}") from exc
        said = exc.read(500).decode("utf-8", "replace").strip()
        raise Unseen("refused", f"{url} answered {exc.code} to {path}: {said}") from exc
    except (OSError, ValueError) as exc:
        reason = str(getattr(exc, "reason", exc))
        remedy = "; mesh_ca_path names what to trust instead" if "CERTIFICATE_VERIFY_FAILED" in reason else ""
        raise Unseen("no_headscale", f"{url} cannot be asked: {reason}{remedy}") from exc


def _stay_here() -> Json:
    """Return a handler that follows no redirect: the key is for one server."""
    import urllib.request

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_args: object) -> None:
            return None

    return Stay()


_KINDS: dict[str, Callable[[Dict, float], Json]] = {
    "status": _status,
    "prefs": _prefs,
    "netmap": _netmap,
    "metrics": _metrics,
    "derpmap": _derp_map,
    "dns_config": _dns_config,
    "disco": _mesh_ping,
    "tsmp": _mesh_ping,
    "icmp": _icmp,
    "tcp": _tcp,
    "send": _send,
    "http": _web,
    "dns": _dns,
    "getaddrinfo": _lookup,
    "resolv_conf": _resolv_conf,
    "listening": _listening,
    "addresses": _addresses,
    "routes": _routes,
    "capture": _capture,
    "sequence": _sequence,
    "headscale": _headscale,
    "files": _files,
    "time": _clock,
    "stun": _stun,
    "config": _config,
}
