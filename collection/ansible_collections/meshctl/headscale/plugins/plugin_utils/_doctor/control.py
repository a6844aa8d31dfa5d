# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find out what is wrong with a control server from the pages that it serves to every host."""

from __future__ import annotations

import re
from typing import Any

from .._host.probe.wire import MOST_ADDRESSES, telling
from .._judge.answer import Json, addresses, items, mapping, text
from .._judge.reason import late
from . import proxies, urls

HEALTH, UPGRADE = "/health", "/ts2021"
OK, SWITCHING = 200, 101
_REJECTED, _REDIRECTS, _NO_BACKEND = (403, 404), (301, 302, 303, 307, 308), (502, 503, 504)
_LOGIN, _LIMIT, _UNAVAILABLE, _BAD = 401, 429, 503, 400
# What nginx says to a client without a certificate.
_NO_CERTIFICATE = "SSL certificate"

_OTHER_NAME = ("Hostname mismatch", "IP address mismatch", "the certificate is for")
_CLOSED = ("EOF", "reset by peer")
# Farther than any connection that failed.
_FARTHEST = 5
# What OpenSSL adds to its reason, in Python's words.
_OPENSSL = re.compile(r"\[SSL: CERTIFICATE_VERIFY_FAILED\] certificate verify failed: | \(_ssl\.c:\d+\)")

AS_CLIENT: dict[str, Any] = {"user_agent": "Go-http-client/1.1", "bypass": True, "as_tailscaled": True}
"""What tailscaled's own requests have: Go's name, a route around the mesh, and the HTTP proxy of its environment."""


def asked(url: str) -> list[dict[str, Any]]:
    """Return the pages from which `trouble` tells what is wrong, as the probe's `http` takes them."""
    return [
        {**AS_CLIENT, "url": f"{url}{HEALTH}"},
        {**AS_CLIENT, "url": f"{url}{UPGRADE}", "upgrade": "tailscale-control-protocol"},
    ]


def trouble(rows: list[Json], url: str) -> str:
    """Return what is wrong with a control server after its pages were `asked` for, empty if nothing is."""
    by_url = {text(row.get("url")): row for row in map(mapping, rows) if row}
    page, upgraded = by_url.get(f"{url}{HEALTH}"), by_url.get(f"{url}{UPGRADE}")
    if not page and not upgraded:
        return late("nothing answered in time, not even the resolver: check this host's network and its resolver")
    return (unwell(page) if page else "") or (not_upgraded(upgraded) if upgraded else "")


def no_answer(row: dict[str, Json], program: str = "headscale, or the proxy in front of it,") -> str:
    """Return why a page of a program could not be fetched."""
    outcome, said = text(row.get("outcome")), text(row.get("error"))
    if proxy := unproxied(row):
        return proxy
    if outcome == "tls":
        return _distrusted(said)
    if outcome == "prohibited" and text(row.get("from")) in ("", "local"):
        return "this host's own firewall refuses to send to it: look at its output rules (`nft list ruleset`)"
    if outcome == "timeout" and row.get("connected") is True:
        return (
            f"it accepts the connection, and does not answer in time: {program} hangs or is overloaded, so read its log and restart it; "
            "a device on the way that drops packets of open connections looks the same"
        )
    if outcome == "handshake" and any(word in said for word in _CLOSED):
        return (
            f"the other side closes the connection before TLS is agreed ({said}): it may just start or end; if it stays so, check that "
            "TLS is enabled on that port, and what is in front of it"
        )
    return {
        "handshake": f"the TLS handshake fails ({said}): check that TLS is enabled on that port, with a certificate for this name",
        "no-name": "its name does not resolve here: see doctor.upstream_dns and doctor.domain",
        "refused": f"nothing listens there{_at(row)}: check that {program} runs, and listens at that address",
        "host-unreachable": f"no machine answers at its address{_at(row)}: check that it is up, and that the address is right",
        "timeout": "it does not answer in time: check that it is up and that no firewall drops packets to it",
    }.get(outcome, f"the connection ended with {outcome or 'no answer'}: {said}".rstrip(": "))


def unproxied(row: dict[str, Json]) -> str:
    """Return what is wrong with the HTTP proxy through which tailscaled asks, empty if that connects or there is none."""
    proxy, outcome = text(row.get("proxy")), text(row.get("outcome"))
    if not proxy or (row.get("connected") is True and outcome != "proxy"):
        return ""
    why = text(row.get("error")) if outcome == "proxy" else f"does not answer ({outcome})"
    return (
        f"tailscaled asks through the HTTP proxy {proxy} of its environment, which {why}: correct or remove HTTPS_PROXY there "
        "(/etc/default/tailscaled, or `systemctl cat tailscaled`), or add the name to NO_PROXY, and restart tailscaled"
    )


