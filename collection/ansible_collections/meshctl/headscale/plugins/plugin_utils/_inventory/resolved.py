# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resolve a host's variables: the inventory's value, else the default."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from .variables import PREFIX, Variable, declared


class Settings(Mapping[str, Any]):
    """The settings of one host, by the names of the declared variables without their prefix; read when used.

    :param variable: returns the inventory's value of a variable as plain data, or None.
    :param clients: hosts of the group `clients`.
    """

    def __init__(self, variable: Callable[[str], Any], clients: Sequence[str] = ()) -> None:
        """Keep where values come from."""
        self.variable = variable
        self.clients = clients

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - of the type that the variable has
        """Return a setting; raise `BadInput` if the inventory's value is not valid."""
        declaration = _by_short_name(name)
        given = self.variable(declaration.name)
        if given is not None and not (declaration.empty and not given):
            return declaration.read(given)
        derive = _DERIVED.get(name)
        return derive(self) if derive else declaration.default

    def __iter__(self) -> Iterator[str]:
        """Yield the names of all settings that are no secret."""
        return (variable.short for variable in declared().values() if not variable.secret)

    def __len__(self) -> int:
        """Return the number of settings."""
        return sum(1 for _name in self)

    @property
    def in_lab(self) -> bool:
        """Whether meshctl makes the hosts itself."""
        return bool(self["backend"] != "hosts")


def _by_short_name(name: str) -> Variable:
    known = declared()
    return known[PREFIX + name] if PREFIX + name in known else known[name]


def _canary(settings: Settings) -> str:
    canaries = [host for host in settings["canaries"] if host in settings.clients]
    return next(iter([*canaries, *settings.clients]), "")


def _service_host(settings: Settings) -> str:
    return settings.clients[0] if settings["manage"] and settings.clients else ""


def _service_body(settings: Settings) -> str:
    return f"meshctl: {settings['service_host']} serves this over the mesh" if settings["manage"] else ""


# Beyond what the server needs to notice that a router is gone: its own grace, and the way of the news to the clients.
_FAILOVER_SLACK_S: Final = 30
# In a lab of namespaces, the server notices sooner than with Headscale's own values.
_PROBES: Final[Mapping[str, tuple[float, float]]] = {"lab": (4, 3)}
_HEADSCALE_PROBES: Final = (10, 5)


def _probes(settings: Settings) -> tuple[float, float]:
    return _PROBES.get(settings["backend"], _HEADSCALE_PROBES)


def _failover_budget(settings: Settings) -> float:
    return float(_FAILOVER_SLACK_S + settings["router_probe_interval_s"] + settings["router_probe_timeout_s"])


# Defaults that depend on other variables.
_DERIVED: Final[Mapping[str, Callable[[Settings], Any]]] = {
    "artifacts": lambda settings: settings.variable("awx_job_id") is not None,
    "canary": _canary,
    # Existing clients know their domain.
    "domain": lambda settings: declared()["mesh_domain"].default if settings.in_lab or settings["manage"] else "",
    "failover_budget_s": _failover_budget,
    "isolated": lambda settings: settings.in_lab,
    "router_probe_interval_s": lambda settings: _probes(settings)[0],
    "router_probe_timeout_s": lambda settings: _probes(settings)[1],
    "service_body": _service_body,
    "service_host": _service_host,
    "service_name": lambda settings: "mesh-service" if settings["manage"] else "",
}
