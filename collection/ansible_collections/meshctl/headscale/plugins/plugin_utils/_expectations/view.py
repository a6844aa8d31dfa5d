# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What expectations are derived from: one host's view of the inventory, the topology and the mesh."""

from __future__ import annotations

from typing import Any, Final, Protocol

from .._judge.answer import items, mapping, text

SLICED: Final = "a run in slices disturbs nothing: run the story without slices"


class View(Protocol):
    """A host and what it knows; actions and lookups are such views."""

    host: str

    def variable(self, name: str) -> Any:  # noqa: ANN401
        """Return a variable or fact of the host."""

    def setting(self, name: str) -> Any:  # noqa: ANN401
        """Return a setting of the host: the inventory's value, else the default."""

    def of_host(self, host: str, name: str) -> Any:  # noqa: ANN401
        """Return a variable of another host."""

    def shared(self, name: str) -> Any:  # noqa: ANN401
        """Return a fact that one host holds for all."""

    def group(self, name: str) -> list[str]:
        """Return the hosts of a group."""

    def topology(self) -> dict[str, Any]:
        """Return the place of every host."""


def is_lab(view: View) -> bool:
    """Whether meshctl built the networks, so that their routing and NAT are known."""
    return bool(view.setting("backend") != "hosts")


def place(view: View, host: str) -> dict[str, Any]:
    """Return where a host is, empty if the topology does not say."""
    return mapping(view.topology().get(host))


def subnet(view: View, host: str) -> str:
    """Return a host's subnet, empty if the topology does not say."""
    return text(place(view, host).get("subnet"))


def may_disturb(view: View, host: str) -> bool:
    """Whether a story may disturb a host."""
    return bool(view.setting("allow_disruptive") or host in view.setting("canaries"))


def check_mode(view: View) -> str:
    """Return why nothing may be disturbed in check mode, empty outside of it."""
    return "check mode changes nothing: run without --check" if view.variable("ansible_check_mode") else ""


def calm(view: View) -> str:
    """Return why nothing may be disturbed, whatever the inventory allows."""
    if reason := check_mode(view):
        return reason
    return SLICED if view.setting("slices") > 1 else ""


def no_server(view: View) -> str:
    """Return why the server cannot be asked in this play."""
    played = set(map(str, items(view.variable("ansible_play_hosts_all"))))
    if played and not played & set(view.group("headscale")):
        return "it asks the server, which is not part of this run: add the group headscale to --limit"
    return ""


def mesh_domain(view: View) -> str:
    """Return MagicDNS's domain: the inventory's, or the one that this client or another was given; empty if unknown."""
    if stated := text(view.setting("domain")):
        return stated
    clients = (view.variable("mesh_client"), *(view.of_host(host, "mesh_client") for host in view.group("clients")))
    return next((domain for one in clients if (domain := text(mapping(one).get("dns_name")).partition(".")[2])), "")
