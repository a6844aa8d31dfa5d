# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which networks a host leads to or uses through others, and who leaves the mesh through an exit node."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from .._inventory.routes import Route, read_exit_nodes, read_routes
from .._judge.answer import address, items, mapping, text
from .view import calm, is_lab, may_disturb, place

if TYPE_CHECKING:
    from .view import View

# Networks for documentation.
_UNUSED = {4: ip_network("198.51.100.0/24"), 6: ip_network("2001:db8:51::/48")}


def expected(view: View) -> dict[str, Any]:
    """Return what a story about routes needs of this host."""
    routes, exits = routes_of(view), exits_of(view)
    shared = next((route for route in routes if len(route.routers) > 1), None)
    single = next((route for route in routes if len(route.routers) == 1 and echoes(view, route)), None)
    # The same network in the other family, if there is one.
    singles = [route for route in routes if single and (route.routers, route.target) == (single.routers, single.target)]
    return {
        "routers": {host: served_by(view, host) for host in _routers(view)},
        "advertise": [route.prefix for route in routes if view.host in route.routers],
        "exit": view.host in exits,
        "accepts": view.host in _accepting(view),
        "uses": [route.prefix for route in used(view)],
        "allowed": not no_changes(view),
        "disruption": not no_failover(view),
        "exit_node": next(iter(exits), ""),
        "exit_user": exit_user(view),
        "shared": shared.prefix if shared else "",
        "observer": next((host for host in _accepting(view) if shared and _uses(view, shared, host)), ""),
        "sharing": list(shared.routers) if shared else [],
        "specific": specific(view, shared) if shared else {},
        "new_exit": new_exit(view),
        "owners": owners(view),
        "single": [route.prefix for route in singles],
        "single_router": single.routers[0] if single else "",
        "single_target": single.target if single else "",
        "listeners": _listeners(view),
    }


def routes_of(view: View) -> tuple[Route, ...]:
    """Return the entries of `mesh_routes`."""
    return read_routes(view.setting("routes"), _groups(view))


def exits_of(view: View) -> tuple[str, ...]:
    """Return the hosts of `mesh_exit_nodes`."""
    return read_exit_nodes(view.setting("exit_nodes"), _groups(view))


def _groups(view: View) -> dict[str, list[str]]:
    return {name: view.group(name) for name in ("clients", "lan")}


def served_by(view: View, host: str) -> list[str]:
    """Return all prefixes that a host should serve, those of an exit node included."""
    own = [route.prefix for route in routes_of(view) if host in route.routers]
    return [*own, *(("0.0.0.0/0", "::/0") if host in exits_of(view) else ())]


def _listeners(view: View) -> list[dict[str, Any]]:
    """Return the hosts outside the mesh that this host makes listen, with their addresses: each is the task of one client."""
    targets = [route.target for route in routes_of(view) if echoes(view, route)]
    hosts = list(dict.fromkeys([*targets, *filter(None, [web(view)[0]])]))
    clients = view.group("clients")
    return [
        {"host": host, "addresses": [known for family in (4, 6) if (known := own_address(view, host, family))]}
        for number, host in enumerate(hosts)
        if clients and clients[number % len(clients)] == view.host
    ]


def target_of(view: View, route: Route) -> str:
    """Return the address of a route's target, empty if the inventory does not say."""
    return address(route.target) or own_address(view, route.target, route.network.version)


def own_address(view: View, host: str, family: int) -> str:
    """Return a host's physical address of a family (4 or 6), empty if the inventory does not say."""
    known = [address(place(view, host).get(key)) for key in ("address", "address6")]
    return next((entry for entry in known if entry and ip_address(entry).version == family), "")


def specific(view: View, route: Route) -> dict[str, str]:
    """Return prefixes to advertise besides a route: one for its target alone, and one that belongs to no network.

    The target's comes before the route. `covering` is what a policy may name for it.
    """
    known = target_of(view, route)
    if not known:
        return {}
    alone = ip_network(known)
    return {
        "prefix": str(alone),
        "covering": str(alone.supernet(prefixlen_diff=2)),
        "other": str(_UNUSED[alone.version]),
    }


