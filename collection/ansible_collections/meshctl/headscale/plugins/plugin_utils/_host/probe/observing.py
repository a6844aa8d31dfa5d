# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the requested observations at the same time and within the deadline."""

from __future__ import annotations

import importlib
import threading
import time

from .base import Unseen, ms_since
from .load import note_wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, List, Observe

# The function that makes each kind of observation, from the request and its deadline. Modules are loaded on demand,
# because a host must compile every line.
KINDS = {
    "addresses": "system.addresses",
    "call": "door.call",
    "capture": "capture.capture",
    "config": "system.config",
    "derpmap": "tailscaled.derp_map",
    "disco": "tailscaled.mesh_ping",
    "dns": "dns.ask_servers",
    "dns_config": "tailscaled.dns_config",
    "dns_map": "tailscaled.dns_map",
    "exchange": "exchange.exchange",
    "files": "system.files",
    "firewall": "firewall.rules",
    "getaddrinfo": "names.look_up",
    "headscale": "control.headscale",
    "hold": "hold.hold",
    "http": "web.fetch",
    "icmp": "icmp.icmp",
    "knock": "knock.knock",
    "listening": "system.listening",
    "locks": "service.locks",
    "log": "service.log",
    "metrics": "tailscaled.metrics",
    "modes": "system.modes",
    "netmap": "tailscaled.netmap",
    "output": "evidence.output",
    "own_dns": "tailscaled.own_dns",
    "packet_filter": "tailscaled.packet_filter",
    "ports": "ports.try_ports",
    "prefs": "tailscaled.prefs",
    "resolv_conf": "names.resolv_conf",
    "routes": "system.routes",
    "send": "tcp.send",
    "sequence": "observing.sequence",
    "serve": "serve.serve",
    "space": "service.space",
    "status": "tailscaled.status",
    "stun": "stun.ask_servers",
    "tcp": "tcp.tcp",
    "tail": "evidence.tail",
    "time": "system.clock",
    "tsmp": "tailscaled.mesh_ping",
    "udp": "tcp.udp",
    "watch": "watch.watch",
    "watched": "watch.watched",
}


def observe_all(asks: List, deadline: float) -> Dict:
    seen: Dict = {}
    threads = []
    began = time.monotonic()
    for number, ask in enumerate(asks):
        key = str(ask.get("id") or number)
        # A thread may begin late on a busy host.
        limit = ask.get("timeout_s")
        until = deadline if limit is None else min(deadline, began + float(limit))
        thread = threading.Thread(target=_observe, args=(ask, until, seen, key), daemon=True)
        threads.append((key, ask, until, thread))
        thread.start()
    for _key, _ask, until, thread in threads:
        thread.join(max(0.0, until + 0.3 - time.monotonic()))
    # Copy the results, because a thread that is still blocked may change them while they are written.
    answer = dict(seen)
    for key, ask, _until, _thread in threads:
        if key not in answer:
            answer[key] = _unseen(ask, "deadline", "no answer within the deadline", 0.0)
    return answer


def _observe(ask: Dict, until: float, seen: Dict, key: str) -> None:
    began = time.monotonic()
    try:
        if ask.get("withheld"):
            raise Unseen("withheld", str(ask["withheld"]))
        data = _maker_of(ask.get("kind"))(ask, until)
    except Unseen as exc:
        seen[key] = _unseen(ask, exc.kind, str(exc), began)
    except Exception as exc:  # the other observations must still be reported
        seen[key] = _unseen(ask, type(exc).__name__, str(exc) or repr(exc), began)
    else:
        seen[key] = {"kind": ask["kind"], "ok": True, "duration_ms": ms_since(began), "data": data}
    finally:
        note_wait()


def _maker_of(kind: object) -> Observe:
    """Return the function that makes the observations of a kind."""
    if kind not in KINDS:
        raise Unseen("unknown_kind", f"the probe does not know the observation {kind!r}")
    module, _dot, function = KINDS[str(kind)].partition(".")
    made: Observe = getattr(importlib.import_module("." + module, __package__), function)
    return made


def _unseen(ask: Dict, kind: str, message: str, began: float) -> Dict:
    spent = ms_since(began) if began else 0.0
    return {"kind": ask.get("kind"), "ok": False, "duration_ms": spent, "error": {"type": kind, "message": message}}


def sequence(ask: Dict, until: float) -> Json:
    """Make observations in order; return them by id."""
    found: Dict = {}
    for number, step in enumerate(ask.get("steps") or []):
        found.update(observe_all([dict(step, id=step.get("id") or str(number))], until - 0.3))
    return found
