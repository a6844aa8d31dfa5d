# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch pages over HTTP and HTTPS, with the system's resolver, and through a proxy only where tailscaled uses one."""

from __future__ import annotations

import socket
import threading
import time

from .base import MAX_BODY, Unseen, each, left, ms_since, trusting
from .http import LARGEST_HEAD, exchange, request_of
from .tcp import bypass, connect
from .wire import FAMILIES, MOST_ADDRESSES, outcome_of, telling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, List, Tuple

_CONTROL = "tailscale-control-protocol"


def fetch(ask: Dict, until: float) -> Json:
    """Fetch each URL; a failure is an outcome too."""
    patience = min(until, time.monotonic() + float(ask.get("try_timeout_s") or 5.0))
    return each(lambda target: _fetch_one(target, patience), list(ask.get("targets") or []), until)


def _fetch_one(target: Dict, until: float) -> Dict:
    url = str(target["url"])
    found: Dict = {"url": url, "outcome": "", "address": "", "status": None, "body": "", "timings": {}}
    began = time.monotonic()
    try:
        _fetch_into(found, target, url, until)
    except Unseen as exc:
        found["outcome"], found["error"] = exc.kind, str(exc)
    except socket.gaierror as exc:
        found["outcome"], found["error"] = "no-name", str(exc)
    except socket.timeout as exc:
        found["outcome"], found["error"] = "timeout", str(exc)
    except OSError as exc:
        found["outcome"] = outcome_of(exc.errno) if exc.errno else "broken"
        found["error"] = str(exc)
    found["timings"]["total_ms"] = ms_since(began)
    return found


def _fetch_into(found: Dict, target: Dict, url: str, until: float) -> None:
    scheme, host, port, path = _split_url(url)
    began = time.monotonic()
    through = _proxy(target, scheme, host)
    asked, where = (through[0], through[1]) if through else (str(target.get("connect") or host), port)
    if through:
        found["proxy"] = _authority(asked, where, "")
    family = socket.AF_UNSPEC if through else FAMILIES.get(target.get("family"), socket.AF_UNSPEC)
    rows = socket.getaddrinfo(asked, where, family, socket.SOCK_STREAM)
    found["timings"]["resolve_ms"] = ms_since(began)
    found["addresses"] = list(dict.fromkeys(row[4][0] for row in rows))[:MOST_ADDRESSES]
    sock = _connected(found, rows, target, until)
    if sock is None:
        return
    fuse = _Fuse(sock, until) if scheme == "https" else None
    try:
        sock.settimeout(left(until))
        if through:
            _tunnel(sock, host, port, through[2], until)
        if scheme == "https":
            sock = _tls(sock, host, target, until)
        headers = {"Host": target.get("host_header") or _authority(host, port, scheme), "User-Agent": target.get("user_agent") or "meshctl",
                   "Accept": "*/*", "Connection": "close"}  # fmt: skip
        if target.get("upgrade"):
            # A client requests an upgrade before it speaks its own protocol; only the head of the answer matters here.
            status, got, body, first = exchange(sock, _upgrade(path, headers, target["upgrade"]), until, 0)
        else:
            status, got, body, first = exchange(sock, request_of("GET", path, headers), until, MAX_BODY + LARGEST_HEAD)
    except (Unseen, OSError) as exc:
        if fuse and fuse.blown:
            raise socket.timeout("timed out") from exc
        raise
    finally:
        sock.close()
        if fuse:
            fuse.remove()
    found["timings"]["first_byte_ms"] = first
    found.update(outcome="answered", status=status, headers=got, truncated=len(body) > MAX_BODY)
    found["body"] = body[:MAX_BODY].decode("utf-8", "replace")


