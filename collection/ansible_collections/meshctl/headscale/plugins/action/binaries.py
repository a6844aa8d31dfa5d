# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find headscale, tailscale, tailscaled and derper on the controller; documented in the module of the same name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ansible.utils.display import Display
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _binaries
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.controller import ControllerAction
from ansible_collections.meshctl.headscale.plugins.plugin_utils._standing.notes import note

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOOLS = ("headscale", "tailscale")
_STRINGS = {"type": "dict", "default": {}}
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "programs": {
        "type": "list",
        "elements": "str",
        "choices": list(_binaries.PROGRAMS),
        "default": list(_binaries.PROGRAMS),
    },
    "paths": _STRINGS,
    "versions": _STRINGS,
    "release_urls": _STRINGS,
    "sources": {"type": "list", "elements": "str", "choices": ["archive", "build"], "default": ["archive", "build"]},
}


class ActionModule(ControllerAction):
    """Runs on the controller and opens no connection."""

    ARGUMENTS = _ARGUMENTS

    def act(self, options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        """Return the path and version of each program as facts."""
        given = options["paths"]
        paths = self._strings("paths" if given else "mesh_binaries", given or self._variable("mesh_binaries", known))
        versions = self._per_tool("versions", options["versions"], "mesh_{}_version", known)
        urls = self._per_tool("release_urls", options["release_urls"], "mesh_release_url_{}", known)
        return self._search(options, paths=paths, versions=versions, urls=urls)

    def _search(
        self, arguments: dict[str, Any], *, paths: dict[str, str], versions: dict[str, str], urls: dict[str, str]
    ) -> dict[str, Any]:
        """Find the programs; in check mode nothing is fetched or built."""
        programs = [str(name) for name in arguments["programs"]]
        if self._task.check_mode:
            found = _binaries.look(programs, paths=paths, versions=versions)
            return {**_facts(found), "changed": len(found) < len(set(programs))}
        sources = _binaries.Sources.from_environment(
            ways=tuple(str(way) for way in arguments["sources"]),
            **{f"{tool}_url": url for tool, url in urls.items()},
        )
        found = _binaries.find(programs, paths=paths, versions=versions, sources=sources, progress=_terminal())
        where = {name: str(program.path) for name, program in found.items()}
        note("binaries", "", {"paths": paths, "versions": versions, "found": where})
        return {**_facts(found), "changed": any(program.changed for program in found.values())}

    def _variable(self, name: str, known: dict[str, Any]) -> Any:  # noqa: ANN401  (as in the inventory)
        """Return the templated value of an inventory variable; None when it is not set."""
        value = known.get(name)
        return None if value is None else self._templar.template(value)

    def _per_tool(self, option: str, given: Mapping[str, Any], pattern: str, known: dict[str, Any]) -> dict[str, str]:
        """Return a value for each tool: the option's, else that of the variable."""
        values = {tool: given.get(tool) or self._variable(pattern.format(tool), known) for tool in _TOOLS}
        for name in set(given) - set(_TOOLS):
            values[name] = given[name]
        return self._strings(option, {name: value for name, value in values.items() if value})

    @staticmethod
    def _strings(name: str, value: object) -> dict[str, str]:
        """Return `value` as a plain dictionary of strings; raise an error that says what it should be."""
        if not value:
            return {}
        if not isinstance(value, dict) or not all(isinstance(item, str | float | int) for item in value.values()):
            raise _binaries.BadInputError(
                f"{name} is {value!r}: write a dictionary, as in {{headscale: /usr/local/bin/headscale}}"
            )
        return {str(key): str(item) for key, item in value.items()}


def _facts(found: Mapping[str, _binaries.Program]) -> dict[str, Any]:
    """Return the result: at the top level for the report, and as facts for the playbook."""
    facts: dict[str, Any] = {
        "mesh_binaries_found": {name: str(program.path) for name, program in found.items()},
        "mesh_versions": {name: program.version for name, program in found.items()},
    }
    sources = {name: program.source for name, program in found.items()}
    return {**facts, "sources": sources, "ansible_facts": facts}


def _terminal() -> _binaries.Progress:
    """Return a function that shows a line of progress, and stops the work when ansible-playbook has ended."""
    parent = os.getppid()

    def show(text: str) -> None:
        # Ansible's worker outlives a killed ansible-playbook and would continue to build for minutes.
        if os.getppid() != parent:
            raise _binaries.BinariesError("ansible-playbook has ended: stopped")
        Display().display(text)

    return show
