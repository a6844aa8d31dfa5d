# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Serve metrics over HTTP: on loopback, or with TLS and a password."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import ipaddress
import os
import socket
import ssl
import stat
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from meshctl_headscale import _collection
from meshctl_headscale._exit import BadInputError, MeshctlError

if TYPE_CHECKING:
    from prometheus_client.registry import CollectorRegistry

_MOST_PORT = 65535
_CLIENT_S = 10.0
_MOST_CLIENTS = 16
_REALM = [("WWW-Authenticate", 'Basic realm="meshctl", charset="UTF-8"')]
_LONGEST_HEADER = 4096

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where to listen, and how."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    credentials: str = ""
    """`user:password`; empty if none is asked for."""

    @property
    def url(self) -> str:
        """Where the metrics are."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}/metrics"


def address(listen: str, *, certificate: Path | None, key: Path | None, auth_file: Path | None) -> Address:
    """Return where to listen; refuse to serve others without TLS and a password."""
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        parsed = None
    if not (colon and parsed and port.isdecimal() and int(port) <= _MOST_PORT):
        raise BadInputError(
            f"--listen is {listen!r}: write an address and a port, such as 127.0.0.1:9847 or [::1]:9847."
        )
    if bool(certificate) != bool(key):
        raise BadInputError("--tls-cert and --tls-key belong together: give both, or none.")
    if not parsed.is_loopback and not (certificate and auth_file):
        raise BadInputError(
            f"--listen {listen} is not a loopback address: give --tls-cert, --tls-key and --auth-file as well, or listen on "
            "127.0.0.1."
        )
    credentials = _credentials(auth_file) if auth_file else ""
    return Address(host=str(parsed), port=int(port), certificate=certificate, key=key, credentials=credentials)


def private_text(path: Path, option: str) -> str:
    """Return the content of a file of secrets; refuse one that other users can read."""
    try:
        handle = os.open(_collection.home.expanded(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, encoding="utf-8") as file:  # noqa: PTH123
            mode = os.fstat(file.fileno()).st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise BadInputError(f"The file {path} for {option} can be read by other users: run chmod 600 {path}.")
            return file.read(1 << 16)
    except OSError as error:
        raise BadInputError(f"The file {path} for {option} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadInputError(f"The file {path} for {option} is not UTF-8 text.") from None


def _credentials(path: Path) -> str:
    found = private_text(path, "--auth-file").strip()
    user, colon, password = found.partition(":")
    if not (user and colon and password) or "\n" in found:
        raise BadInputError(f"The file {path} for --auth-file must contain one line, user:password.")
    return found


class _Server(ThreadingMixIn, WSGIServer):
    """A server that slow or many clients cannot block."""

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        self._free = threading.Semaphore(_MOST_CLIENTS)
        super().__init__(*arguments, **options)

    def server_bind(self) -> None:
        """Bind without asking a resolver for the name of the address."""
        # HTTPServer would look the name up, which takes long without a resolver.
        from socketserver import TCPServer

        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Turn a client away if too many are served."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve a client for some seconds at most; a timeout of the socket limits each read only."""
        end = threading.Timer(_CLIENT_S, _hang_up, (request,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._free.release()

    def handle_error(self, _request: Any, _client_address: Any) -> None:  # noqa: ANN401
        """Ignore a client that went away or does not speak TLS."""


def _hang_up(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Not the method of a TLS socket, which another thread is using.
        socket.socket.shutdown(request, socket.SHUT_RDWR)


class _Server6(_Server):
    from socket import AF_INET6 as address_family


class _Handler(WSGIRequestHandler):
    """Handles one request, and no longer than some seconds."""

    timeout = _CLIENT_S

    def log_message(self, *_arguments: object) -> None:
        """Log nothing."""


def serve(where: Address, registry: CollectorRegistry) -> WSGIServer:
    """Begin to serve metrics in a thread."""
    from prometheus_client import make_wsgi_app

    application = _application(make_wsgi_app(registry), where.credentials)
    try:
        server = make_server(
            where.host, where.port, application, _Server6 if ":" in where.host else _Server, handler_class=_Handler
        )
        if where.certificate and where.key:
            server.socket = _context(where.certificate, where.key).wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
    except OSError as error:
        raise MeshctlError(
            f"Metrics cannot be served at {where.url}: {error.strerror or error}. Choose another --listen."
        ) from None
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate, key = _collection.home.expanded(certificate), _collection.home.expanded(key)
    for option, path in (("--tls-cert", certificate), ("--tls-key", key)):
        try:
            # A pipe in its place would be waited for.
            if not path.is_file() and path.exists():
                raise BadInputError(f"The file {path} for {option} is not a regular file: name one.")
            path.open("rb").close()
        except OSError as error:
            raise BadInputError(f"The file {path} for {option} cannot be read: {error.strerror}.") from None
    try:
        # Without this, OpenSSL would ask for a passphrase on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except ssl.SSLError:
        raise BadInputError(
            f"--tls-cert {certificate} and --tls-key {key} cannot be used: give a certificate and its own key, both as PEM "
            "and without a passphrase."
        ) from None
    return context


def _application(metrics: Application, credentials: str) -> Application:
    """Return an application that serves /metrics, to a client that knows the password."""

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if credentials and not _knows(str(environ.get("HTTP_AUTHORIZATION", "")), credentials):
            return _plain(start, "401 Unauthorized", b"A user and a password are required.\n", _REALM)
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return _plain(start, "405 Method Not Allowed", b"Only GET is answered.\n", [("Allow", "GET, HEAD")])
        if environ.get("PATH_INFO") != "/metrics":
            return _plain(start, "404 Not Found", b"The metrics are at /metrics.\n")
        return metrics(environ, start)

    return answer


def _knows(header: str, credentials: str) -> bool:
    scheme, _space, encoded = header[:_LONGEST_HEADER].partition(" ")
    try:
        given = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    return scheme.lower() == "basic" and hmac.compare_digest(given, credentials.encode())


def _plain(
    start: Callable[..., Any], status: str, body: bytes, headers: Iterable[tuple[str, str]] = ()
) -> Iterable[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), *headers])
    return [body]


__all__ = ["Address", "address", "private_text", "serve"]
