# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep what only actions of this collection say apart from what modules on hosts return.

A module runs on its host, which can return anything in its place. Under the names that callbacks and stories read, that
would be checks about other hosts.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

# Of a job of AWX, the last one becomes variables of the jobs that follow.
_NAMES: Final = frozenset(("bad_checks", "checks", "mesh", "ansible_stats"))
_PREFIXES: Final = ("mesh_", "meshctl_")
_DEEPEST: Final = 10


def cleaned(result: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a module's result without the names that are reserved, and those that it had."""
    found: set[str] = set()
    return _cleaned(result, found, _DEEPEST), sorted(found)


def _cleaned(result: Mapping[str, Any], found: set[str], deepest: int) -> dict[str, Any]:
    reserved = {name for name in result if name in _NAMES or str(name).startswith(_PREFIXES)}
    found |= reserved
    kept = {name: value for name, value in result.items() if name not in reserved}
    if isinstance(facts := kept.get("ansible_facts"), Mapping):
        kept["ansible_facts"] = _cleaned(facts, found, deepest)
    if isinstance(items := kept.get("results"), list):
        # The callbacks read the results of loops, too.
        kept["results"] = [
            _cleaned(item, found, deepest - 1) if isinstance(item, Mapping) else item for item in items if deepest
        ]
    return kept


def install() -> None:
    """Clean the results of all modules that this process and its forks run from now on."""
    from ansible.plugins.action import ActionBase
    from ansible.utils.display import Display

    original = getattr(ActionBase._execute_module, "whole", ActionBase._execute_module)

    @functools.wraps(original)
    def execute_module(self: ActionBase, *args: Any, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        result, dropped = cleaned(original(self, *args, **options))
        if dropped:
            names = ", ".join(name if name.isidentifier() else repr(name) for name in dropped[:5])
            Display().warning(
                f"The module {self._task.action} returned {names}, which only meshctl's own actions may: dropped."
            )
        return result

    execute_module.whole = original  # type: ignore[attr-defined]
    ActionBase._execute_module = execute_module  # type: ignore[method-assign]
