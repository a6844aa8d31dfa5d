#!/usr/bin/env python3
# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the RETURN documentation that all assertions share: the fields of a check, as report.schema.json describes them.

Doc fragments cannot provide RETURN. After a change of the schema run `python tools/assertion_docs.py`; a unit test fails
while a module is not up to date.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PLUGINS = ROOT / "collection" / "ansible_collections" / "meshctl" / "headscale" / "plugins"
_SCHEMA = PLUGINS / "plugin_utils" / "_report" / "report.schema.json"
_TYPES = {"string": "str", "number": "float", "object": "dict"}
# The report adds this field; the task's result does not have it.
_REPORT_ONLY = ("at",)
_CHECKS = re.compile(r'(?<=RETURN = r"""\n)checks:\n.*?(?=  sample:\n)', re.DOTALL)


def modules() -> list[Path]:
    """Return the documentation modules of all assertions."""
    return sorted((PLUGINS / "modules").glob("assert_*.py"))


def documented(text: str) -> str:
    """Return a module with the current documentation of its checks."""
    found, count = _CHECKS.subn(lambda _match: _return(), text)
    if count != 1:
        raise ValueError('RETURN must begin with "checks:" and have a sample')
    return found


def _return() -> str:
    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    fields = schema["$defs"]["check"]["properties"]
    lines = [
        "checks:",
        "  description:",
        "    - All checks of the task, whatever their verdict.",
        "    - More than 50 are one JSON text for callbacks, unless the task registers its result.",
        "  returned: always, unless the options are not valid",
        "  type: list",
        "  elements: dict",
        "  contains:",
    ]
    for name, field in fields.items():
        if name not in _REPORT_ONLY:
            lines += [f"    {name}:", f"      description: {field['description']}", f"      type: {_type(field)}"]
    return "\n".join(lines) + "\n"


def _type(field: dict[str, Any]) -> str:
    kind = field.get("type", "string" if "enum" in field else "")
    return _TYPES.get(kind[0] if isinstance(kind, list) else kind, "raw")


def main() -> None:
    """Write every module whose documentation has changed."""
    for path in modules():
        text = path.read_text(encoding="utf-8")
        if (new := documented(text)) != text:
            path.write_text(new, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
