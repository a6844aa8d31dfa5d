# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which node a story may disturb, and by which outages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._judge.answer import items, mapping, number, text
from .._judge.interfaces import mesh_address
from .view import calm, is_lab, may_disturb, mesh_domain

if TYPE_CHECKING:
    from .view import View


def expected(view: View) -> dict[str, Any]:
    """Return what a story with outages needs: the canary, and why each kind of outage must not happen."""
    reason = no_disruption(view)
    return {
        "canary": canary(view),
        "not_allowed": {"down": reason, "link": reason or no_cable(view), "killed": reason},
        # Only the canary says why an outage is not allowed, so that other hosts have nothing to do.
        "outages": [] if reason and view.host != canary(view) else ["down", "link", "killed"],
        "watched": _watched(view, undisturbed=bool(reason)),
        "listening_s": _listening_s(len(_members(view))),
    }


def _listening_s(nodes: int) -> float:
    """Return for how long nodes listen: in a large mesh, all checks until the end take longer."""
    return min(_LONGEST_S, max(_USUAL_S, 10.0 * nodes))


def _watched(view: View, *, undisturbed: bool) -> dict[str, list[str]]:
    """Return the peers whose pairs are judged before the outages, those that must not notice them, and the one that returns."""
    peers = [name for name in _members(view) if name != view.host]
    node = canary(view)
    if undisturbed or view.host == node:
        return {"before": peers, "after": [], "back": []}
    returned = [name for name in peers if name == node]
    return {"before": returned, "after": [name for name in peers if name != node], "back": returned}


def _members(view: View) -> list[str]:
    known = mapping(view.shared("mesh_nodes"))
    return list(known) or [
        name for name in view.group("clients") if mapping(view.of_host(name, "mesh_client")).get("key")
    ]


# What the tasks of each outage register: its beginning, its end, and how a sentence names it.
_OUTAGES: Final = {
    "down": ("stopped", "brought_up", "{} was stopped"),
    "link": ("unplugged", "plugged", "{}'s cable was pulled"),
    "killed": ("killed", "", "{}'s client was killed"),
}
_RECOVERY_S: Final = 5.0
_USUAL_S: Final = 300.0
_LONGEST_S: Final = 900.0


def outages(view: View) -> list[dict[str, Any]]:
    """Return when the canary was taken down, from what the tasks registered: epoch seconds, and what was done."""
    node = canary(view)
    found = []
    for began, ended, what in _OUTAGES.values():
        start = number(mapping(view.of_host(node, began)).get("started_at"))
        end = number(mapping(view.of_host(node, ended)).get("started_at")) if ended else start
        if start is not None:
            found.append({"start": start, "end": (end or start) + _RECOVERY_S, "what": what.format(node)})
    return [*found, *_service_restarts(view)]


def _service_restarts(view: View) -> list[dict[str, Any]]:
    """Return when the service and the client of its node were restarted."""
    host = text(view.setting("service_host"))
    rows = items(mapping(view.of_host(host, "service_restart")).get("results")) if host else []
    times = [known for row in rows if (known := number(mapping(row).get("started_at"))) is not None]
    if not times:
        return []
    return [{"start": min(times), "end": max(times) + _RECOVERY_S, "what": f"{host} and its service were restarted"}]


def no_bystanders(view: View) -> str:
    """Return why no pair is left when one node is down."""
    count = len(_members(view))
    return "" if count > 2 else f"with {count} clients, no pair is left while one of them is down"  # noqa: PLR2004


def canary(view: View) -> str:
    """Return the node to disturb: the one the inventory names, else the first client that may be disturbed."""
    node = text(view.setting("canary"))
    if view.setting("slices") == 1:
        return node
    # AWX sorts the hosts of an inventory by name, and a slice has only some of them.
    return min([node, *(name for name in _members(view) if name not in view.group("clients"))])


def no_disruption(view: View) -> str:
    """Return why the canary must not be disturbed."""
    if reason := calm(view):
        return reason
    node = canary(view)
    if not may_disturb(view, node):
        return f"{node} may not be disturbed: set mesh_allow_disruptive, or name a canary in mesh_canaries"
    where = text(view.of_host(node, "ansible_host")) or node
    # Ansible could not bring such a node back.
    if mesh_address(where) or where.endswith(f".{mesh_domain(view) or 'mesh.internal'}"):
        return f"{node} is reached over the mesh itself ({where}): name another address of it in ansible_host"
    return ""


def no_cable(view: View) -> str:
    """Return why the canary's cable cannot be pulled."""
    return "" if is_lab(view) else "meshctl cannot pull the cable of an existing host"


def newcomer(view: View) -> dict[str, Any]:
    """Return what a story with a new node needs."""
    host = next(iter(view.group("spare")), "")
    return {"host": host, "allowed": not no_newcomer(view), "domain": mesh_domain(view)}


def no_newcomer(view: View) -> str:
    """Return why no node may join, be renamed and be removed."""
    if reason := calm(view):
        return reason
    if view.setting("allow_disruptive") and view.setting("manage") and view.group("spare"):
        return ""
    return "new, renamed and removed nodes need mesh_manage, mesh_allow_disruptive and a host in the group spare"
