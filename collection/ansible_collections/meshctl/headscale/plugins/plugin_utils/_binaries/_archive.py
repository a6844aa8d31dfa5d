# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch programs from the official release archives."""

from __future__ import annotations

import concurrent.futures
import gzip
import hashlib
import shutil
import socket
import tarfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._model import (
    HEADSCALE,
    Pace,
    Sources,
    Tool,
    WayFailedError,
    architecture,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._pinned import pinned_checksum

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._model import Progress

_CHUNK = 1 << 18
_READ_TIMEOUT_S = 30.0
# A slow mirror is waited for, one that hardly sends anything is not.
_SLOWEST_BYTES_S = 5_000
_SLOW_AFTER_S = 60.0
# Ten times the largest archive of today: an address that never stops sending must not fill the disk.
_MOST_BYTES = 600_000_000
_MOST_UNPACKED = 600_000_000
_LARGEST_HEADER = 1 << 20


def fetch(  # noqa: PLR0913
    tool: Tool,
    *,
    version: str,
    programs: Collection[str],
    staging: Path,
    tools: Path,
    sources: Sources,
    progress: Progress,
) -> dict[str, Path]:
    """Download the release of `tool`, verify it against the pinned checksum, and return the programs in `staging`."""
    base = sources.url(tool)
    asset = _asset(tool, version)
    address = f"{base}/v{version}/{asset}" if tool is HEADSCALE else f"{base}/{asset}"
    _check_address(address, tool=tool)
    pinned = pinned_checksum(asset, tools)
    if pinned is None:
        # The publisher's own checksum proves nothing if the publisher or the mirror is compromised.
        raise WayFailedError(
            f"{asset} has no checksum in {tools / 'checksums.json'}, and programs that run as root are not fetched without one: "
            f"leave out mesh_{tool.name}_version, or add the sha256 of the file from a source that you trust"
        )
    _check_reachable(address, tool=tool, timeout_s=sources.connect_timeout_s)
    download = staging / asset
    actual = _download(address, download, label=f"fetching {tool.name} {version}", pace=Pace(progress))
    if actual != pinned:
        download.unlink()
        raise WayFailedError(
            f"{address} has the wrong checksum and was refused (sha256 {actual}, pinned {pinned}): "
            f"try again, and if that does not help, choose another mirror with mesh_release_url_{tool.name}"
        )
    if tool is HEADSCALE:
        return {"headscale": download}
    return {program: _unpack(download, program, staging) for program in programs}


def _asset(tool: Tool, version: str) -> str:
    """Return the name of the release file for this machine."""
    if tool is HEADSCALE:
        return f"headscale_{version}_linux_{architecture()}"
    return f"tailscale_{version}_{architecture()}.tgz"


def _check_address(address: str, *, tool: Tool) -> None:
    parts = urlsplit(address)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise WayFailedError(
            f"{address} is not a web address: write mesh_release_url_{tool.name} as https://host/directory"
        )


def _check_reachable(address: str, *, tool: Tool, timeout_s: float) -> None:
    """Say within `timeout_s` when there is no way to the server, name look-up included (which has no timeout)."""
    parts = _first_hop(urlsplit(address))
    host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
    outcome: concurrent.futures.Future[None] = concurrent.futures.Future()

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=timeout_s).close()
            outcome.set_result(None)
        except OSError as exc:
            outcome.set_exception(exc)

    threading.Thread(target=connect, daemon=True).start()
    try:
        outcome.result(timeout=timeout_s)
    except (OSError, concurrent.futures.TimeoutError) as exc:
        reason = getattr(exc, "strerror", None) or f"no answer within {timeout_s:g} s"
        raise WayFailedError(
            f"{host}:{port} cannot be reached ({reason}): open the network to it, or set "
            f"mesh_release_url_{tool.name} to a mirror"
        ) from None


