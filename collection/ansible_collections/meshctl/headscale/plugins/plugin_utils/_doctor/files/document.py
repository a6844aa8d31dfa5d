# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read YAML as Headscale does, with the line of every setting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from ....module_utils._errors import BadInput
from .finding import Finding

if TYPE_CHECKING:
    import yaml

    from .source import Source

_LONGEST = 256 << 10
_MOST_NODES = 20_000
_DEEPEST = 100
# Up to the next beginning at most: a text of beginnings alone would take quadratic time.
_JINJA = re.compile(r"\{\{(?:(?!\{\{).)*?\}\}|\{%(?:(?!\{%).)*?%\}", re.DOTALL)
_MERGE = "<<"
Path = tuple[str, ...]


@dataclass
class Document:
    """The data of a YAML file; `lines` has the line of each path."""

    name: str
    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    root: yaml.Node | None = None

    def line(self, *path: str) -> int | None:
        """Return the line of a path, or of the nearest part above it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


def read_yaml(source: Source, prefix: str, *, fold: bool = False) -> Document:
    """Return the data of a YAML file; what keeps Headscale from reading it is a finding. Raise `BadInput`.

    With `fold`, the case of keys does not matter.
    """
    import yaml

    document = Document(source.name)
    if len(source.text) > _LONGEST:
        raise BadInput(f"the file {source.name} is larger than {_LONGEST >> 10} KiB: name the right file")
    try:
        root, more = _first(source.text)
    except RecursionError:
        document.findings.append(_broken(source, prefix, None, "it is nested too deeply"))
        return document
    except yaml.YAMLError as exc:
        _refuse_jinja(source.name, source.text)
        mark = getattr(exc, "problem_mark", None)
        said = getattr(exc, "problem", None) or " ".join(str(exc).split())
        document.findings.append(_broken(source, prefix, mark.line + 1 if mark else None, said))
        return document
    if more:
        document.findings.append(_ignored(source, prefix, more))
    if root is not None:
        document.root = root
        _Reading(document, prefix, fold=fold).read(root)
    return document


def _first(said: str) -> tuple[yaml.Node | None, int]:
    """Return the first document of a file, and the line at which another one begins, 0 if there is none."""
    import yaml

    loader = yaml.SafeLoader(said)
    root = loader.get_node() if loader.check_node() else None
    if loader.check_event(yaml.StreamEndEvent):
        return root, 0
    mark = cast("yaml.Event", loader.peek_event()).start_mark  # type: ignore[no-untyped-call]
    return root, mark.line + 1 if mark else 1


def _ignored(source: Source, prefix: str, line: int) -> Finding:
    return Finding(
        id=f"{prefix}.documents", severity="high", file=source.name, line=line,
        problem="Headscale reads only the first of the documents in the file, and ignores the others", evidence="---",
        remedy="remove the line ---, or what follows it",
    )  # fmt: skip


def _broken(source: Source, prefix: str, line: int | None, said: str) -> Finding:
    return Finding(
        id=f"{prefix}.yaml", severity="high", file=source.name, line=line, problem=f"the file is not valid YAML: {said}",
        evidence=said, remedy="correct the syntax; Headscale cannot read the file", stops=True,
    )  # fmt: skip


def _refuse_jinja(name: str, text: str, line: int | None = None) -> None:
    if found := _JINJA.search(text):
        at = line or text.count("\n", 0, found.start()) + 1
        shown = " ".join(found.group()[:60].split())
        raise BadInput(
            f"the file {name}, line {at}, contains Jinja ({shown}): render the template, and name the result"
        )


def _mappings(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


class _Reading:
    """Turn a tree of YAML nodes into data, within limits."""

    def __init__(self, document: Document, prefix: str, *, fold: bool) -> None:
        self._document, self._prefix, self._fold = document, prefix, fold
        self._nodes = 0

    def read(self, root: yaml.Node) -> None:
        """Keep the data of the whole tree."""
        self._document.data = self._value(root, ())

    def _value(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - any YAML
        import yaml

        self._nodes += 1
        # An alias of an alias of an alias can stand for more data than any memory holds.
        if self._nodes > _MOST_NODES or len(path) > _DEEPEST:
            raise BadInput(
                f"the file {self._document.name} contains too much data, or refers to itself: name the right file"
            )
        if node.tag == "!vault":
            where = f"the file {self._document.name}, line {node.start_mark.line + 1}"
            raise BadInput(f"{where}, is encrypted with Ansible Vault: decrypt it, and name the result")
        if isinstance(node, yaml.MappingNode):
            entries = list(self._entries(node, path))
            merged = [entry for name, value in entries if name == _MERGE for entry in _mappings(value)]
            own = {name: value for name, value in entries if name != _MERGE}
            return {**{name: value for one in reversed(merged) for name, value in one.items()}, **own}
        if isinstance(node, yaml.SequenceNode):
            return [self._entry(entry, (*path, str(number))) for number, entry in enumerate(node.value)]
        return self._scalar(cast("yaml.ScalarNode", node))

    def _entry(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401
        self._document.lines[path] = node.start_mark.line + 1
        return self._value(node, path)

    def _entries(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        import yaml

        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                _refuse_jinja(self._document.name, "{{ … }}", line)
            if key.value in seen:
                self._document.findings.append(self._twice(key.value, line, seen[key.value]))
            seen[key.value] = line
            name = key.value.lower() if self._fold else key.value
            self._document.lines[*path, name] = line
            yield name, self._value(value, (*path, name))

    def _twice(self, name: str, line: int, before: int) -> Finding:
        return Finding(
            id=f"{self._prefix}.duplicate", severity="high", file=self._document.name, line=line,
            problem=f"{name} is set twice, and Headscale refuses to read the file", evidence=f"lines {before} and {line}",
            remedy="keep one of them", stops=True,
        )  # fmt: skip

    def _scalar(self, node: yaml.ScalarNode) -> Any:  # noqa: ANN401
        text: str = node.value
        _refuse_jinja(self._document.name, text, node.start_mark.line + 1)
        return text if node.style is not None else _plain(text)


def _plain(text: str) -> Any:  # noqa: ANN401
    """Return a scalar without quotes as Go's YAML reads it: there, yes and on are texts."""
    low = text.lower()
    if low in ("", "~", "null"):
        return None
    if low in ("true", "false"):
        return low == "true"
    if octal := re.fullmatch(r"([-+]?)0o?([0-7]{1,20})", text):
        return int(octal[1] + octal[2], 8)
    if re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        return int(text)
    return float(text) if re.fullmatch(r"[-+]?[0-9]*\.[0-9]+", text) else text
