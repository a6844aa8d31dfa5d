# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make one HTTP request within limits on time and size, and explain every way in which it can fail.

The server may be hostile: it may send one byte a second, or without end.
"""

from __future__ import annotations

import contextlib
import email.utils
import gzip
import http.client
import ipaddress
import re
import socket
import ssl
import string
import sys
import threading
import typing as t
import urllib.error
import zlib
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ansible.module_utils.urls import ConnectionError as AnsibleConnectionError
from ansible.module_utils.urls import SSLValidationError, open_url
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import (
    BadInput,
    HeadscaleError,
    TlsError,
    UnreachableError,
    WrongUrlError,
)

if t.TYPE_CHECKING:
    from datetime import datetime

# The list of 10,000 nodes takes about 10 MB.
_LARGEST = 16 * 1024 * 1024
_CHUNK = 1 << 16
_SHORTEST_SECRET = 8
# Each escape as a whole: an escaped backslash begins no other one.
_ESCAPE = re.compile(r"\\(?:u00([0-9A-Fa-f]{2})|.)", re.DOTALL)
_OF_KEYS = frozenset(string.ascii_letters + string.digits + "-_.~+/=")
# Some errors quote what a server sent.
_LONGEST_WORDS = 300
_LAST_YEAR = 9000
_MOST_DIGITS = 18
_WITHOUT_BODY = (204, 304)

# What `open_url` returns has no public type.
_Answer = t.Any
# Of a compressed answer that is damaged or cut; `BadGzipFile` is an OSError.
_DAMAGED = (gzip.BadGzipFile, EOFError, zlib.error)


def hide(text: str, secret: str) -> str:
    """Return a text of a server without a secret that was sent to it."""
    return text.replace(secret, "***") if len(secret) >= _SHORTEST_SECRET else text


def _unescape(text: str) -> str:
    """Return a JSON text with the letters and digits that it escapes, which could hide a secret."""
    return _ESCAPE.sub(_letter, text) if "\\" in text else text


def _letter(match: re.Match[str]) -> str:
    letter = chr(int(match[1], 16)) if match[1] else ""
    return letter if letter in _OF_KEYS else "/" if match[0] == "\\/" else match[0]


class Reply(t.NamedTuple):
    """An answer of any status."""

    status: int
    content_type: str
    body: str
    location: str
    date: datetime | None

    def without(self, secret: str) -> Reply:
        """Return the answer without a secret of the request: some proxies repeat its headers in their errors."""
        content_type, location = hide(self.content_type, secret), hide(self.location, secret)
        body = hide(_unescape(self.body), secret)
        return self._replace(content_type=content_type, body=body, location=location)


class Sender(t.Protocol):
    """Makes requests."""

    def send(self, method: str, url: str, *, headers: dict[str, str], body: bytes | None) -> Reply:
        """Make one request and return the complete answer."""


class Transport(t.NamedTuple):
    """How requests are made: trust, time limit, proxy."""

    ca_path: str | None = None
    validate_certs: bool = True
    timeout: float = 10.0
    use_proxy: bool = True
    unix_socket: str | None = None

    def send(self, method: str, url: str, *, headers: dict[str, str], body: bytes | None) -> Reply:
        """Make one request and return the complete answer; raise when there is none within the time limit."""
        secret = headers.get("Authorization", "").rpartition(" ")[2]
        try:
            return _Request(self, method, url, headers, body).answer().without(secret)
        except HeadscaleError:
            raise
        except (
            OSError,
            http.client.HTTPException,
            AnsibleConnectionError,
            SSLValidationError,
            ValueError,
            *_DAMAGED,
        ) as error:
            explained = explain(error, url=url, transport=self, secret=secret)
            told = f"{error} {getattr(error, 'reason', '')}"
            # Ansible shows the cause as well.
            raise explained from (error if hide(told, secret) == told else None)


class _Request(threading.Thread):
    """One request in a thread: the timeout of a socket limits each read, and names resolve without any."""

    def __init__(
        self, transport: Transport, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> None:
        super().__init__(daemon=True)
        self._transport = transport
        self._request = (method, url, headers, body)
        self._late = False
        self._reply: Reply | None = None
        self._error: BaseException | None = None

    def answer(self) -> Reply:
        """Return the answer; raise what kept it from coming."""
        self.start()
        self.join(self._transport.timeout)
        self._late = True
        if self._error is not None:
            raise self._error
        if self._reply is None:
            self._abandon()
            raise socket.timeout("timed out")
        return self._reply

    def _abandon(self) -> None:
        """End the thread when it next does something: http.client reads endless interim answers and trailers by itself."""
        with contextlib.suppress(ImportError):
            import ctypes  # some minimal systems have none

            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident or 0), ctypes.py_object(SystemExit))
        self._disconnect()

    def _disconnect(self) -> None:
        """End the connection: OpenSSL itself reads for as long as messages without content come, and sees no exception."""
        frame = sys._current_frames().get(self.ident or 0)
        while frame is not None:
            for held in list(frame.f_locals.values()):
                if isinstance(held, socket.socket):
                    with contextlib.suppress(OSError):
                        # That of a TLS connection would also forget its state, which is in use.
                        socket.socket.shutdown(held, socket.SHUT_RDWR)
            frame = frame.f_back

    def run(self) -> None:
        try:
            if not self._transport.unix_socket:
                refuse_exposure(self._request[1], use_proxy=self._transport.use_proxy)
            with self._opened() as answer:
                _refuse_ambiguity(answer)
                self._reply = _reply(answer, self._body(answer))
        except BaseException as error:  # raised again in the caller's thread
            self._error = error

    def _opened(self) -> _Answer:
        method, url, headers, body = self._request
        try:
            return open_url(
                url,
                data=body,
                headers=headers,
                method=method,
                timeout=self._transport.timeout,
                validate_certs=self._transport.validate_certs,
                ca_path=self._transport.ca_path,
                use_proxy=self._transport.use_proxy,
                unix_socket=self._transport.unix_socket,
                # A redirect would carry the key elsewhere, and a .netrc would replace it.
                follow_redirects="none",
                use_netrc=False,
                http_agent="meshctl-headscale",
            )
        except urllib.error.HTTPError as error:
            return error

    def _body(self, answer: _Answer) -> bytes:
        content = bytearray()
        # read1 returns what has arrived; read would wait for a whole chunk.
        while chunk := answer.read1(min(_CHUNK, _LARGEST + 1 - len(content))):
            content += chunk
            if self._late:
                raise socket.timeout("timed out")
            if len(content) > _LARGEST:
                raise ValueError(f"the answer is larger than {_LARGEST >> 20} MiB")
        if len(content) < _announced(answer):
            raise http.client.HTTPException("the answer ended before its end")
        return bytes(content)


def _refuse_ambiguity(answer: _Answer) -> None:
    """Refuse an answer whose end another program would see elsewhere."""
    lengths = {part.strip() for value in answer.headers.get_all("Content-Length", []) for part in value.split(",")}
    codings = [value.strip().lower() for value in answer.headers.get_all("Transfer-Encoding", [])]
    if len(lengths) > 1 or (lengths and codings):
        raise http.client.HTTPException("the answer states more than one length")
    if not all(length.isascii() and length.isdecimal() and len(length) <= _MOST_DIGITS for length in lengths):
        raise http.client.HTTPException("the length of the answer is not a number")
    if codings not in ([], ["chunked"], ["identity"]):
        raise http.client.HTTPException("the answer has an unknown Transfer-Encoding")


def _announced(answer: _Answer) -> int:
    """Return the bytes that an answer must have, 0 if that is not known; what is compressed knows its own end."""
    if answer.code in _WITHOUT_BODY or answer.headers.get("Content-Encoding"):
        return 0
    return int((answer.headers.get("Content-Length") or "0").split(",")[0])


def refuse_exposure(url: str, *, use_proxy: bool = False) -> None:
    """Refuse to send a key in plain text to a public address; raise OSError when the name does not resolve."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        return
    if address := _public(parts.hostname, parts.port or 80):
        raise BadInput(
            f"{_server(url)} is plain http and a public address ({address}): anyone on the way could read the API "
            "key. Use https://, or reach the server at a private address or through a tunnel to this host."
        )
    named = getproxies().get("http") if use_proxy and not proxy_bypass(parts.netloc.rpartition("@")[2]) else ""
    proxy = urlsplit(named if "://" in named else f"//{named}") if named else None
    if proxy and proxy.hostname and (address := _public(proxy.hostname, proxy.port or 80)):
        raise BadInput(
            f"{_server(url)} is plain http, and requests to it go through a proxy with a public address ({address}): anyone "
            "on the way could read the API key. Use https://, name the server in no_proxy, or set use_proxy to false."
        )