class _Fuse:
    """Ends a connection when the time is over: OpenSSL itself reads for as long as messages without content come."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        # The socket of TLS takes the place of this one.
        self._same = sock.dup()
        self.blown = False
        self._timer = threading.Timer(left(until), self._blow)
        self._timer.daemon = True
        self._timer.start()

    def _blow(self) -> None:
        self.blown = True
        try:  # noqa: SIM105 - contextlib is slow to import
            self._same.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def remove(self) -> None:
        self._timer.cancel()
        self._same.close()


def _proxy(target: Dict, scheme: str, host: str) -> Tuple | None:
    """Return the proxy through which tailscaled would ask, if a target is to be asked like that."""
    if scheme != "https" or not target.get("as_tailscaled"):
        return None
    from .tunnel import proxy_of

    return proxy_of(host)


def _tunnel(sock: socket.socket, host: str, port: int, login: str, until: float) -> None:
    from .tunnel import connect_through

    connect_through(sock, host, port, login, until)


def _connected(found: Dict, rows: List, target: Dict, until: float) -> socket.socket | None:
    """Connect to the first address of a name that accepts, as programs do; None with the most telling outcome when none does."""
    most = -1
    for remaining in range(len(rows), 0, -1):
        kind, _type, _proto, _name, address = rows[-remaining]
        began = time.monotonic()
        sock, tried = _try(kind, address, target, began + left(until) / remaining)
        tells = telling(tried["outcome"], tried["from"], str(address[0]))
        if sock is None and tells <= most:
            continue
        most = tells
        found.update(tried, address=address[0], connected=sock is not None)
        found["timings"]["connect_ms"] = ms_since(began)
        if sock is not None:
            return sock
    return None


def _try(kind: int, address: Tuple, target: Dict, until: float) -> Tuple:
    """Return a socket that is connected to an address, or None, and how that ended."""
    sock = None
    try:
        sock = socket.socket(kind, socket.SOCK_STREAM)
        if target.get("bypass"):
            bypass(sock)
        if target.get("source"):
            sock.bind((target["source"], 0))
        outcome, by = connect(sock, str(address[0]), address[1], until)
        said = ""
    except OSError as exc:
        outcome, by, said = outcome_of(exc.errno), "local", str(exc)
    if outcome == "connected":
        return sock, {"outcome": "", "from": "", "error": ""}
    if sock is not None:
        sock.close()
    return None, {"outcome": outcome, "from": by, "error": said}


def _upgrade(path: str, headers: Dict, protocol: str) -> bytes:
    """Return a Tailscale client's upgrade request; for the control protocol, with a handshake that fails."""
    asked = {**headers, "Upgrade": protocol, "Connection": "upgrade"}
    method = "GET"
    if protocol == _CONTROL:
        method, asked = "POST", {**asked, "X-Tailscale-Handshake": "AAAA"}
    return request_of(method, path, asked).replace(b" HTTP/1.0\r\n", b" HTTP/1.1\r\n", 1)


def _authority(host: str, port: int, scheme: str) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == (443 if scheme == "https" else 80) else f"{name}:{port}"


def _split_url(url: str) -> Tuple:
    scheme, _slashes, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if scheme not in ("http", "https") or not authority or "@" in authority:
        raise Unseen("bad_url", f"{url!r} is not an http or https URL")
    host, port = authority, ""
    if authority.startswith("["):
        host, _bracket, port = authority[1:].partition("]")
        port = port.lstrip(":")
    elif ":" in authority:
        host, _colon, port = authority.partition(":")
    if port and not (port.isascii() and port.isdecimal()):
        raise Unseen("bad_url", f"the port of {url!r} is not a number")
    return scheme, host, int(port or (443 if scheme == "https" else 80)), slash + path or "/"


def _tls(sock: socket.socket, host: str, target: Dict, until: float) -> socket.socket:
    import ssl

    try:
        context = trusting(target.get("ca_file"))
        context.check_hostname = not any(target.get(key) for key in ("insecure", "sha256", "certificate_name"))
        if target.get("insecure") or target.get("sha256"):
            context.verify_mode = ssl.CERT_NONE
        # On a busy host, it takes long to read what to trust.
        sock.settimeout(left(until))
        secure = context.wrap_socket(sock, server_hostname=host)
    except ssl.SSLCertVerificationError as exc:
        raise Unseen("tls", f"{exc}") from exc
    except ssl.SSLError as exc:
        raise Unseen("handshake", f"{exc.reason or exc}") from exc
    names = [str(entry[1]) for entry in (secure.getpeercert() or {}).get("subjectAltName", ())]
    if target.get("certificate_name") not in (None, *names):
        secure.close()
        raise Unseen("tls", "the certificate is for {}".format(", ".join(names)))
    if target.get("sha256") and _sha256(secure.getpeercert(binary_form=True) or b"") != target["sha256"]:
        secure.close()
        raise Unseen("tls", "the certificate does not have the pinned SHA-256")
    return secure


def _sha256(certificate: bytes) -> str:
    from hashlib import sha256

    return sha256(certificate).hexdigest()
