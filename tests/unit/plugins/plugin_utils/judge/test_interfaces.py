# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which interfaces belong to the mesh."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.interfaces import mesh_interfaces


def link(name: str, address: str, kind: str | None) -> dict[str, Any]:
    return {"name": name, "addresses": [address], **({} if kind is None else {"type": kind})}


@pytest.mark.parametrize(
    ("name", "address", "kind", "inside"),
    [
        ("tailscale0", "100.64.0.1/32", "none", True),
        ("mesh", "fd7a:115c:a1e0::1/128", "none", True),
        ("tailscale0", "100.64.0.1/32", None, True),
        ("eth0", "100.72.3.4/10", "ether", False),
        ("ppp0", "100.72.3.4/32", "ppp", False),
        ("lo", "100.64.0.1/32", "loopback", False),
        ("tun0", "10.8.0.1/24", "none", False),
    ],
)
def test_an_interface_is_the_meshs_by_what_it_is(name: str, address: str, kind: str | None, inside: bool) -> None:
    assert mesh_interfaces([link(name, address, kind)]) == ({name} if inside else set())
