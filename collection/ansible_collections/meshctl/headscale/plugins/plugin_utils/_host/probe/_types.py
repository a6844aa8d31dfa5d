# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names for type checkers. Hosts do not load them, because importing `typing` is slow."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

Json = Any
Dict = dict[Any, Any]
List = list[Any]
Tuple = tuple[Any, ...]
Observe = Callable[[Dict, float], Json]
Work = Callable[[Any], Json]
Talk = Generator[Tuple, "bool | None", Json]
Begin = Callable[[Any], Talk]
Reply = Callable[[Dict], "Json | None"]
