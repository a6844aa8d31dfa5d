# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Load the findings of a part, ask what they need and judge what was observed."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from .._judge.check import Check

if TYPE_CHECKING:
    from types import ModuleType

    from .._judge.context import CheckContext
    from .observed import Observed


@cache
def load(part: ModuleType) -> tuple[ModuleType, ...]:
    """Return the modules of a part, each after those that it names in `AFTER`."""
    names = sorted(entry.name for entry in pkgutil.iter_modules(part.__path__))
    modules = {name: importlib.import_module(f"{part.__name__}.{name}") for name in names}
    order = TopologicalSorter({name: getattr(modules[name], "AFTER", ()) for name in names})
    return tuple(modules[name] for name in order.static_order())


def requests(part: ModuleType, observed: Observed) -> list[dict[str, Any]]:
    """Return what the findings of a part need to see."""
    return [request for module in load(part) for request in getattr(module, "requests", _none)(observed)]


def _none(_observed: Observed) -> list[dict[str, Any]]:
    return []


def judge(part: ModuleType, observed: Observed, context: CheckContext, *, only: str = "") -> list[Check]:
    """Return the checks of all findings of a part, or those of only one of them."""
    modules = [module for module in load(part) if only in ("", _name(module))]
    return [check for module in modules for check in _judge(module, observed, context)]


def _judge(module: ModuleType, observed: Observed, context: CheckContext) -> Iterator[Check]:
    name = _name(module)
    made: Check | Iterable[Check] = module.judge(observed, replace(context, assertion=name))
    for check in [made] if isinstance(made, Check) else made:
        yield observed.keep(check, name)


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]