def most_telling(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first row that connected, or else the one that tells most of the other side; empty if there is none."""
    return max(rows, key=_distance, default={})


def _distance(row: dict[str, Any]) -> int:
    """Return how far a request came."""
    outcome = text(row.get("outcome"))
    if row.get("connected") is True or outcome == "answered":
        return _FARTHEST
    return 0 if outcome == "no-name" else telling(outcome, text(row.get("from")), text(row.get("address")))


def seen_at(row: dict[str, Any]) -> dict[str, Any]:
    """Return where a page was asked for, as evidence: every address of a name that has several, and why a handshake failed."""
    told = ("address", "proxy", "error") if text(row.get("outcome")) == "handshake" else ("address", "proxy")
    found: dict[str, Any] = {key: said for key in told if (said := text(row.get(key)))}
    known = addresses(items(row.get("addresses"))[:MOST_ADDRESSES])
    return {**found, "addresses": known} if len(known) > 1 else found


def _at(row: dict[str, Json]) -> str:
    found, port = text(row.get("address")), urls.normal(text(row.get("url")))[2]
    return f" ({urls.authority(found, port)})" if found and port else ""


def _distrusted(said: str) -> str:
    """Return why a host does not accept a certificate, from what its TLS library said."""
    short = _OPENSSL.sub("", said).strip(" .")
    if any(words in said for words in _OTHER_NAME):
        return (
            f"its certificate is for another name ({short}): give it one for this name, or correct where the name leads, if "
            "another machine answers"
        )
    remedy = "add its CA to the host's trust store"
    if "not yet valid" in said or "has expired" in said:
        remedy = "renew it, or correct this host's clock"
    elif "local issuer" in said:
        remedy = "let it send its whole chain, if an intermediate certificate is missing, or add its CA to the host's trust store"
    return f"this host does not trust its certificate ({short}): {remedy}"


def unwell(row: dict[str, Json]) -> str:
    """Return what is wrong with a server by its health page, empty if nothing is."""
    if text(row.get("outcome")) != "answered":
        return no_answer(row)
    if row.get("status") == OK:
        return "" if '"pass"' in text(row.get("body")) else _other(row)
    if row.get("status") in _REJECTED:
        return _other(row)
    if found := _fronted(row, HEALTH, "headscale"):
        return found
    return (
        f"the server answers {row.get('status')}: its database or the proxy in front of it fails; read headscale's log"
    )


def not_upgraded(row: dict[str, Json]) -> str:
    """Return what keeps a client from its own protocol, empty if nothing does."""
    if text(row.get("outcome")) != "answered":
        return no_answer(row)
    if row.get("status") == SWITCHING:
        return ""
    return refused(row, "/ts2021")


def refused(row: dict[str, Json], path: str, program: str = "headscale") -> str:
    """Return why a proxy answers in place of the program behind it, by its status, and the directive that is to blame."""
    front = f"{proxies.name(row)} in front of {program}"
    status, known = row.get("status"), proxies.of(row)
    if status in _REJECTED:
        return f"{front} rejects clients ({status}): remove that rule for {path} ({known.reject})"
    return _fronted(row, path, program) or f"{front} does not forward the upgrade: {known.upgrade}"


def _fronted(row: dict[str, Json], path: str, program: str) -> str:
    """Return what only a proxy answers, whatever it was asked for; empty if that is not it."""
    front = f"{proxies.name(row)} in front of {program}"
    status, known = row.get("status"), proxies.of(row)
    if status in _REDIRECTS:
        where = text(mapping(row.get("headers")).get("location"))
        return (
            f"{front} redirects {path} to {where}, and clients do not follow: remove that for {path} ({known.redirect})"
        )
    if status == _LOGIN:
        return f"{front} asks clients to log in ({status}), which they cannot: remove that for {path} ({known.login})"
    if status == _BAD and known is proxies.NGINX and _NO_CERTIFICATE in text(row.get("body")):
        return f"{front} asks clients for a certificate, and they have none: remove `ssl_verify_client` for this name"
    # nginx itself says 502 or 504 of a backend that does not answer.
    if status == _LIMIT or (status == _UNAVAILABLE and known is proxies.NGINX):
        return f"{front} turns clients away ({status}), as a limit on requests or a page for maintenance does: remove that for {path} ({known.limit})"
    return unreached(row, program) if status in _NO_BACKEND else ""


def unreached(row: dict[str, Json], program: str = "headscale") -> str:
    """Return that a proxy does not reach the program behind it."""
    return (
        f"{proxies.name(row)} does not reach {program} ({row.get('status')}): check that it runs and listens at the address in "
        f"{proxies.of(row).backend}"
    )


def agent_rejected(row: dict[str, Json], ours: dict[str, Json]) -> str:
    """Return whether a proxy rejects a request only because a client made it, empty if not."""
    if row.get("status") in (None, ours.get("status")) or ours.get("status") not in (OK, SWITCHING):
        return ""
    return (
        f"{proxies.name(row)} in front of headscale rejects the User-Agent Go-http-client ({row.get('status')}), which all clients "
        f"have: remove that rule ({proxies.of(row).reject})"
    )


def _other(row: dict[str, Json]) -> str:
    """Return what answers in place of headscale."""
    page = "a page of HTML" if "<html" in text(row.get("body")).lower() else "something else"
    return (
        f"{proxies.name(row)} answers {row.get('status')} with {page} instead of headscale: let it forward every path and every client "
        f"({proxies.of(row).backend})"
    )
