# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all assertions share: options, facts, and the loop of probe and judge."""

from __future__ import annotations

import json
import math
import shlex
import time
from typing import TYPE_CHECKING, Any, ClassVar

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from ...module_utils._errors import BadInput as BadInput  # noqa: PLC0414 - assertions import it from here
from .._host.package import script_of
from .._host.remote import RemoteError, run_script
from .._inventory.resolved import Settings
from .._judge.answer import Json, items, mapping, number, text
from .._judge.check import BAD
from .._judge.context import CheckContext, Node
from .._judge.query import plain
from .errors import failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .._judge.check import Check

Request = dict[str, Any]
_Key = tuple[str, str | None, str]

PROBE = script_of("probe")

COMMON: dict[str, dict[str, Any]] = {
    "story": {"type": "str"},
    "deadline": {"type": "float"},
    "interval": {"type": "float", "default": 0.25},
    "skip": {"type": "str", "default": ""},
    "socket": {"type": "path"},
}
MEMBERS: dict[str, dict[str, Any]] = {
    "nodes": {"type": "raw"},
    "peers": {"type": "list", "elements": "str"},
}
_NAMED_IN_MSG = 5
_LONGEST_PAUSE_S = 0.25


class NotAsserted(Exception):
    """There is nothing to assert here, for the reason that the message gives: the check is skipped."""


class ProbingAction(ActionBase):
    """An action that looks at its host through the probe, and at what other tasks have found out."""

    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {}

    _supports_check_mode = True
    _supports_async = False

    options: dict[str, Any]
    known: Mapping[str, Any]
    host: str

    def start(self, task_vars: dict[str, Any] | None) -> None:
        """Read the task's options; raise `BadInput`."""
        self.known = task_vars or {}
        self.host = str(self.known.get("inventory_hostname") or "localhost")
        checked = ArgumentSpecValidator(self.ARGUMENTS).validate(dict(self._task.args))
        if checked.unsupported_parameters:
            # An option of the task itself is text, one inside another option is a path.
            paths = ((path,) if isinstance(path, str) else path for path in checked.unsupported_parameters)
            names = ", ".join(sorted(".".join(path) for path in paths))
            raise BadInput(f"there is no option {names}: the options are {', '.join(sorted(self.ARGUMENTS))}")
        if checked.error_messages:
            raise BadInput("; ".join(str(message) for message in checked.error_messages))
        self.options = plain(checked.validated_parameters)
        for name in ("deadline", "interval"):
            if (given := self.options.get(name)) is not None and given < 0:
                raise BadInput(f"{name} is {given:g}: it must not be less than 0 seconds")

    def probe(self, requests: Sequence[Request], *, seconds: float) -> dict[str, Any]:
        """Return the probe's answer; what keeps the probe from answering is part of it."""
        asked = [self._with_socket(request) for request in requests]
        try:
            return run_script(self, PROBE, {"observe": asked, "deadline_s": seconds}, deadline_s=seconds)
        except RemoteError as exc:
            return {"host": {}, "observations": {}, "failure": exc.as_dict()}

    def _with_socket(self, request: Request) -> Request:
        where = self.options.get("socket") or self.variable("mesh_tailscaled_socket")
        steps: Request = {
            key: [self._with_socket(step) for step in request[key]] for key in ("steps", "during") if key in request
        }
        return {**({"socket": where} if where else {}), **request, **steps}

    def variable(self, name: str, default: Json = None) -> Json:
        """Return an inventory variable or fact of this host as plain data."""
        value = self.known.get(name)
        return default if value is None else plain(self._templar.template(value))

    def setting(self, name: str, given: Json = None) -> Json:
        """Return an option if it is given, else this host's setting, such as `latency_budget_ms`; raise `BadInput`."""
        clients = items(mapping(plain(self.known.get("groups") or {})).get("clients"))
        return Settings(self.variable, clients)[name] if given is None else given

    def of_host(self, host: str, name: str) -> Json:
        """Return a variable of another host as plain data; None where there is none."""
        hostvars = self.known.get("hostvars") or {}
        try:
            return plain(hostvars[host].get(name)) if host in hostvars else None
        except (AttributeError, KeyError, TypeError, ValueError):
            return None

    def shared(self, name: str) -> Json:
        """Return a fact that one host holds for all: this host's own, the control server's, the controller's."""
        groups = mapping(plain(self.known.get("groups") or {}))
        own = self.variable(name)
        if own is not None:
            return own
        holders = dict.fromkeys([*(groups.get("headscale") or []), "localhost"])
        return next((fact for holder in holders if (fact := self.of_host(holder, name)) is not None), None)