def _first_hop(parts: SplitResult) -> SplitResult:
    """Return the proxy that the environment names for an address, else the address."""
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return parts
    return urlsplit(proxy if "//" in proxy else f"http://{proxy}")


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follow redirects (releases live behind one), but never from https to something weaker."""

    def redirect_request(  # noqa: PLR0913, PLR0917  (urllib's signature)
        self,
        req: urllib.request.Request,
        fp: object,
        code: int,
        msg: str,
        headers: object,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the next request, or refuse it."""
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError(f"redirected from https to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _open(address: str):  # type: ignore[no-untyped-def]  # noqa: ANN202  (urllib's answer has no public name)
    opener = urllib.request.build_opener(_NoDowngrade)
    request = urllib.request.Request(address, headers={"User-Agent": "meshctl"})  # noqa: S310
    return opener.open(request, timeout=_READ_TIMEOUT_S)


def _download(address: str, path: Path, *, label: str, pace: Pace) -> str:
    """Write what is at `address` to `path`, and return its sha256; a short answer is an error."""
    pace.headline(f"{label} from {address}")
    sha256 = hashlib.sha256()
    received, began = 0, time.monotonic()
    try:
        with _open(address) as answer, path.open("wb") as file:
            announced = int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read1(_CHUNK):
                received += len(chunk)
                if received > _MOST_BYTES:
                    raise WayFailedError(f"{address} sent more than {_MOST_BYTES} bytes: that is not a release archive")
                if (passed := time.monotonic() - began) > _SLOW_AFTER_S and received < passed * _SLOWEST_BYTES_S:
                    raise WayFailedError(f"{address} sends less than {_SLOWEST_BYTES_S} bytes a second: try a mirror")
                file.write(chunk)
                sha256.update(chunk)
                percent = f" {received * 100 // announced} %," if announced else ""
                pace.tick(f"{label}:{percent} {received // 1_000_000} MB")
    except (OSError, HTTPException, ValueError) as exc:
        path.unlink(missing_ok=True)
        raise WayFailedError(
            f"{address} cannot be fetched ({_reason(exc)}): check the version, the network and the disk"
        ) from None
    if received < announced:
        path.unlink(missing_ok=True)
        raise WayFailedError(f"{address} broke off after {received} of {announced} bytes: try again")
    return sha256.hexdigest()


def _reason(exc: Exception) -> str:
    if isinstance(exc, urllib.error.HTTPError):
        return f"HTTP {exc.code} {exc.reason}"
    if isinstance(exc, urllib.error.URLError):
        return str(exc.reason)
    return str(exc) or type(exc).__name__


class _Limited:
    """A decompressed archive that ends with an error instead of filling the disk."""

    def __init__(self, source: gzip.GzipFile) -> None:
        self._source = source
        self._left = _MOST_UNPACKED

    def read(self, size: int) -> bytes:
        """Return some bytes; raise TarError once there have been too many."""
        content = self._source.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise tarfile.ReadError(f"more than {_MOST_UNPACKED} bytes")
        return content


class _Member(tarfile.TarInfo):
    """A member whose header is not read into memory if it is large: names and attributes need little room."""

    # "tarfile", its name in the parent, would hide the module.
    # pylint: disable-next=arguments-renamed
    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if not self.isreg() and self.size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]


def _unpack(archive: Path, program: str, staging: Path) -> Path:
    """Take one program out of a tailscale archive; no name in the archive decides where anything is written."""
    target = staging / program
    try:
        with (
            gzip.open(archive) as unpacked,
            tarfile.open(fileobj=_Limited(unpacked), mode="r|", tarinfo=_Member) as tar,  # type: ignore[call-overload]
        ):
            for item in tar:
                if item.isfile() and item.name.split("/")[1:] == [program] and (source := tar.extractfile(item)):
                    with source, target.open("wb") as file:
                        shutil.copyfileobj(source, file)
                    return target
    except (tarfile.TarError, EOFError, OSError, zlib.error) as exc:
        raise WayFailedError(f"{archive.name} cannot be unpacked ({exc})") from None
    raise WayFailedError(f"{archive.name} contains no {program}: it is not a release of tailscale")