def echoes(view: View, route: Route) -> bool:
    """Whether a route's target answers over HTTP with the address that a request came from, as in labs."""
    return is_lab(view) and route.target in view.group("lan")


def used(view: View) -> list[Route]:
    """Return the routes that lead this host to networks where it is not itself."""
    return [route for route in routes_of(view) if _uses(view, route, view.host)]


def _uses(view: View, route: Route, host: str) -> bool:
    here = own_address(view, host, route.network.version)
    inside = bool(here) and ip_address(here) in route.network
    return host in view.group("clients") and host not in route.routers and not inside


def _routers(view: View) -> list[str]:
    named = [host for route in routes_of(view) for host in route.routers]
    return list(dict.fromkeys([*named, *exits_of(view)]))


def _accepting(view: View) -> list[str]:
    """Return the clients that accept routes: none of two routers of one network, which would get it from the other."""
    sharing = {host for route in routes_of(view) if len(route.routers) > 1 for host in route.routers}
    return [
        host for host in view.group("clients")
        if host not in sharing and any(_uses(view, route, host) for route in routes_of(view))
    ]  # fmt: skip


def exit_user(view: View) -> str:
    """Return the client that tries the exit node: one of another subnet that is no exit node itself."""
    exits = exits_of(view)
    if not exits:
        return ""
    outside = place(view, exits[0]).get("public_address")
    others = [host for host in view.group("clients") if host not in exits]
    return next((host for host in others if place(view, host).get("public_address") != outside), "")


def new_exit(view: View) -> str:
    """Return a client that is no exit node and uses none, empty if there is none: it becomes one for a while."""
    others = [host for host in view.group("clients") if host not in (*exits_of(view), exit_user(view))]
    return others[-1] if others else ""


def owners(view: View) -> dict[str, str]:
    """Return how a policy names the owner of each client: by a tag that it has, else by its user.

    Headscale takes one `@` from the end of a name that it looks for, so that each user is found, whatever the name.
    """
    known = mapping(view.shared("mesh_nodes"))
    records = {host: mapping(known.get(host)) for host in view.group("clients")}
    return {
        host: next((text(tag) for tag in items(record.get("tags"))), f"{text(record.get('user'))}@")
        for host, record in records.items()
    }


def no_routes(view: View) -> str:
    """Return why there is nothing to verify."""
    if routes_of(view) or exits_of(view):
        return ""
    return "no route and no exit node is named: set mesh_routes or mesh_exit_nodes"


def not_verified(view: View) -> str:
    """Return why no route can be verified: a lab has none until a story sets them up."""
    return no_routes(view) or (no_changes(view) if is_lab(view) else "")


def no_changes(view: View) -> str:
    """Return why the story must not set routes up itself."""
    if reason := calm(view):
        return reason
    if view.setting("backend") == "lab" and view.setting("manage"):
        return ""
    return "a story sets routes up in a lab of namespaces that meshctl manages (mesh_backend: lab, mesh_manage), and nowhere else"


def no_failover(view: View) -> str:
    """Return why no router may fail."""
    if reason := no_changes(view):
        return reason
    shared = next((route for route in routes_of(view) if len(route.routers) > 1), None)
    if shared is None:
        return "no network has a second router: list two routers in an entry of mesh_routes"
    if closed := [host for host in shared.routers if not may_disturb(view, host)]:
        return f"{closed[0]} may not be disturbed: set mesh_allow_disruptive, or name it in mesh_canaries"
    return ""


def web(view: View) -> tuple[str, str]:
    """Return the web server on the lab's WAN and its address, empty if there is none."""
    for host in view.group("lan"):
        if text(place(view, host).get("subnet")) == "wan":
            return host, text(place(view, host).get("address"))
    return "", ""


def neighbour(view: View) -> tuple[str, str]:
    """Return a host of this host's own network that is not in the mesh, and its address."""
    own = text(place(view, view.host).get("subnet"))
    for host in view.group("lan"):
        if own and text(place(view, host).get("subnet")) == own:
            return host, text(place(view, host).get("address"))
    return "", ""
