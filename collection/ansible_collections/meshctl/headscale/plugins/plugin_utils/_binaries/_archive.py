# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch programs from the official release archives."""

from __future__ import annotations

import concurrent.futures
import hashlib
import re
import shutil
import socket
import tarfile
import threading
import urllib.error
import urllib.request
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
# Of one read, once connected: a stalled mirror is given up, a slow one is not.
_READ_TIMEOUT_S = 30.0
# Ten times the largest archive of today: an address that never stops sending must not fill the disk.
_MOST_BYTES = 600_000_000
_MOST_CHECKSUM_BYTES = 1_000_000


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
    """Download the release of `tool`, verify its checksum, and return the unpacked programs in `staging`."""
    base = sources.url(tool)
    asset = _asset(tool, version)
    address = f"{base}/v{version}/{asset}" if tool is HEADSCALE else f"{base}/{asset}"
    pinned = pinned_checksum(asset, tools)
    _check_address(address, tool=tool, pinned=pinned is not None)
    _check_reachable(address, tool=tool, timeout_s=sources.connect_timeout_s)
    expected = pinned or _published_checksum(tool, address=address, asset=asset)
    download = staging / asset
    actual = _download(address, download, label=f"fetching {tool.name} {version}", pace=Pace(progress))
    if actual != expected:
        download.unlink()
        origin = "pinned" if pinned else "published"
        raise WayFailedError(
            f"{address} has the wrong checksum and was refused (sha256 {actual}, {origin} {expected}): "
            f"try again, and if it stays so choose another mirror with mesh_release_url_{tool.name}"
        )
    if tool is HEADSCALE:
        return {"headscale": download}
    return {program: _unpack(download, program, staging) for program in programs}


def _asset(tool: Tool, version: str) -> str:
    """Return the name of the release file for this machine."""
    if tool is HEADSCALE:
        return f"headscale_{version}_linux_{architecture()}"
    return f"tailscale_{version}_{architecture()}.tgz"


def _check_address(address: str, *, tool: Tool, pinned: bool) -> None:
    """Refuse what could not be trusted: over plain HTTP the published checksum proves nothing."""
    parts = urlsplit(address)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise WayFailedError(
            f"{address} is no web address: write mesh_release_url_{tool.name} as https://host/directory"
        )
    if parts.scheme == "http" and not pinned and not _loopback(parts.hostname):
        raise WayFailedError(
            f"{address} is plain http and its checksum is not pinned: use https in mesh_release_url_{tool.name}"
        )


def _loopback(host: str) -> bool:
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


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


def _published_checksum(tool: Tool, *, address: str, asset: str) -> str:
    """Return what the publisher's own checksum file says of `asset`."""
    where = address.rpartition("/")[0] + "/checksums.txt" if tool is HEADSCALE else address + ".sha256"
    try:
        with _open(where) as answer:
            text = answer.read(_MOST_CHECKSUM_BYTES).decode("ascii", "replace")
    except (OSError, HTTPException) as exc:
        raise WayFailedError(f"{where} cannot be fetched ({_reason(exc)}): {_remedy(tool)}") from None
    named = rf"^([0-9a-fA-F]{{64}})\s+\*?{re.escape(asset)}\s*$"
    # checksums.txt lists every file of the release; <archive>.sha256 holds the sum alone.
    match = re.search(named, text, re.MULTILINE) or (
        None if tool is HEADSCALE else re.fullmatch(r"\s*([0-9a-fA-F]{64})\s*", text)
    )
    if match is None:
        raise WayFailedError(f"{where} has no sha256 of {asset}: {_remedy(tool)}")
    return match.group(1).lower()


def _remedy(tool: Tool) -> str:
    return f"check mesh_{tool.name}_version and mesh_release_url_{tool.name}"


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
    received = 0
    try:
        with _open(address) as answer, path.open("wb") as file:
            announced = int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read(_CHUNK):
                received += len(chunk)
                if received > _MOST_BYTES:
                    raise WayFailedError(f"{address} sent more than {_MOST_BYTES} bytes: that is no release archive")
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


def _unpack(archive: Path, program: str, staging: Path) -> Path:
    """Take one program out of a tailscale archive; no name in the archive decides where anything is written."""
    target = staging / program
    try:
        with tarfile.open(archive) as tar:
            member = next(
                (item for item in tar if item.isfile() and item.name.split("/")[1:] == [program]),
                None,
            )
            source = tar.extractfile(member) if member else None
            if source is None:
                raise WayFailedError(f"{archive.name} holds no {program}: it is not a release of tailscale")
            with source, target.open("wb") as file:
                shutil.copyfileobj(source, file)
    except (tarfile.TarError, EOFError, OSError) as exc:
        raise WayFailedError(f"{archive.name} cannot be unpacked ({exc})") from None
    return target
