# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sent to a host: make one HTTPS request with a key that is in a file there and stays there.

Standard library only, Python 3.8 or later.
"""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request

_LONGEST_KEY = 4096
_PART = 65536
_OTHERS = 0o077


class _Stay(urllib.request.HTTPRedirectHandler):
    """Refuse redirects, because the key is for one server only."""

    def redirect_request(self, *_args) -> None:
        return None


def main(request: dict) -> dict:
    """Return the answer to a request, of any status, or `{"problem": ...}` if there is none."""
    try:
        path = os.path.expanduser(str(request["api_key_file"]))
        with open(path, encoding="utf-8") as file:
            key = file.read(_LONGEST_KEY).strip()
        if not key or not key.isprintable() or " " in key:
            return {"problem": "the file contains no key"}
        answer = _ask(request, key)
        answer["exposed"] = bool(os.stat(path).st_mode & _OTHERS)
    except (OSError, ValueError) as exc:
        return {"problem": str(exc)}
    return answer


def _ask(request: dict, key: str) -> dict:
    body = request.get("body")
    asked = urllib.request.Request(  # noqa: S310 - the action asks over HTTPS only
        request["url"],
        method=request["method"],
        data=None if body is None else body.encode(),
        headers={**request["headers"], "Authorization": "Bearer " + key},
    )
    secure = urllib.request.HTTPSHandler(context=ssl.create_default_context())
    try:
        with urllib.request.build_opener(secure, _Stay()).open(asked, timeout=request["timeout"]) as reply:
            return _told(reply, _body(reply, request["largest"] + 1), request["largest"], key)
    except urllib.error.HTTPError as exc:
        with exc:
            return _told(exc, _body(exc, request["largest"] + 1), request["largest"], key)


def _body(reply, most: int) -> bytes:
    """Return the body of an answer; `read` would need a hundred bytes of memory for each tiny chunk."""
    found, part = bytearray(), bytearray(_PART)
    while len(found) < most and (count := reply.readinto(part)):
        found += part[:count]
    return bytes(found[:most])


def _told(reply, content: bytes, largest: int, key: str) -> dict:
    """Return an answer without the key: some proxies repeat the headers of a request in their errors."""
    if len(content) > largest:
        return {"problem": "the answer is too large"}
    lengths, codings = (reply.headers.get_all(name, []) for name in ("Content-Length", "Transfer-Encoding"))
    if len(set(lengths)) > 1 or (lengths and codings):
        return {"problem": "the answer states more than one length"}
    told = {name: str(reply.headers.get(name) or "") for name in ("Content-Type", "Location", "Date")}
    return {
        "status": reply.status,
        "body": _without(content.decode("utf-8", "replace"), key),
        "headers": {name: value.replace(key, "***") for name, value in told.items()},
    }


def _without(text: str, key: str) -> str:
    if "\\u" in text:
        try:
            shown = json.dumps(json.loads(text), ensure_ascii=False)
            # Escapes hid it.
            text = shown if key in shown else text
        except (ValueError, RecursionError):
            pass
    return text.replace(key, "***")
