# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask the host's tailscaled through its socket (LocalAPI)."""

from __future__ import annotations

import errno
import socket
import time

from .base import MAX_ANSWER, Unseen, each, left, read_json
from .http import exchange, request_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, List

_SOCKET = "/var/run/tailscale/tailscaled.sock"
# The byte of a DNS message whose lower half is the response code.
_RCODE_AT = 3


def _local_api(ask: Dict, method: str, path: str, until: float) -> bytes:
    """Ask tailscaled through its socket."""
    where = str(ask.get("socket") or _SOCKET)
    what = path.partition("?")[0]
    request = request_of(method, "/localapi/v0/" + path, {"Host": "local-tailscaled.sock", "Connection": "close"})
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(left(until))
        try:
            sock.connect(where)
        except OSError as exc:
            raise _no_tailscaled(where, exc) from exc
        status, _headers, body, _first = exchange(sock, request, until, MAX_ANSWER)
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
        from .tunnel import processes

        if running := processes():
            return Unseen("no_socket", f"tailscaled runs as process {running[0]}, but nothing listens on {where}")
        return Unseen("no_tailscaled", f"tailscaled is not running: nothing listens on {where}")
    if exc.errno in (errno.EACCES, errno.EPERM):
        return Unseen("not_permitted", f"{where} may not be opened by this user: use become: true")
    return Unseen("no_tailscaled", f"{where}: {exc}")


def status(ask: Dict, until: float) -> Json:
    """Return tailscaled's status, of which peers are the largest part in a large mesh."""
    found = read_json(_local_api(ask, "GET", "status" if ask.get("peers", True) else "status?peers=false", until))
    if not ask.get("full") and isinstance(found, dict):
        for node in [found.get("Self"), *list((found.get("Peer") or {}).values())]:
            for noise in ("CapMap", "Capabilities", "sshHostKeys"):
                (node or {}).pop(noise, None)
    return found


def prefs(ask: Dict, until: float) -> Json:
    return read_json(_local_api(ask, "GET", "prefs", until))


def netmap(ask: Dict, until: float) -> Json:
    try:
        return read_json(_local_api(ask, "POST", "debug?action=current-netmap", until))
    except Unseen as exc:
        if exc.kind != "refused":
            raise
        raise Unseen("refused", f"this tailscaled does not show its network map (1.90 or later does): {exc}") from exc


def packet_filter(ask: Dict, until: float) -> Json:
    """Return the rules of the packet filter that the server gave to this node."""
    return read_json(_local_api(ask, "GET", "debug-packet-filter-matches", until)) or []


def metrics(ask: Dict, until: float) -> Json:
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


def derp_map(ask: Dict, until: float) -> Json:
    return read_json(_local_api(ask, "GET", "derpmap", until))


def dns_config(ask: Dict, until: float) -> Json:
    return read_json(_local_api(ask, "GET", "dns-osconfig", until))


def dns_map(ask: Dict, until: float) -> Json:
    """Return the resolvers that the server gave, also those of single domains."""
    return read_json(_local_api(ask, "GET", "dns-config", until))


def own_dns(ask: Dict, until: float) -> Json:
    """Ask tailscaled's resolver through the socket, which neither a route nor a firewall of the host can stop."""
    names = list(ask.get("names") or [])
    return dict(zip(names, each(lambda name: _asked_inside(ask, name, until), names, until)))


def _asked_inside(ask: Dict, name: str, until: float) -> Dict:
    import base64
    from urllib.parse import quote

    try:
        said = read_json(_local_api(ask, "GET", f"dns-query?name={quote(name)}&type=A", until))
    except Unseen as exc:
        if exc.kind == "timeout" or "answered 500" in str(exc):
            return {"answered": False, "rcode": None, "error": str(exc)}
        raise
    reply = base64.b64decode((said or {}).get("Bytes") or "")
    return {"answered": len(reply) > _RCODE_AT, "rcode": reply[_RCODE_AT] & 15 if len(reply) > _RCODE_AT else None}


def mesh_ping(ask: Dict, until: float) -> Json:
    """Ping targets through tailscaled (`disco` shows the path, `tsmp` proves WireGuard)."""
    kind = "TSMP" if ask["kind"] == "tsmp" else "disco"
    targets = list(ask.get("targets") or [])
    # First check that tailscaled answers, or else every ping would look lost.
    _local_api(ask, "GET", "status?peers=false", until)
    rate = float(ask.get("per_second") or 0)
    found = each(lambda target: _ping_one(ask, kind, target, until), targets, until, per_second=rate)
    return {target: result for target, result in zip(targets, found) if result}


def _ping_one(ask: Dict, kind: str, target: str, until: float) -> Dict:
    answers: List = []
    lost = 0
    for attempt in range(int(ask.get("tries") or 5)):
        if attempt:
            time.sleep(min(float(ask.get("interval_s") or 0.2), max(0.0, until - time.monotonic())))
        if time.monotonic() >= until:
            break
        # tailscaled waits forever for a lost pong.
        stop = min(until, time.monotonic() + float(ask.get("try_timeout_s") or 1.0))
        try:
            pong = read_json(_local_api(ask, "POST", f"ping?ip={target}&type={kind}", stop))
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
