# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the assertions about routes share: the expected ways, and what others said of the routers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...module_utils._errors import BadInput
from .._expectations import routes as expectations
from .._judge.answer import mapping, text
from .._judge.behind import Listener
from .._judge.routed import Way

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._inventory.routes import Route
    from .members import MeshAction


def ways(task: MeshAction, routes: Iterable[Route], *, masquerade: bool = True, via: str = "") -> tuple[Way, ...]:
    """Return how the targets of these routes are reached; raise `BadInput`."""
    found = []
    serving = mapping(task.shared("mesh_routes_served"))
    for route in routes:
        target = expectations.target_of(task, route)
        if not target:
            raise BadInput(
                f"the address of {route.target} is not known: give the host a mesh_address and a mesh_subnet, or write an address "
                f"as the target of {route.prefix}"
            )
        chosen = via or text(serving.get(route.prefix))
        routers = [chosen] if chosen else list(route.routers)
        seen = [expectations.own_address(task, router, route.network.version) for router in routers]
        if expectations.echoes(task, route) and masquerade and not all(seen):
            raise BadInput(
                f"an IPv{route.network.version} address of {routers[seen.index('')]} is not known, which routes {route.prefix}: give it one"
            )
        if not masquerade:
            own = task.nodes().get(task.host)
            seen = [own.address(route.network.version)] if own else []
        found.append(
            Way(
                prefix=route.prefix, target=route.target, address=target, routers=route.routers,
                echoes=expectations.echoes(task, route), port=route.port, sources=tuple(filter(None, seen)),
                listener=Listener.read(task.of_host(route.target, "mesh_serving"), target),
            )
        )  # fmt: skip
    return tuple(found)


def of_routers(task: MeshAction) -> dict[str, Any]:
    """Return what each client said of itself as a router."""
    return {host: mapping(task.of_host(host, "mesh_router")) for host in task.group("clients")}
