# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert a JMESPath expression over a document; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.options import COMMON
from ..plugin_utils._action.probing import Request
from ..plugin_utils._judge.answer import Answer, Json, mapping
from ..plugin_utils._judge.observations import DOCUMENT
from ..plugin_utils._judge.query import Query, compile_query, judge_query

if TYPE_CHECKING:
    from ..plugin_utils._judge.check import Check

_COMPARE = ("equals", "not_equals", "contains", "matches", "length", "exists", "at_least", "at_most")
_SOURCES = ("status", "prefs", "netmap", "metrics", "nodes")


class ActionModule(Assertion):
    """Query the document of the task, or a document of the host's client."""

    ASSERTION = "query"
    DEADLINE_S = 0.0
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {
        **COMMON,
        "query": {"type": "str", "required": True},
        "document": {"type": "raw"},
        "from": {"type": "str", "choices": list(_SOURCES)},
        "name": {"type": "str"},
        "equals": {"type": "raw"},
        "not_equals": {"type": "raw"},
        "contains": {"type": "raw"},
        "matches": {"type": "str"},
        "length": {"type": "int"},
        "exists": {"type": "bool"},
        "at_least": {"type": "float"},
        "at_most": {"type": "float"},
    }

    def prepare(self) -> None:
        """Check the expression before the host is examined."""
        if ("document" in self._task.args) == (self.options.get("from") is not None):
            raise BadInput("pass either document or from")
        compare = {name: self.options[name] for name in _COMPARE if self.options.get(name) is not None}
        self._expect = Query(expression=self.options["query"], compare=compare)
        compile_query(self._expect.expression)

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Ask the client for the document, if it is the client's."""
        source = self.options.get("from")
        return [{"id": DOCUMENT, "kind": source, "full": True}] if source and source != "nodes" else []

    def probe(self, requests: list[Request], *, seconds: float) -> dict[str, Any]:  # type: ignore[override]
        """Examine the host only for a document of its client."""
        return super().probe(requests, seconds=seconds) if requests else {}

    def judge(self, answer: Json) -> list[Check]:
        """Judge the expression's result."""
        document, why = self._document(answer)
        check = judge_query(document, self.context, self._expect, why=why)
        if name := self.options.get("name"):
            check.id, check.aspect = f"{self.context.story}.{name}", name
        return [check]

    def _document(self, answer: Json) -> tuple[Json, str]:
        source = self.options.get("from")
        if source is None:
            return self.options["document"], ""
        if source == "nodes":
            nodes = mapping(self.shared("mesh_nodes"))
            return nodes, "" if nodes else "no node is known: run meshctl.headscale.assert_registered first"
        seen = Answer(answer)
        found = seen.data(DOCUMENT)
        return found, "" if found is not None else seen.why(DOCUMENT)
