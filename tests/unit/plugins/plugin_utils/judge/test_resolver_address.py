# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where tailscaled's resolver is, and which of its addresses was asked."""

from __future__ import annotations

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.answer import Answer
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.names import (
    QUAD_100,
    QUAD_100_V6,
    Name,
    resolver_asked,
    resolver_of,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.resolves import Names, judge_resolves

_SIX = "fd7a:115c:a1e0::2"
_NAME = Name(node="two", fqdn="two.mesh.internal", addresses=(_SIX,), families=(6,))


@pytest.mark.parametrize(
    ("own", "resolver"),
    [([], QUAD_100), (["100.64.0.1"], QUAD_100), (["100.64.0.1", _SIX], QUAD_100), ([_SIX], QUAD_100_V6)],
)
def test_the_resolver_has_an_address_of_a_family_that_the_node_has(own: list[str], resolver: str) -> None:
    assert resolver_of(own) == resolver


def _asked(server: str) -> dict[str, object]:
    def row(kind: str) -> dict[str, object]:
        answers = [{"value": _SIX, "ttl": 600}] if kind == "AAAA" else []
        return {"name": _NAME.fqdn, "type": kind, "server": server, "outcome": "answered", "rcode": "NOERROR",
                "answers": answers, "duration_ms": 1.0}  # fmt: skip

    return mesh.answer(dns=mesh.seen([row("A"), row("AAAA")]), dns_tcp=mesh.seen([row("AAAA")]))


@pytest.mark.parametrize(("server", "verdict"), [(QUAD_100_V6, "passed"), (QUAD_100, "failed")])
def test_a_mesh_with_ipv6_alone_is_asked_over_ipv6(server: str, verdict: str) -> None:
    expect = Names(present=(_NAME,), wire=False, resolver=QUAD_100_V6)
    checks = {check.aspect: check for check in judge_resolves(_asked(server), mesh.context("resolves"), expect)}
    assert checks["dns"].verdict == verdict
    assert checks["tcp"].verdict == "passed"
    assert checks["dns"].expected["server"] == QUAD_100_V6
    assert resolver_asked(Answer(_asked(server))) == server
