# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the generated parts of the documentation and of the AWX objects: `python docs/.site/generated.py`.

A part is between two lines, `<!-- generated: NAME -->` and `<!-- end -->` in Markdown, `# generated: NAME` and `# end` in
YAML. `variables SECTION` is the table of a section of the inventory's variables, `variables existing` the short table for
existing hosts, `survey` the AWX survey.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.variables import Variable, declared

ROOT = Path(__file__).resolve().parents[2]
FILES = (*sorted((ROOT / "docs").rglob("*.md")), ROOT / "awx" / "objects.yml")

_PART = re.compile(
    r"^(?P<indent> *)(?P<mark><!--|#) generated: (?P<name>[a-z ]+?)(?P<close> -->)?\n.*?^(?P<end> *(?P=mark) end)",
    re.MULTILINE | re.DOTALL,
)
_FORMS = {"url": "URL", "dns-name": "DNS name", "duration": "duration, as in `90d`"}


class _Dumper(yaml.SafeDumper):
    """Indents lists, as the project's other YAML files do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


def rewritten(text: str, variables: Mapping[str, Variable] | None = None) -> str:
    """Return a file's text with its generated parts as they should be."""
    known = (declared() if variables is None else variables).values()

    def part(found: re.Match[str]) -> str:
        body = "".join(f"{found['indent']}{line}\n" for line in _part(found["name"], known))
        begin = f"{found['indent']}{found['mark']} generated: {found['name']}{found['close'] or ''}\n"
        return begin + (f"\n{body}\n" if found["close"] else body) + found["end"]

    return _PART.sub(part, text)


def _part(name: str, variables: Iterable[Variable]) -> Iterable[str]:
    if name == "survey":
        return yaml.dump(survey(variables), Dumper=_Dumper, sort_keys=False, width=160).splitlines()
    section = name.removeprefix("variables ")
    if section == "existing":
        columns = {"variable": _name, "where": _scope, "default": _default, "meaning": _meaning}
        return _table([variable for variable in variables if variable.existing], columns)
    columns = {"variable": _name, "where": _scope, "type": form, "default": _default, "example": _example}
    rows = [variable for variable in variables if variable.section == section]
    if not rows:
        raise ValueError(f"there is no generated part {name!r}")
    return _table(rows, {**columns, "meaning": _meaning})


def _table(rows: Iterable[Variable], columns: Mapping[str, Any]) -> Iterable[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(cell(row) for cell in columns.values())} |"


def _name(variable: Variable) -> str:
    return f"`{variable.name}`"


def _scope(variable: Variable) -> str:
    return variable.scope


def _meaning(variable: Variable) -> str:
    return variable.meaning


def _default(variable: Variable) -> str:
    return variable.otherwise or f"`{_flow(variable.default)}`"


def _example(variable: Variable) -> str:
    return "" if variable.example is None else f"`{_flow(variable.example)}`"


def form(variable: Variable) -> str:
    """Return the type of a variable as the tables say it."""
    schema = variable.schema
    if variable.form:
        return variable.form
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if schema["type"] == "boolean":
        return "bool"
    if schema["type"] in ("number", "integer"):
        return f"{variable.unit}, {_range(schema)}"
    return _FORMS[schema["format"]] if "format" in schema else "text"


def _range(schema: Mapping[str, Any]) -> str:
    if "exclusiveMinimum" in schema:
        return f"above {schema['exclusiveMinimum']}"
    return f"{schema['minimum']} to {schema['maximum']}" if "maximum" in schema else f"{schema['minimum']} or more"


def _flow(value: object) -> str:
    """Return a value as an inventory has it on one line."""
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_flow(entry)}' for key, entry in value.items())}}}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def survey(variables: Iterable[Variable]) -> list[dict[str, Any]]:
    """Return the questions of the AWX survey, each with every field that AWX returns."""
    return [_question(variable) for variable in variables if variable.survey]


def _question(variable: Variable) -> dict[str, Any]:
    meaning = variable.meaning.replace("`", "")
    yes_or_no = variable.schema["type"] == "boolean"
    return {
        "question_name": variable.survey["question"],
        "question_description": meaning[:1].upper() + meaning[1:],
        "variable": variable.name,
        "type": "multiplechoice" if yes_or_no else "integer",
        "required": yes_or_no,
        # AWX takes an empty text for no default, and nothing else.
        "default": _flow(variable.default) if yes_or_no else "" if variable.default is None else variable.default,
        "min": 0 if yes_or_no else variable.survey.get("min", 1),
        "max": variable.survey.get("max", 0),
        "choices": ["false", "true"] if yes_or_no else "",
    }


def main() -> None:
    """Write every file whose generated parts have changed."""
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        if (new := rewritten(text)) != text:
            path.write_text(new, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
