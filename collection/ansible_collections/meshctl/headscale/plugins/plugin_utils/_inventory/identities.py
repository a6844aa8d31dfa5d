# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refuse an inventory in which a node of the live inventory plugin has taken the place of another host or of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...module_utils._errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The hosts of these groups receive the API key, or serve the whole mesh.
_TRUSTED = ("headscale", "relays")
_REMEDY = "give the host in your own inventory file another name, or rename the node with meshctl.headscale.node"


def check_identities(groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Any]) -> None:
    """Refuse names with two meanings; raise `BadInput`."""
    if both := sorted({str(host) for host in groups["all"]} & set(groups)):
        raise BadInput(
            f"{both[0]} is the name of a host and of a group, so a play for one could run on the other: rename the host"
        )
    for group in _TRUSTED:
        for host in groups.get(group, ()):
            # The inventory plugin sets this variable on each node.
            if "headscale_node_key" in hostvars[host]:
                raise BadInput(
                    f"host {host} is in the group {group}, and a node of the mesh has the same name, so its address may be "
                    f"the node's: {_REMEDY}"
                )
