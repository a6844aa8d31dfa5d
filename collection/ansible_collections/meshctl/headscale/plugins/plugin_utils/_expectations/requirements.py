# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What assertions and stories may require; an assertion whose requirements are not met is skipped with the reason.

To add a requirement, write a function that returns the reason why a host does not meet it (empty: it does), and name it
here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ...module_utils._errors import BadInput
from .._judge.answer import items, mapping
from . import disruption, policy, routes, service, subnets
from .view import View, no_server

REQUIREMENTS: Final[dict[str, Callable[[View], str]]] = {
    "placement": subnets.no_placement,
    "subnets": subnets.no_subnets,
    "other_subnet": subnets.no_other_subnet,
    "isolation": subnets.no_isolation,
    "wall": subnets.no_wall,
    "service": service.no_service,
    "private_service": service.not_private,
    "service_address": service.no_address,
    "service_restart": service.no_restart,
    "disruption": disruption.no_disruption,
    "cable": disruption.no_cable,
    "newcomer": disruption.no_newcomer,
    "bystanders": disruption.no_bystanders,
    "routes": routes.no_routes,
    "route_changes": routes.no_changes,
    "verified_routes": routes.not_verified,
    "failover": routes.no_failover,
    "listeners": policy.no_listeners,
    "policy_change": policy.no_change,
    "server": no_server,
}


def unmet(view: View, names: Iterable[str]) -> str:
    """Return the reason of the first requirement that the host does not meet, empty if it meets all."""
    return next((reason for name in names if (reason := REQUIREMENTS[name](view))), "")


def lacking(view: View) -> str:
    """Return why the story of the play cannot run here, empty if it can; all hosts return the same.

    :raises BadInput: when the story needs something that is not a requirement.
    """
    names = [str(name) for name in items(mapping(view.variable("mesh_story_info")).get("needs"))]
    if unknown := [name for name in names if name not in REQUIREMENTS]:
        raise BadInput(f"mesh_story_info: needs has {unknown[0]!r}: write some of {', '.join(REQUIREMENTS)}")
    return unmet(view, names)
