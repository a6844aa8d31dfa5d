# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a control server, or a relay, as a host sees it who fetched its pages."""

from __future__ import annotations

from .answer import Json, mapping, text

HEALTH, UPGRADE = "/health", "/ts2021"
_OK, _SWITCHING = 200, 101


def asked(url: str) -> list[dict[str, str]]:
    """Return what to fetch of a control server, as the probe's `http` takes it."""
    return [{"url": f"{url}{HEALTH}"}, {"url": f"{url}{UPGRADE}", "upgrade": "tailscale-control-protocol"}]


def trouble(rows: list[Json], url: str) -> str:
    """Return what is wrong with a control server after its pages were `asked` for, empty when nothing."""
    by_url = {text(row.get("url")): row for row in map(mapping, rows) if row}
    health, upgrade = by_url.get(f"{url}{HEALTH}"), by_url.get(f"{url}{UPGRADE}")
    if not health and not upgrade:
        return "nothing answered in time, not even who has its name: is this host's line well, and its resolver?"
    return (unwell(health) if health else "") or (not_upgraded(upgrade) if upgrade else "")


def no_answer(row: dict[str, Json]) -> str:
    """Return why a page could not be fetched."""
    outcome = text(row.get("outcome"))
    if outcome == "tls":
        said = text(row.get("error"))
        dated = "not yet valid" in said or "has expired" in said
        remedy = (
            "renew it, unless this host's clock is wrong" if dated else "add the authority to the host's trust store"
        )
        return f"its certificate is not trusted here ({said}): {remedy}"
    return {
        "no-name": "its name does not resolve here: see doctor.upstream_dns and doctor.domain",
        "refused": "nothing listens there: is headscale, or the proxy before it, running?",
        "timeout": "it does not answer in time: is it up, and does a firewall drop the way to it?",
    }.get(outcome, f"the connection ended with {outcome or 'no answer'}: {text(row.get('error'))}".rstrip(": "))


def unwell(row: dict[str, Json]) -> str:
    """Return what is wrong with a server by its health page, empty when nothing."""
    if text(row.get("outcome")) != "answered":
        return no_answer(row)
    if row.get("status") == _OK:
        return ""
    return f"the server answers {row.get('status')}: its database or the proxy before it is broken; look at headscale's log"


def not_upgraded(row: dict[str, Json]) -> str:
    """Return what keeps a client from changing to its own protocol, empty when nothing."""
    if text(row.get("outcome")) != "answered":
        return no_answer(row)
    if row.get("status") == _SWITCHING:
        return ""
    server = text(mapping(row.get("headers")).get("server"))
    return (
        f"{server or 'something'} before headscale does not pass the upgrade on: in nginx set `proxy_http_version 1.1`, "
        "`proxy_set_header Upgrade $http_upgrade` and `proxy_set_header Connection $connection_upgrade`; "
        "proxies that cannot (Cloudflare) must be left out"
    )
