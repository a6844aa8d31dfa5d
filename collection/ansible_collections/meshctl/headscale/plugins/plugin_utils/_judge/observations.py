# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of the observations that actions request and judges read."""

from __future__ import annotations

from typing import Final

ADDRESSES: Final = "addresses"
ALIVE: Final = "alive"
BULK: Final = "bulk"
BURST: Final = "burst"
CALM: Final = "calm"
CAPTURE: Final = "capture"
DIRECT: Final = "direct"
DISCO: Final = "disco"
DNS: Final = "dns"
DNS_TCP: Final = "dns_tcp"
DOCUMENT: Final = "document"
EXCHANGE: Final = "exchange"
FILES: Final = "files"
GETADDRINFO: Final = "getaddrinfo"
HELD: Final = "held"
HTTP: Final = "http"
ICMP: Final = "icmp"
ICMP6: Final = "icmp6"
KNOCK: Final = "knock"
LARGE: Final = "large"
LISTENING: Final = "listening"
LOOKUPS: Final = "lookups"
METRICS_AFTER: Final = "metrics_after"
METRICS_BEFORE: Final = "metrics_before"
NODES: Final = "nodes"
OUTSIDE: Final = "outside"
PINGS: Final = "pings"
PREFS: Final = "prefs"
REFRESHED: Final = "refreshed"
RESOLVER: Final = "resolver"
RESOLV_CONF: Final = "resolv_conf"
ROUTES: Final = "routes"
STATUS: Final = "status"
STEADY: Final = "steady"
STEPS: Final = "steps"
TCP: Final = "tcp"
TSMP: Final = "tsmp"
WATCHED: Final = "watched"
WIRE: Final = "wire"
