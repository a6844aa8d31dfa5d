# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which service the mesh offers, and which hosts reach it in which way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._judge.answer import address, endpoint, items, mapping, text
from .view import calm, is_lab, may_disturb, mesh_domain, place, subnet

if TYPE_CHECKING:
    from .view import View


def expected(view: View) -> dict[str, Any]:
    """Return what a story about the service needs."""
    host = text(view.setting("service_host"))
    node = _node(view, host)
    port = int(view.setting("service_port"))
    mesh = next(iter(node["addresses"]), "-")
    public = text(place(view, host).get("public_address")) or "-"
    return {
        "host": host,
        "name": text(view.setting("service_name")),
        "port": port,
        "status": int(view.setting("service_status")),
        "body": text(view.setting("service_body")),
        "addresses": node["addresses"],
        "urls": [_url(name, port) for name in (mesh, *_names(view, node["given_name"]))],
        "node_url": _url(mesh, port),
        "physical_urls": [_url(known, port) for known in _physical_addresses(view, host)],
        "physical_outcome": "refused" if is_near(view, host) else "unreachable",
        "public_url": _url(public, port),
        "behind_other_router": _behind_other_router(view, host, port),
        "stranger": _is_stranger(view),
        "may_restart": not no_restart(view),
        "bystanders": [name for name in view.group("clients") if name != host],
    }


def mesh_addresses(view: View, host: str) -> list[str]:
    """Return a node's addresses in the mesh."""
    return [text(known) for known in items(mapping(mapping(view.shared("mesh_nodes")).get(host)).get("addresses"))]


def own_addresses(view: View) -> list[str]:
    """Return the addresses at which others may reach this host."""
    known = mesh_addresses(view, view.host) if view.host in view.group("clients") else []
    physical = text(place(view, view.host).get("address"))
    return [*known, *([physical] if physical else [])]


def other_addresses(view: View) -> dict[str, list[str]]:
    """Return the addresses at which this host reaches each other host: in the mesh if both are, and in its own network."""
    member = view.host in view.group("clients")
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys([*view.topology(), *view.group("clients")]):
        if name == view.host or name in view.group("spare"):
            continue
        known = mesh_addresses(view, name) if member else []
        physical = text(place(view, name).get("address"))
        if physical and is_near(view, name):
            known.append(physical)
        if known:
            found[name] = known
    return found


def routers(view: View) -> dict[str, list[str]]:
    """Return the public address of each router of a lab that hides another network."""
    if not is_lab(view):
        return {}
    hidden = [one for one in map(mapping, view.topology().values()) if (text(one.get("nat")) or "none") != "none"]
    return {
        text(one.get("router")): [text(one.get("public_address"))]
        for one in hidden
        if one.get("subnet") != subnet(view, view.host) and one.get("public_address")
    }


def behind(view: View, router: str) -> list[str]:
    """Return the hosts that a router hides."""
    return [name for name in view.topology() if place(view, name).get("router") == router]


def is_near(view: View, host: str) -> bool:
    """Whether this host has a route to the physical address of the service's host."""
    own = subnet(view, view.host)
    routed = is_lab(view) and text(place(view, host).get("nat")) == "none"
    return view.host == host or (bool(own) and own == subnet(view, host)) or routed


def _is_stranger(view: View) -> bool:
    """Whether this host is known not to be in the mesh; an existing host outside the group clients may be."""
    return is_lab(view) and view.host not in view.group("clients")


def no_service(view: View) -> str:
    """Return why there is no service to test."""
    if text(view.setting("service_host")):
        return ""
    return "no service is named: set mesh_service_host, and mesh_service_port unless it is 80"


def not_private(view: View) -> str:
    """Return why the service may be reached without the mesh."""
    if view.setting("service_private"):
        return ""
    return "mesh_service_private is false: the service may be reached without the mesh"


def no_address(view: View) -> str:
    """Return why the service cannot be tried at its host's physical address."""
    host = text(view.setting("service_host"))
    if not place(view, host).get("address"):
        return f"the physical address of {host} is not known: set mesh_subnet and mesh_address"
    if is_near(view, host) or (view.setting("isolated") and place(view, view.host)):
        return ""
    return (
        "the inventory does not say that this host has no route to the service: set mesh_isolated, and its mesh_subnet"
    )


def no_restart(view: View) -> str:
    """Return why the service must not be restarted."""
    if reason := calm(view):
        return reason
    host = text(view.setting("service_host"))
    if not may_disturb(view, host):
        return f"{host} may not be disturbed: set mesh_allow_disruptive, or name it in mesh_canaries"
    return (
        ""
        if view.setting("service_name")
        else f"the service of {host} has no name to restart it by: set mesh_service_name"
    )


def _node(view: View, host: str) -> dict[str, Any]:
    known = mapping(mapping(view.shared("mesh_nodes")).get(host))
    return {"addresses": items(known.get("addresses")) or ["-"], "given_name": text(known.get("given_name")) or host}


def _names(view: View, given_name: str) -> tuple[str, str]:
    return f"{given_name}.{mesh_domain(view)}", given_name


def _physical_addresses(view: View, host: str) -> list[str]:
    """Return the physical addresses of the service's host.

    The endpoints of a client in a lab are its host's addresses; an existing host may list other programs' addresses,
    such as those of containers.
    """
    own = place(view, host)
    found = [text(own.get("address")) or "-"]
    if is_lab(view):
        endpoints = items(mapping(view.of_host(host, "mesh_client")).get("endpoints"))
        known = [entry for entry in (endpoint(text(each))[0] for each in endpoints) if entry and ":" not in entry]
        found += [entry for entry in known if entry != address(own.get("public_address"))]
    return list(dict.fromkeys(found))


def _behind_other_router(view: View, host: str, port: int) -> bool:
    """Whether the router of the service's host hides the service from this host, and does not publish its port."""
    server = place(view, host)
    if not is_lab(view) or is_near(view, host) or (text(server.get("nat")) or "none") == "none":
        return False
    same = [name for name in view.topology() if subnet(view, name) == subnet(view, host)]
    return all(port not in items(place(view, name).get("published")) for name in same)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
