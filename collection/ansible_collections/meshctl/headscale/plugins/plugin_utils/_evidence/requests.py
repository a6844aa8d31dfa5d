# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""List what is read from each host; nothing of it changes the host."""

from __future__ import annotations

from typing import Any, Final

Request = dict[str, Any]

API: Final = {"nodes": "node", "users": "user", "policy": "policy"}
_COMMANDS = {
    "addresses": ["ip", "address", "show"],
    "rules": ["ip", "rule", "show"],
    "routes4": ["ip", "-4", "route", "show", "table", "all"],
    "routes6": ["ip", "-6", "route", "show", "table", "all"],
    "firewall_nft": ["nft", "list", "ruleset"],
    "firewall_iptables": ["iptables-save"],
    "firewall_ip6tables": ["ip6tables-save"],
    "sockets": ["ss", "-tulpn"],
    "kernel": ["uname", "-srvm"],
    "clock": ["date", "-u", "+%Y-%m-%dT%H:%M:%SZ"],
}
# Answers of tailscaled, without private keys.
_TAILSCALED = ("status", "prefs", "netmap", "derpmap", "dns_config", "metrics")


def of_host(*, client: bool, server: Request | None, service: str) -> list[Request]:
    """Return the requests for a host; `server` says how to ask the API, on the control server's host."""
    asked: list[Request] = [{"id": name, "kind": "output", "words": words} for name, words in _COMMANDS.items()]
    asked.append({"id": "resolv_conf", "kind": "resolv_conf"})
    if client:
        asked += [{"id": kind, "kind": kind} for kind in _TAILSCALED]
    if service:
        asked += [
            {"id": f"log_{service}", "kind": "tail", "paths": [f"/var/log/meshctl/{service}/current"]},
            {
                "id": f"journal_{service}",
                "kind": "output",
                "words": [
                    "journalctl",
                    "--no-pager",
                    "--quiet",
                    "--output=short-iso-precise",
                    "--lines=1000",
                    f"--unit={service}",
                ],
            },
        ]
    if server:
        asked.append({"id": "config", "kind": "config"})
        asked += [{"id": name, "kind": "headscale", "path": f"/api/v1/{path}", **server} for name, path in API.items()]
    return asked
