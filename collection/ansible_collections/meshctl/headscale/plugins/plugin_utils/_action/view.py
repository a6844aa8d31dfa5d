# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what a host knows: its inventory variables, and facts that other tasks found."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from ...module_utils._plain import plain
from .. import _slices
from .._inventory.resolved import Settings
from .._judge.answer import Json, mapping

if TYPE_CHECKING:
    from collections.abc import Mapping


# Facts of all nodes by name: Ansible's object, which hosts share, and the data that it holds, which no reader changes. A process
# that runs many tasks, and those that it forks, read each of them once.
_large: dict[str, tuple[Any, Json]] = {}
_LARGE = 10_000
_PLAIN = (dict, list, str, int, float)


class HostView:
    """A plugin's view of one host, with everything returned as plain data."""

    known: Mapping[str, Any]
    host: str
    _templar: Any
    _topology: dict[str, Any] | None = None
    _of_hosts: dict[str, Mapping[str, Any]] | None = None

    def variable(self, name: str, default: Json = None) -> Json:
        """Return a variable or fact of this host."""
        value = self.known.get(name)
        return default if value is None else plain(self._templar.template(value))

    def setting(self, name: str, given: Json = None) -> Json:
        """Return an option if it is given, else this host's setting, such as `latency_budget_ms`; raise `BadInput`."""
        return Settings(self.variable, self.group("clients"))[name] if given is None else given

    def of_host(self, host: str, name: str) -> Json:
        """Return a variable of another host, which may be in another slice of the run; None if there is none."""
        found = self._fact(host, name)
        if found is None and name in _slices.FACTS and (own := _slices.Slice.this()):
            return own.fact(host, name)
        return found

    def group(self, name: str) -> list[str]:
        """Return the hosts of a group."""
        return [str(host) for host in (self.known.get("groups") or {}).get(name) or []]

    def groups(self) -> dict[str, Any]:
        """Return the hosts of every group."""
        return mapping(plain(self.known.get("groups") or {}))

    def shared(self, name: str) -> Json:
        """Return a fact that one host holds for all: this host, the control server or the controller."""
        if (own := self._own(name)) is not None:
            return own
        holders = dict.fromkeys([*self.group("headscale"), "localhost"])
        return next((fact for holder in holders if (fact := self.of_host(holder, name)) is not None), None)

    def _own(self, name: str) -> Json:
        """Return a fact of this host, without a search for templates if a task found it."""
        value = self.known.get(name)
        found = value is not None and value is _found_by_task(self.known.get("hostvars") or {}, self.host, name)
        return self._fact(self.host, name) if found else self.variable(name)

    def _fact(self, host: str, name: str) -> Json:
        """Return a variable of another host; Ansible would look for templates in each of its texts, on every host."""
        hostvars: Any = self.known.get("hostvars") or {}
        try:
            value = _found_by_task(hostvars, host, name)
            if value is None:
                known = self._variables(hostvars, host)
                if name not in known:
                    return None
                value = known[name]
            if (before := _large.get(name)) and before[0] is value:
                return before[1]
            dumped = json.dumps(value, default=str) if isinstance(value, _PLAIN) else "{{"
        except (AttributeError, KeyError, TypeError, ValueError):
            return _rendered(hostvars, host, name)
        if "{{" in dumped or "{%" in dumped:
            return _rendered(hostvars, host, name)
        found = json.loads(dumped)
        if len(dumped) > _LARGE:
            _large[name] = (value, found)
        return found

    def _variables(self, hostvars: Any, host: str) -> Mapping[str, Any]:  # noqa: ANN401 - Ansible's own
        """Return all variables of another host, which Ansible puts together from every source: once is enough."""
        if self._of_hosts is None:
            self._of_hosts = {}
        if host not in self._of_hosts:
            self._of_hosts[host] = hostvars.raw_get(host) if host in hostvars else {}
        return self._of_hosts[host]

    def topology(self) -> dict[str, Any]:
        """Return the place of every host; empty when no topology is known."""
        if self._topology is None:
            self._topology = mapping(self.shared("mesh_topology"))
        return self._topology


def _rendered(hostvars: Any, host: str, name: str) -> Json:  # noqa: ANN401 - Ansible's own
    try:
        return plain(hostvars[host].get(name)) if host in hostvars else None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _found_by_task(hostvars: Any, host: str, name: str) -> Json:  # noqa: ANN401 - Ansible's own
    """Return what a task found of a host, None if nothing is known of it here.

    Ansible puts all variables of a host together, from every source, whenever one of them is read. In a large mesh, where each
    node asks for a fact of every other node, that takes most of the controller's time.
    """
    manager = getattr(hostvars, "_variable_manager", None)
    if manager is None or name in (getattr(manager, "extra_vars", None) or {}):
        return None
    for kept in ("_nonpersistent_fact_cache", "_fact_cache"):
        with contextlib.suppress(AttributeError, KeyError, TypeError):
            if (value := (getattr(manager, kept).get(host) or {}).get(name)) is not None:
                return value
    return None
