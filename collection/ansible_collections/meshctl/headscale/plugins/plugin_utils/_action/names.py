# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Derive the names of nodes from the server's records."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...module_utils._errors import BadInput
from .._judge.answer import addresses, mapping, text
from .._judge.names import Name, resolver_of

if TYPE_CHECKING:
    from .._judge.context import Node
    from .probing import ProbingAction


# The first release line whose clients give AAAA records of their peers if the policy grants magicdns-aaaa.
FIRST_WITH_AAAA = (1, 84)


def gives_aaaa(task: ProbingAction) -> bool:
    """Whether the host's client can give AAAA records of its peers; a client of unknown version can."""
    found = [int(part) for part in re.findall(r"\d+", text(mapping(task.variable("mesh_client")).get("version")))]
    return len(found) < len(FIRST_WITH_AAAA) or tuple(found[:2]) >= FIRST_WITH_AAAA


def own_resolver(task: ProbingAction) -> str:
    """Return where the resolver of the host's tailscaled is."""
    return resolver_of(addresses(mapping(task.variable("mesh_client")).get("addresses")))


def name_of(node: Node, domain: str, families: tuple[int, ...]) -> Name:
    """Return the name that MagicDNS gives to a node; raise `BadInput`."""
    if not domain:
        raise BadInput("the domain of MagicDNS is not known: pass domain, or set mesh_domain")
    if not node.given_name:
        raise BadInput(f"the server's record of {node.name} has no name: run meshctl.headscale.assert_registered again")
    fqdn = f"{node.given_name}.{domain.strip('.')}".lower()
    return Name(node=node.name, fqdn=fqdn, addresses=node.addresses, families=families)