def _public(host: str, port: int) -> str:
    """Return a public address that a name has, empty if it has none."""
    for *_kind, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if is_public(str(address[0])):
            return str(address[0])
    return ""


def is_public(text: str) -> bool:
    """Whether an address, or the IPv4 address in it, is one of the Internet."""
    address = ipaddress.ip_address(text.partition("%")[0])
    inside = (address.ipv4_mapped or address.sixtofour) if isinstance(address, ipaddress.IPv6Address) else None
    # Python before 3.13 takes all of these for private ones.
    return (inside or address).is_global


def _reply(answer: _Answer, content: bytes) -> Reply:
    return Reply(
        status=int(answer.code),
        content_type=(answer.headers.get("Content-Type") or "").split(";")[0].strip().lower(),
        body=content.decode("utf-8", errors="replace"),
        location=answer.headers.get("Location") or "",
        date=date_of(answer.headers.get("Date")),
    )


def date_of(text: str | None) -> datetime | None:
    """Return the moment in a header `Date`, if it can be read."""
    try:
        moment = email.utils.parsedate_to_datetime(text) if text else None
    except (TypeError, ValueError, OverflowError):
        return None
    # No clock is in the last years that can be computed with.
    return moment if moment and moment.tzinfo and moment.year < _LAST_YEAR else None


