# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create the lab's certificate authority and the certificates of its machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .supervisor import LabError

if TYPE_CHECKING:
    import trustme


def write(directory: Path, names: Mapping[str, Sequence[str]]) -> None:
    """Write `ca.pem`, `ca.key` and `tls/<machine>/{cert,key}.pem` below a lab's state directory, which is private."""
    authority = _authority(directory)
    for machine, hostnames in names.items():
        own = directory / "tls" / machine
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        certificate = authority.issue_cert(*hostnames)
        _private(own / "key.pem", certificate.private_key_pem.bytes())
        (own / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))


def _authority(directory: Path) -> trustme.CA:
    try:
        import trustme  # slow to import, and only needed to build a lab
    except ModuleNotFoundError as exc:
        raise LabError("a lab's certificates need the Python package trustme on the controller: install it") from exc
    certificate, key = directory / "ca.pem", directory / "ca.key"
    if certificate.exists() and key.exists():
        return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    authority = trustme.CA(organization_name="meshctl lab")
    certificate.write_bytes(authority.cert_pem.bytes())
    _private(key, authority.private_key_pem.bytes())
    return authority


def _private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