class Assertion(ProbingAction):
    """Observes until every check passes or the deadline is reached, then says what was last seen and why."""

    ASSERTION: ClassVar[str]
    DEADLINE_S: ClassVar[float] = 15.0
    LOOK_S: ClassVar[float] = 5.0
    SHORTEST_LOOK_S: ClassVar[float] = 2.0

    context: CheckContext
    elapsed_s: float = 0.0
    longest_s: float = math.inf
    patience: float = 1.0

    def prepare(self) -> None:
        """Work out what is expected; raise `BadInput`."""

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Return what to look at; `pending` are the targets whose checks have not passed, None means all."""
        raise NotImplementedError

    def judge(self, answer: Json) -> list[Check]:
        """Return the checks that follow from an answer."""
        raise NotImplementedError

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Return what else to look at to find out why checks fail."""
        return []

    def follow_up(self, checks: Sequence[Check]) -> list[Check]:
        """Return the final checks, once all of them have had their time: some may be added or replaced."""
        return list(checks)

    def facts(self, checks: Sequence[Check]) -> dict[str, Any]:
        """Return what else the task's result has."""
        return {}

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the checks, and whether one of them fails the task."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            self.start(task_vars)
            self.context = self._frame()
            longest = self.setting("deadline_s")
            self.longest_s = math.inf if longest is None else longest
            self._be_patient()
            if self.options["skip"]:
                return {**result, **summary([self.context.skipped(self.options["skip"])])}
            self.prepare()
        except NotAsserted as exc:
            return {**result, **summary([self.context.skipped(str(exc))])}
        except BadInput as exc:
            return {**result, **failure(f"assert_{self.ASSERTION}: {exc}", "bad_input")}
        checks = self.follow_up(self._converge())
        return self._defer_failure({**result, **summary(checks), **self.facts(checks)})

    def _defer_failure(self, result: dict[str, Any]) -> dict[str, Any]:
        """Leave the failing to the end of a story that has set `mesh_fail_late`: all its assertions are made."""
        if not result["failed"] or not self.variable("mesh_fail_late"):
            return result
        known = mapping(self.variable("mesh_bad_checks"))
        bad = [check["id"] for check in result["checks"] if check["verdict"] in BAD]
        story = self.context.story
        facts = {"mesh_bad_checks": {**known, story: [*items(known.get(story)), *bad]}}
        return {
            **result,
            "failed": False,
            "warnings": [result["msg"]],
            "ansible_facts": {**mapping(result.get("ansible_facts")), **facts},
        }

    def _be_patient(self) -> None:
        """Give slow hosts, such as emulated ones, more time to look and to become what they are to be."""
        self.patience = self.setting("patience")
        for name in ("DEADLINE_S", "LOOK_S", "SHORTEST_LOOK_S"):
            setattr(self, name, getattr(type(self), name) * self.patience)

    @property
    def deadline_s(self) -> float:
        """Return the seconds in which the checks may become true; `mesh_deadline_s` lets no task have more."""
        given = self.options.get("deadline")
        return min(self.DEADLINE_S if given is None else float(given), self.longest_s)

    def _converge(self) -> list[Check]:
        began = time.monotonic()
        found: dict[_Key, Check] = {}
        pending: frozenset[str | None] | None = None
        looks = 0
        while True:
            left = self.deadline_s - (time.monotonic() - began)
            seconds = self.LOOK_S if not looks else min(self.LOOK_S, max(left, self.SHORTEST_LOOK_S))
            answer = self._probe_again(self.observe(pending), seconds=seconds, last=left <= 0)
            looks += 1
            self.elapsed_s = time.monotonic() - began
            self._keep(found, self.judge(answer), looks, pending)
            pending = frozenset(check.target for check in found.values() if check.bad)
            if not pending or self.elapsed_s >= self.deadline_s:
                break
            time.sleep(min(self.options["interval"], _LONGEST_PAUSE_S))
        if pending:
            self._explain(found, answer, pending)
        return list(found.values()) or [self.context.check(None, expected="something to assert", observed=None)]

    def _probe_again(self, requests: list[Request], *, seconds: float, last: bool) -> dict[str, Any]:
        try:
            return self.probe(requests, seconds=seconds)
        except AnsibleConnectionFailure:
            # A host that is being disturbed may be gone for a while; in the end Ansible must hear of it.
            if last:
                raise
            return {"failure": {"type": "unreachable", "message": f"{self.host} cannot be reached over its connection"}}

    def _keep(
        self, found: dict[_Key, Check], checks: Iterable[Check], looks: int, pending: frozenset[str | None] | None
    ) -> None:
        """Take checks over; one that has passed stays as it was then."""
        for check in checks:
            key = _key(check)
            passed = key in found and found[key].verdict == "passed"
            # Whom this look was not about, it has nothing new of.
            if passed or (pending is not None and check.target not in pending):
                continue
            check.duration_ms = round(self.elapsed_s * 1000, 1)
            if looks > 1:
                check.evidence["looks"] = looks
            found[key] = check

    def _explain(self, found: dict[_Key, Check], answer: dict[str, Any], failing: frozenset[str | None]) -> None:
        """Look further and judge the last answer once more: the verdicts stay, the hints get better."""
        requests = self.diagnose(failing)
        if not requests or "failure" in answer:
            return
        more = mapping(self.probe(requests, seconds=self.LOOK_S).get("observations"))
        known = {**answer, "observations": {**more, **mapping(answer.get("observations"))}}
        for check in self.judge(known):
            before = found.get(_key(check))
            if before is not None and before.bad and before.verdict == check.verdict:
                check.duration_ms = before.duration_ms
                check.evidence = {**before.evidence, **check.evidence}
                found[_key(check)] = check

    def _frame(self) -> CheckContext:
        story = self.options.get("story") or self.variable("mesh_story") or "adhoc"
        return CheckContext(story=str(story), assertion=self.ASSERTION, source=self.host, shell=self._shell())

    def _shell(self) -> str:
        """Return what stands before a command so that it runs on this host."""
        if self.variable("mesh_backend") == "lab":
            return f"meshctl exec {self.host} -- "
        if self.variable("mesh_backend") == "libvirt":
            return f"meshctl exec --lab {self.variable('lab_name') or 'seed'} {self.host} -- "
        if self._connection.transport in ("local", "ansible.builtin.local"):
            return ""
        user = self.variable("ansible_user")
        address = str(self.variable("ansible_host") or self.host)
        return f"ssh {shlex.quote(f'{user}@{address}' if user else address)} "

    # -- the mesh, as other tasks have found it ---------------------------------------------------------------------

    def nodes(self) -> dict[str, Node]:
        """Return every member of the mesh by inventory name; raise `BadInput` where nobody has asked the server."""
        given = self.options.get("nodes")
        records = mapping(given) or mapping(self.shared("mesh_nodes")) or self._as_clients_say()
        if not records:
            raise BadInput("no node is known: run meshctl.headscale.assert_registered before, or pass nodes")
        names = [str(name) for name in given] if isinstance(given, list) else list(records)
        if unknown := [name for name in names if name not in records]:
            raise BadInput(f"the server has no node for {', '.join(unknown)}: known are {', '.join(records)}")
        return {name: Node.read(name, records[name]) for name in names}

    def _as_clients_say(self) -> dict[str, Any]:
        """Return what the clients know of themselves, for as long as the server cannot be asked."""
        clients = mapping(plain(self.known.get("groups") or {})).get("clients") or []
        found = {name: mapping(self.of_host(name, "mesh_client")) for name in clients}
        return {
            name: {**client, "given_name": text(client.get("dns_name")).partition(".")[0]}
            for name, client in found.items()
            if client.get("key")
        }

    def peers(self) -> tuple[Node, ...]:
        """Return the other nodes that the task is about; raise `BadInput` when there are none."""
        nodes = self.nodes()
        named = self.options.get("peers")
        if named is None:
            named = [name for name in nodes if name != self.host]
        if unknown := [name for name in named if name not in nodes]:
            raise BadInput(f"the server has no node for the peer {', '.join(unknown)}: known are {', '.join(nodes)}")
        if not named:
            raise BadInput(f"{self.host} has no peer: there must be another node in nodes, or in the mesh")
        return tuple(nodes[name] for name in named)

    def topology(self) -> dict[str, Any]:
        """Return where every host is, empty where no topology is known."""
        return mapping(self.shared("mesh_topology"))


