# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask the control server's API, with the key that is on the host and stays there."""

from __future__ import annotations

import json
import os

from .base import MAX_ANSWER, Unseen, left, read_json, trusting

_SHORTEST_KEY, _LONGEST_KEY = 8, 4096
_LONGEST_ERROR = 1000
_PART = 65536

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json


def headscale(ask: Dict, until: float) -> Json:
    """Return the JSON of a path of headscale's HTTP API; the key does not leave the host."""
    url = str(ask.get("url") or "").rstrip("/")
    key = str(ask.get("api_key") or "") or _api_key(str(ask.get("api_key_file") or ""))
    try:
        return _ask_headscale(url, str(ask.get("path") or "/api/v1/node"), key, ask.get("ca_file"), until)
    except Unseen as exc:
        # Some proxies repeat the headers of a request in their errors.
        said = _without(str(exc).encode("utf-8", "replace"), key).decode()
        raise Unseen(exc.kind, said[:_LONGEST_ERROR].rstrip(": ")) from None


def _without(text: bytes, key: str) -> bytes:
    return text.replace(key.encode(), b"***") if len(key) >= _SHORTEST_KEY else text


def _read_without(body: bytes, key: str) -> Json:
    found = read_json(_without(body, key))
    if b"\\u" in body:
        # JSON can hold the key in escapes, which end here.
        shown = json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogatepass")
        found = read_json(_without(shown, key))
    return found


def _body(answer: Json) -> bytes:
    """Return the body of an answer; `read` would need a hundred bytes of memory for each tiny chunk."""
    found, part = bytearray(), bytearray(_PART)
    while len(found) < MAX_ANSWER and (count := answer.readinto(part)):
        found += part[:count]
    return bytes(found[:MAX_ANSWER])


def _api_key(path: str) -> str:
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            key = file.read(_LONGEST_KEY).strip()
    except OSError as exc:
        said = f"the API key file {path!r} cannot be read: {exc.strerror}; mesh_api_key_file names another"
        raise Unseen("no_api_key", said) from exc
    if not key:
        raise Unseen("no_api_key", f"the API key file {path!r} is empty")
    return key


def _ask_headscale(url: str, path: str, key: str, ca_file: str | None, until: float) -> Json:
    import http.client
    import urllib.error
    import urllib.request

    if not url.startswith(("https://", "http://")):
        raise Unseen("bad_url", f"the server's URL {url!r} begins with neither https:// nor http://")
    _refuse_exposure(url)
    try:
        request = urllib.request.Request(  # noqa: S310
            url + path, headers={"Authorization": "Bearer " + key}
        )
        context = trusting(ca_file) if url.startswith("https:") else None
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _stay_here()
        )
        with opener.open(request, timeout=left(until)) as answer:
            lengths, codings = (answer.headers.get_all(name, []) for name in ("Content-Length", "Transfer-Encoding"))
            if len(set(lengths)) > 1 or (lengths and codings):
                raise ValueError("its answer states more than one length")
            return _read_without(_body(answer), key)
    except urllib.error.HTTPError as exc:
        if exc.code in (401, 403):
            remedy = "`headscale apikeys create` makes another"
            raise Unseen("bad_api_key", f"{url} refuses the API key: it is wrong or has expired; {remedy}") from exc
        # The key first: a cut could leave a part of it.
        said = _without(exc.read(500 + len(key)), key).decode("utf-8", "replace").strip()[:500]
        if "<html" in said.lower():
            said = "a page of {} and not headscale: let it pass /api on".format(exc.headers.get("Server") or "a proxy")
        raise Unseen("refused", f"{url} answered {exc.code} to {path}: {said}") from exc
    except (OSError, ValueError, http.client.HTTPException) as exc:
        reason = str(getattr(exc, "reason", exc)).strip()
        raise Unseen("no_headscale", f"{url} cannot be asked: {reason}{_certificate_remedy(reason)}") from exc


def _refuse_exposure(url: str) -> None:
    """Refuse to send the key in plain text to a public address."""
    if not url.startswith("http://"):
        return
    import ipaddress
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as exc:
        raise Unseen("no_headscale", f"{url} cannot be asked: {exc}") from exc
    for address in {str(entry[4][0]).partition("%")[0] for entry in found}:
        known = ipaddress.ip_address(address)
        # Python before 3.13 takes an address inside another one for a private one.
        inside = (known.ipv4_mapped or known.sixtofour) if isinstance(known, ipaddress.IPv6Address) else None
        if (inside or known).is_global:
            remedy = "use https://, or a private address or a tunnel"
            raise Unseen(
                "bad_url", f"{url} is plain http and public ({address}): anyone on the way could read the key; {remedy}"
            )


def _certificate_remedy(reason: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" not in reason:
        return ""
    if "not yet valid" in reason:
        return "; by this host's clock: is it behind (`date -u`)?"
    if "has expired" in reason:
        return "; renew it, unless this host's clock is ahead (`date -u`)"
    return "; mesh_ca_path names what to trust instead"


def _stay_here() -> Json:
    """Return a handler that refuses redirects, because the key is for one server only."""
    import urllib.request

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_args: object) -> None:
            return None

    return Stay()