def explain(error: BaseException, *, url: str, transport: Transport, secret: str = "") -> HeadscaleError:
    """Return the error that says in one sentence, without the secret, why there was no answer, and what to do."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    where, said = _server(url), _words(reason, secret)
    if transport.ca_path and said.startswith("[X509"):  # nothing else is loaded before a server is spoken to
        return BadInput(
            f"ca_path is {transport.ca_path!r}, which contains no certificates: name a file of PEM certificates."
        )
    if isinstance(reason, ssl.SSLCertVerificationError):
        return _untrusted(said, where=where, transport=transport)
    for kinds, result, sentence in _SENTENCES:
        if isinstance(reason, kinds):
            return result(sentence.format(where=where, said=said, timeout=transport.timeout))
    return BadInput(f"No request can be made to {where} ({said}): check url.")


# The first line that matches applies, so special errors come before general ones.
_SENTENCES: tuple[tuple[tuple[type[BaseException], ...], type[HeadscaleError], str], ...] = (
    (
        (ssl.SSLError, SSLValidationError),
        TlsError,
        "{where} does not speak TLS as expected ({said}): begin url with http://, or use another port.",
    ),
    (
        (socket.gaierror,),
        UnreachableError,
        "The name in {where} does not resolve ({said}): check url and this host's resolver.",
    ),
    (
        (ConnectionRefusedError,),
        UnreachableError,
        "{where} refuses the connection: check that headscale runs and listens there (listen_addr).",
    ),
    (
        # Two classes before Python 3.10.
        (socket.timeout, TimeoutError),
        UnreachableError,
        "{where} did not answer within {timeout:g} s: check the network and the server's load, or raise timeout.",
    ),
    (
        (http.client.HTTPException, *_DAMAGED),
        WrongUrlError,
        "{where} does not speak HTTP as expected ({said}): check the scheme and the port of url.",
    ),
    ((OSError,), UnreachableError, "{where} cannot be reached ({said})."),
)


def _untrusted(said: str, *, where: str, transport: Transport) -> TlsError:
    if "mismatch" in said.lower() or "doesn't match" in said.lower():
        remedy = "use a name in url that the certificate contains"
    elif "expired" in said.lower() or "not yet valid" in said.lower():
        remedy = "renew the certificate, and check this host's clock"
    else:
        store = transport.ca_path or "the system's store"
        remedy = f"name the certificate authority that signed it in ca_path (asked: {store})"
    return TlsError(f"The certificate of {where} is not trusted ({said.rstrip('.')}): {remedy}.")


def _server(url: str) -> str:
    """Return only scheme, host and port: paths contain names, and do not help to find the server."""
    return "/".join(url.split("/", 3)[:3])


def _words(error: object, secret: str) -> str:
    text = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
    # First: a cut could leave a part of it.
    said = hide(str(text), secret).strip().rstrip(".") or type(error).__name__
    return said if len(said) <= _LONGEST_WORDS else f"{said[:_LONGEST_WORDS]}…"
