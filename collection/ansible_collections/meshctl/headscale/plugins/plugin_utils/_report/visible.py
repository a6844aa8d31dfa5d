# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make characters visible that a terminal, a log, HTML or XML would act on instead of showing."""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

from ansible_collections.meshctl.headscale.plugins.module_utils._visible import ACTING, text

__all__ = ["acting", "as_json", "coloured", "data", "found", "json_text", "line", "text"]

Json: TypeAlias = Any

# As JSON itself writes C0 controls other than tab and newline.
_ESCAPES = ("\\u", "\\b", "\\f", "\\r")
# Of the text, and as Ansible sets them. Others could hide what follows.
_COLOUR = re.compile(r"(\x1b\[(?:0|[01];3[0-7]|38;5;[0-9]{1,3})?m)")


def line(value: str) -> str:
    """Return `value` on one line, so that it cannot pass for one of our lines."""
    return re.sub(r"[\n\t]+", " ", text(value)).strip()


def coloured(value: str) -> str:
    """Return the output of a program with its colours, and with every other control made visible."""
    parts = _COLOUR.split(value)
    return "".join(part if number % 2 else text(part) for number, part in enumerate(parts))


def data(value: Json) -> Json:
    """Return JSON data with all of its strings made visible, keys included."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(str(key)): data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [data(item) for item in value]
    return value


def as_json(value: Json) -> str:
    """Return JSON data as indented text for a terminal."""
    return json_text(json.dumps(value, indent=2, ensure_ascii=False))


def json_text(dumped: str) -> str:
    """Return a JSON document with such characters as JSON escapes, so that its data stays the same."""
    return ACTING.sub(_json_escape, dumped)


def _json_escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def found(value: Json) -> bool:
    """Tell quickly whether JSON data may hold such a character."""
    return acting(json.dumps(value, ensure_ascii=False))


def acting(dumped: str) -> bool:
    """Tell whether a JSON document may hold such a character."""
    return any(escape in dumped for escape in _ESCAPES) or ACTING.search(dumped) is not None
