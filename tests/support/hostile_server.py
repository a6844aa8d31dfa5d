# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hostile control server for tests of limits. It is not Headscale, and no test uses it to claim something about a mesh."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Conduct = Callable[[socket.socket, bytes], None]


class Hostile(NamedTuple):
    """Where the server listens, and the requests that it has received."""

    url: str
    requests: list[bytes]


def answer(body: bytes | str, *, status: str = "200 OK", headers: str = "") -> Conduct:
    """Answer every request with one document."""
    content = body if isinstance(body, bytes) else body.encode()

    def conduct(client: socket.socket, _request: bytes) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
        client.sendall(head.encode() + content)

    return conduct


def drip(start: bytes = b"", *, every_s: float = 0.1) -> Conduct:
    """Begin an answer, and send one more byte of it now and then."""

    def conduct(client: socket.socket, _request: bytes) -> None:
        client.sendall(start)
        for _ in range(600):
            client.sendall(b" ")
            time.sleep(every_s)

    return conduct


def flood(start: bytes) -> Conduct:
    """Begin an answer, and never stop sending."""

    def conduct(client: socket.socket, _request: bytes) -> None:
        client.sendall(start)
        while True:
            client.sendall(b"[{}, " * 20_000)

    return conduct


def silence(_client: socket.socket, _request: bytes) -> None:
    """Say nothing for a minute."""
    time.sleep(60)


@contextlib.contextmanager
def connections(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve each connection to a port of loopback in a separate thread; all of them end when the block does."""
    clients: list[socket.socket] = []

    def run(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            serve(client)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = listener.accept()
                clients.append(client)
                threading.Thread(target=run, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            # Closing alone would leave accept() waiting, and a flood in this process would slow down all later tests.
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for client in clients:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def hostile_server(conduct: Conduct) -> Iterator[Hostile]:
    """Serve on loopback for as long as the block runs."""
    requests: list[bytes] = []

    def serve(client: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request and (chunk := client.recv(65536)):
            request += chunk
        requests.append(request)
        conduct(client, request)

    with connections(serve) as port:
        yield Hostile(f"http://127.0.0.1:{port}", requests)
