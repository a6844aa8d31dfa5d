# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that programs on the host can send packets into the mesh."""

from __future__ import annotations

from ..observed import Check, CheckContext, Client, Iterator


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return whether tailscaled has a TUN device."""
    if client.running and client.status.get("TUN") is not None:
        yield context.check(
            client.status.get("TUN") is True,
            expected={"tun": True},
            observed={"tun": client.status.get("TUN")},
            hint="tailscaled runs with --tun=userspace-networking: programs on this host can neither send into the mesh nor "
            "resolve its names; remove that option and give tailscaled /dev/net/tun, or use its SOCKS proxy",
            command="tailscale status --json",
        )