def _key(check: Check) -> _Key:
    """Return what tells a check from the others of its task."""
    return check.id, check.target, json.dumps(check.expected, sort_keys=True, default=str)


def lifted(answer: Json, capture: str, names: Sequence[str]) -> dict[str, Any]:
    """Return an answer in which what was observed during a capture, if one was asked for, stands beside it."""
    observations = mapping(mapping(answer).get("observations"))
    if capture not in observations:
        return mapping(answer)
    watched = mapping(observations.get(capture))
    # What kept the capture from being made has kept them as well.
    during = mapping(mapping(watched.get("data")).get("during")) or dict.fromkeys(names, watched)
    return {**mapping(answer), "observations": {**observations, **during}}


def wanted(peers: Iterable[Node], pending: frozenset[str | None] | None) -> list[Node]:
    """Return the peers that are still to be looked at."""
    return [peer for peer in peers if pending is None or peer.name in pending]


def families(names: Sequence[str]) -> tuple[int, ...]:
    """Return the address families of `ipv4` and `ipv6`; raise `BadInput` when none is named."""
    if not names:
        raise BadInput("families is empty: name ipv4, ipv6 or both")
    return tuple({"ipv4": 4, "ipv6": 6}[name] for name in dict.fromkeys(names))


def summary(checks: Sequence[Check]) -> dict[str, Any]:
    """Return an assertion's result: all checks, and a message that names those that fail it."""
    bad = [check for check in checks if check.bad]
    skipped = sum(check.verdict == "skipped" for check in checks)
    passed = len(checks) - len(bad) - skipped
    message = f"{passed} of {len(checks)} checks passed" + (f", {skipped} skipped" if skipped else "")
    if bad:
        message = f"{len(bad)} of {len(checks)} checks did not pass: {_named(bad)}"
    return {"checks": [check.as_dict() for check in checks], "failed": bool(bad), "changed": False, "msg": message}


def _named(bad: Sequence[Check]) -> str:
    """Name the checks that failed by what they have in common: checks with one cause are one sentence."""
    causes: dict[str, list[str]] = {}
    for check in bad:
        whom = f"{check.source} -> {check.target}" if check.target else check.source
        causes.setdefault(check.hint or text(check.observed) or check.verdict, []).append(f"{check.id} ({whom})")
    sentences = []
    for cause, names in list(causes.items())[:_NAMED_IN_MSG]:
        more = f" and {len(names) - _NAMED_IN_MSG} more" if len(names) > _NAMED_IN_MSG else ""
        sentences.append(f"{', '.join(names[:_NAMED_IN_MSG])}{more}: {cause}")
    return "; ".join(sentences)


def positive(name: str, value: Json) -> int:
    """Return a whole number above zero; raise `BadInput`."""
    found = number(value)
    if found is None or found < 1 or found != int(found):
        raise BadInput(f"{name} is {value!r}: write a whole number above zero")
    return int(found)
