# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Issue the wrong certificates that faults install."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any


def issue(kind: str, directory: Path, names: Sequence[str]) -> tuple[str, str]:
    """Return a certificate chain and its key: `expired` or `early` by the lab's authority, `foreign` by another one."""
    import trustme  # Few faults need it.

    authority = trustme.CA(organization_name="unknown authority")
    lifetime: dict[str, Any] = {}
    if kind != "foreign":
        authority = trustme.CA.from_pem((directory / "ca.pem").read_bytes(), (directory / "ca.key").read_bytes())
        days = {"expired": (-90, -1), "early": (1, 90)}[kind]
        lifetime = {
            name: datetime.now(UTC) + timedelta(days=count)
            for name, count in zip(("not_before", "not_after"), days, strict=True)
        }
    made = authority.issue_cert(*names, **lifetime)
    chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
    return chain.decode(), made.private_key_pem.bytes().decode()
