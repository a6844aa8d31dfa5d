# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answer why one node cannot reach another; see the module of the same name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..plugin_utils._action import shell
from ..plugin_utils._action.errors import reports_errors
from ..plugin_utils._action.options import COMMON, SERVER
from ..plugin_utils._action.probing import Request
from ..plugin_utils._action.server import server
from ..plugin_utils._action.slowness import PatientAssertion, slower
from ..plugin_utils._doctor.records import Server, ServerContext
from ..plugin_utils._judge.answer import Answer, address, mapping, text
from ..plugin_utils._why import asking, walk
from ..plugin_utils._why.case import Case, Side
from ..plugin_utils._why.members import Members
from ..plugin_utils._why.question import Known, Question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..plugin_utils._judge.check import Check

# With the start and the end of Ansible, 20 seconds for a path of which one part does not answer.
_ASK_S, _LOOK_S = 5.5, 4.0
_API = {"nodes": "node", "users": "user", "policy": "policy"}
_SERVER, _QUESTION, _SEEN, _TRIED = "mesh_why_server", "mesh_why", "mesh_why_seen", "mesh_why_tried"


class ActionModule(PatientAssertion):
    """Observe one part of the path, or judge all of it; change nothing."""

    ASSERTION = "explain"
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        **SERVER,
        "part": {
            "type": "str",
            "choices": ["server", "question", "observe", "try", "collect", "conclude"],
            "required": True,
        },
        "source": {"type": "str", "default": ""},
        "target": {"type": "str", "default": ""},
        "service": {"type": "str", "default": ""},
    }

    _facts: dict[str, Any]

    @reports_errors
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the checks and the facts of a part."""
        return super().run(tmp, task_vars)

    def probe(self, requests: Sequence[Request], *, seconds: float) -> dict[str, Any]:
        """Probe with as much time for each attempt as slow hosts need."""
        return super().probe([slower(request, self.patience) for request in requests], seconds=seconds)

    def _converge(self) -> list[Check]:
        """Examine once: nothing here gets better by waiting."""
        self._facts = {}
        parts: dict[str, Callable[[], list[Check] | None]] = {
            "server": self._server,
            "question": self._question,
            "observe": self._observe,
            "try": self._try,
            "collect": self._collect,
            "conclude": self._conclude,
        }
        return parts[self.options["part"]]() or []

    def facts(self, checks: Sequence[Check]) -> dict[str, Any]:
        """Return what later parts need of this one, and the answer."""
        answer = checks[-1].evidence["answer"] if checks else None
        return {"ansible_facts": self._facts, **({"answer": answer} if answer else {})}

    def _server(self) -> None:
        ask = server(self)
        ask = {**ask, "url": ask["url"].rstrip("/")}
        requests = [{"id": name, "kind": "headscale", "path": f"/api/v1/{path}", **ask} for name, path in _API.items()]
        answer = self.probe(requests, seconds=_ASK_S * self.patience)
        self._facts = {_SERVER: {**answer, "source": self.host, "url": ask["url"]}}

    def _records(self) -> Server:
        # Ansible leaves no fact of a host that it cannot log in to.
        lost = {"failure": {"message": f"{', '.join(self.group('headscale'))} cannot be logged in to"}}
        fact = mapping(self.shared(_SERVER)) or lost
        return Server.read(fact, ServerContext(url=text(fact.get("url"))))

    def _question(self) -> None:
        records = self._records()
        members = Members(records)
        clients = {host: mapping(self.of_host(host, "mesh_client")) for host in self.group("clients")}
        known = Known(
            clients=clients,
            others={host: self._address_of(host) for host in self.groups().get("all") or [] if host not in clients},
            nodes=records.nodes,
            domain=text(self.setting("domain")).strip(".").lower(),
            unlisted="" if records.listed else records.why("nodes"),
            leads=members.leads,
            withheld=members.withheld,
        )
        question = known.ask(*(str(self.options[name]) for name in ("source", "target", "service")))
        self._facts = {_QUESTION: question.as_fact()}

    def _address_of(self, host: str) -> str:
        placed = mapping(mapping(self.topology().get("hosts")).get(host) or self.topology().get(host))
        return address(placed.get("address")) or address(self.of_host(host, "ansible_host"))

    def _asked(self) -> Question:
        return Question.of(mapping(self.shared(_QUESTION)))

    def _observe(self) -> None:
        question, seconds = self._asked(), _LOOK_S * self.patience
        source = self.host == question.source.host
        first = self.probe(asking.first(question.service), seconds=seconds)
        second = self.probe(asking.second(question, Answer(first), source=source), seconds=seconds)
        seen = asking.kept(asking.together(first, second), question.target if source else question.source)
        self._facts = {_SEEN: seen}

    def _try(self) -> None:
        # Without tailscaled's status, a ping of tailscaled is in vain, and a connection may still come about.
        alive = bool(Answer(self.variable(_SEEN)).data("status"))
        answer = self.probe(asking.attempt(self._asked(), through=alive), seconds=asking.ATTEMPT_S * self.patience)
        self._facts = {_TRIED: answer}

    def _collect(self) -> None:
        question, before = self._asked(), mapping(self.variable(_SEEN))
        requests, seconds = asking.last(Answer(before)), _LOOK_S
        if question.target.route and self.host == question.target.host:
            requests, seconds = [*requests, *asking.attempt(question, through=False)], asking.ATTEMPT_S
        answer = self.probe(requests, seconds=seconds * self.patience)
        after = mapping(answer.get("observations"))
        observed = {name if name != "metrics" else "metrics_after": found for name, found in after.items()}
        self._facts = {_SEEN: asking.together(before, {"observations": observed})}

    def _conclude(self) -> list[Check]:
        question = self._asked()
        case = Case(
            question=question,
            server=self._records(),
            source=Side(question.source, self.of_host(question.source.host, _SEEN)),
            target=Side(question.target, self.of_host(question.target.host, _SEEN)),
            tried=asking.tried(self.of_host(question.source.host, _TRIED)),
        )
        shells = {host: self._shell_of(host) for host in (*question.hosts, case.server.source) if host}
        return walk.checks(case, walk.walk(case), shells)

    def _shell_of(self, host: str) -> str:
        """Return the prefix that runs a command on a host."""
        if self.setting("backend") != "hosts":
            return shell.in_lab(host, str(self.setting("lab_name")))
        transport, where, user = (
            text(self.of_host(host, name)) for name in ("ansible_connection", "ansible_host", "ansible_user")
        )
        return shell.over_ssh(host, transport=transport, address=where, user=user)
