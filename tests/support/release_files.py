# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release as the publishers lay it out, with small programs that report a version."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING

from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries import Sources
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries._model import architecture

if TYPE_CHECKING:
    from pathlib import Path

HEADSCALE = "1.2.3"
TAILSCALE = "4.5.6"


def program(version: str) -> bytes:
    """Return a program that reports `version`, whatever it is asked."""
    return f"#!/bin/sh\necho v{version}\n".encode()


def archive(version: str, names: tuple[str, ...] = ("tailscale", "tailscaled")) -> bytes:
    """Return a release archive of tailscale."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in names:
            content = program(version)
            member = tarfile.TarInfo(f"tailscale_{version}_{architecture()}/{name}")
            member.size = len(content)
            member.mode = 0o755
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class Release:
    """What the release server has; a test changes it at will."""

    def __init__(self) -> None:
        """Publish a good release of both tools."""
        self.files: dict[str, bytes] = {}
        self.cut: dict[str, int] = {}
        self.asked: list[str] = []
        self.url = ""
        self.headscale_asset = f"headscale_{HEADSCALE}_linux_{architecture()}"
        self.headscale = f"/headscale/v{HEADSCALE}/{self.headscale_asset}"
        self.headscale_sums = f"/headscale/v{HEADSCALE}/checksums.txt"
        self.tailscale = f"/tailscale/tailscale_{TAILSCALE}_{architecture()}.tgz"
        self.tailscale_sum = self.tailscale + ".sha256"
        self.publish_headscale(program(HEADSCALE))
        self.publish_tailscale(archive(TAILSCALE))

    def publish_headscale(self, content: bytes) -> None:
        """Publish `content` as headscale, with its checksum among others."""
        self.files[self.headscale] = content
        sums = f"{'0' * 64}  headscale_{HEADSCALE}_darwin_arm64\n{sha256(content)}  {self.headscale_asset}\n"
        self.files[self.headscale_sums] = sums.encode()

    def publish_tailscale(self, content: bytes) -> None:
        """Publish `content` as the archive of tailscale, with its checksum."""
        self.files[self.tailscale] = content
        self.files[self.tailscale_sum] = sha256(content).encode()

    def sources(self, *ways: str) -> Sources:
        """Return sources that know this server only."""
        return Sources(
            ways=ways or ("archive",),
            headscale_url=f"{self.url}/headscale",
            tailscale_url=f"{self.url}/tailscale/",
        )


def sha256(content: bytes) -> str:
    """Return the checksum of `content`, as publishers write it."""
    return hashlib.sha256(content).hexdigest()


def pin(tools: Path, asset: str, content: bytes) -> None:
    """Pin the checksum of `content` for a release file."""
    (tools / "checksums.json").write_text(json.dumps({"sha256": {asset: sha256(content)}}))
