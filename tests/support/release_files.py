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

    def __init__(self, tools: Path) -> None:
        """Publish a good release of both tools, and pin it in `tools`."""
        self.tools = tools
        self.files: dict[str, bytes] = {}
        self.cut: dict[str, int] = {}
        self.asked: list[str] = []
        self.url = ""
        self.headscale_asset = f"headscale_{HEADSCALE}_linux_{architecture()}"
        self.headscale = f"/headscale/v{HEADSCALE}/{self.headscale_asset}"
        self.tailscale_asset = f"tailscale_{TAILSCALE}_{architecture()}.tgz"
        self.tailscale = f"/tailscale/tailscale_{TAILSCALE}_{architecture()}.tgz"
        self.publish_headscale(program(HEADSCALE))
        self.publish_tailscale(archive(TAILSCALE))

    def publish_headscale(self, content: bytes) -> None:
        """Publish `content` as headscale, and pin it."""
        self.files[self.headscale] = content
        pin(self.tools, self.headscale_asset, content)

    def publish_tailscale(self, content: bytes) -> None:
        """Publish `content` as the archive of tailscale, and pin it."""
        self.files[self.tailscale] = content
        pin(self.tools, self.tailscale_asset, content)

    def sources(self, *ways: str) -> Sources:
        """Return sources that know this server only."""
        return Sources(
            ways=ways or ("archive",),
            headscale_url=f"{self.url}/headscale",
            tailscale_url=f"{self.url}/tailscale/",
        )


def pin(tools: Path, asset: str, content: bytes) -> None:
    """Pin the checksum of `content` for a release file."""
    path = tools / "checksums.json"
    pinned = json.loads(path.read_text())["sha256"] if path.exists() else {}
    path.write_text(json.dumps({"sha256": {**pinned, asset: hashlib.sha256(content).hexdigest()}}))
