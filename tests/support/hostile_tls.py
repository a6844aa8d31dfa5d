# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hostile TLS server for tests of limits. No test uses it to claim something about a mesh.

It drives OpenSSL directly for what `ssl` does not offer: messages after the handshake, and protocols that no client named.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import trustme
from hostile_server import connections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Conduct = Callable[[socket.socket], None]

_PEM = 1
_SET_LOWEST, _SET_HIGHEST = 123, 124
_VERSIONS = {"1.2": 0x0303, "1.3": 0x0304}
_CHOOSE = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_char_p),
    ctypes.POINTER(ctypes.c_ubyte),
    ctypes.c_void_p,
    ctypes.c_uint,
    ctypes.c_void_p,
)
# A record of requests for a handshake, which clients of TLS 1.2 ignore during one.
HELLO_REQUESTS = b"\x16\x03\x03\x40\x00" + b"\x00" * 0x4000


class Certificate(NamedTuple):
    """Files of a certificate for loopback, its key and its authority."""

    chain: Path
    key: Path
    ca_path: Path


def certify(directory: Path, *, more: int = 0) -> Certificate:
    """Write a certificate, and with it the authority's own `more` times."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    made = Certificate(directory / "chain.pem", directory / "key.pem", directory / "ca.pem")
    authority.cert_pem.write_to_path(str(made.ca_path))
    issued.private_key_pem.write_to_path(str(made.key))
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    made.chain.write_bytes(chain + authority.cert_pem.bytes() * more)
    return made


@contextlib.contextmanager
def raw_server(conduct: Conduct) -> Iterator[str]:
    """Serve on loopback, from the first byte of each connection, for as long as the block runs; return the URL."""

    with connections(conduct) as port:
        yield f"https://127.0.0.1:{port}"


def without_end(data: bytes) -> Conduct:
    """Send data again and again, whatever the client says."""

    def conduct(client: socket.socket) -> None:
        while True:
            client.sendall(data)

    return conduct


def inside(certificate: Certificate, act: Callable[[ssl.SSLSocket], Any]) -> Conduct:
    """Complete a handshake and read a request, then act."""

    def conduct(client: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.chain, certificate.key)
        with context.wrap_socket(client, server_side=True) as secure:
            secure.recv(65536)
            act(secure)

    return conduct


def dripping(certificate: Certificate, *, every_s: float) -> Conduct:
    """Shake hands as a good server does, but send one byte now and then."""

    def conduct(client: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.chain, certificate.key)
        come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
        shaking = context.wrap_bio(come, go, server_side=True)
        come.write(client.recv(65536))
        with contextlib.suppress(ssl.SSLWantReadError):
            shaking.do_handshake()
        for byte in go.read():
            client.sendall(bytes([byte]))
            time.sleep(every_s)

    return conduct


class _OpenSsl:
    """A connection that OpenSSL serves, and its calls of which `ssl` has none."""

    def __init__(self, client: socket.socket, certificate: Certificate, version: str, protocol: bytes = b"") -> None:
        self._lib = ctypes.CDLL(ctypes.util.find_library("ssl"))
        for name in ("TLS_server_method", "SSL_CTX_new", "SSL_new"):
            getattr(self._lib, name).restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._lib.SSL_CTX_new(ctypes.c_void_p(self._lib.TLS_server_method())))
        self._lib.SSL_CTX_use_certificate_chain_file(self._context, str(certificate.chain).encode())
        self._lib.SSL_CTX_use_PrivateKey_file(self._context, str(certificate.key).encode(), _PEM)
        for option in (_SET_LOWEST, _SET_HIGHEST):
            self._lib.SSL_CTX_ctrl(self._context, option, ctypes.c_long(_VERSIONS[version]), None)
        self._chosen = _CHOOSE(self._choose(protocol))
        if protocol:
            self._lib.SSL_CTX_set_alpn_select_cb(self._context, self._chosen, None)
        self._session = ctypes.c_void_p(self._lib.SSL_new(self._context))
        self._lib.SSL_set_fd(self._session, client.fileno())

    @staticmethod
    def _choose(protocol: bytes) -> Any:
        def choose(_session: Any, chosen: Any, length: Any, *_offered: Any) -> int:
            chosen[0], length[0] = protocol, len(protocol)
            return 0

        return choose

    def accept(self) -> bool:
        return bool(self._lib.SSL_accept(self._session) == 1)

    def begin(self, act: str) -> bool:
        """Send what the act is made of; return whether it was sent."""
        begun = {
            "tickets": lambda: self._lib.SSL_new_session_ticket(self._session),
            "keys": lambda: self._lib.SSL_key_update(self._session, 0),
            "renegotiation": lambda: self._lib.SSL_renegotiate(self._session),
        }[act]()
        return bool(begun == 1 and self._lib.SSL_do_handshake(self._session) == 1)

    def write(self, data: bytes) -> None:
        self._lib.SSL_write(self._session, data, len(data))

    def close(self) -> None:
        self._lib.SSL_free(self._session)
        self._lib.SSL_CTX_free(self._context)


def after_handshake(certificate: Certificate, act: str, sent: list[int]) -> Conduct:
    """Complete a handshake, then send `tickets`, `keys` or requests for a `renegotiation` without end; note how many."""

    def conduct(client: socket.socket) -> None:
        served = _OpenSsl(client, certificate, "1.2" if act == "renegotiation" else "1.3")
        with contextlib.closing(served):
            if served.accept():
                sent.append(0)
                while served.begin(act):
                    sent[-1] += 1

    return conduct


def another_protocol(certificate: Certificate, protocol: bytes, first: bytes) -> Conduct:
    """Choose a protocol (ALPN) whatever the client offered, and speak it first."""

    def conduct(client: socket.socket) -> None:
        served = _OpenSsl(client, certificate, "1.3", protocol)
        with contextlib.closing(served):
            if served.accept():
                served.write(first)
                client.recv(1)
                time.sleep(30)

    return conduct
