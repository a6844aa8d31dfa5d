# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check a policy: what Headscale refuses, rules that never match, rules that allow everything, and its own tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from ....module_utils import _hujson
from ....module_utils._errors import BadInput
from ..._judge.answer import items, mapping, text
from ..._policy import Policy, canonical, failed_tests, refused_users, sample
from ..._policy.aliases import is_prefix
from ..._policy.keys import PARTS, folded
from .finding import Finding, Severity
from .policy_mesh import Mesh, addresses_in_ssh_tests
from .policy_refusals import refusals
from .policy_rules import rule_findings
from .policy_ssh import without_packets
from .policy_text import Path, line_of_word, lines
from .source import Source

_FOLDED = frozenset(map(folded, PARTS))
_UNDECIDED = "run `headscale policy check --file FILE` on the server, which knows the addresses"
_USER = "Headscale accepts the name, but it matches no node"
_REFUSED_USER = {
    "nodeAttrs": "nodeAttrs names it or its group, so Headscale refuses the policy and does not start with it",
    "tests": "a test names it or its group, so Headscale refuses the policy when it is set",
    "sshTests": "an ssh test names it or its group, so Headscale refuses the policy when it is set",
}
# Names that are less alike mean different users.
_ALIKE = 0.75


def findings(source: Source, mesh: Mesh | None = None) -> list[Finding]:
    """Return what is wrong with a policy."""
    return list(_Checking(source, mesh or Mesh()).findings())


def _misspelled(name: str, users: Sequence[str]) -> str:
    """Return the user whose name in a policy is almost that, empty if there is none; mail addresses have their domain in common."""
    own, _at, domain = name.partition("@")
    alike = {user.partition("@")[0]: user for user in users if user.partition("@")[2] == domain}
    found = next(iter(get_close_matches(own, alike, n=1, cutoff=_ALIKE)), "")
    return (alike[found] if "@" in alike[found] else f"{alike[found]}@") if found else ""


class _Checking:
    """One policy."""

    def __init__(self, source: Source, mesh: Mesh) -> None:
        self._source, self._mesh = source, mesh
        self._lines: dict[Path, int] = {}
        self._parts: dict[str, Any] = {}
        self._names: list[str] = []

    def _say(  # noqa: PLR0913 - the parts of a finding
        self,
        kind: str,
        severity: Severity,
        path: Path,
        problem: str,
        remedy: str,
        *,
        line: int | None = None,
        evidence: str = "",
    ) -> Finding:
        line = line or self._line(path)
        return Finding(
            id=f"policy.{kind}", severity=severity, file=self._source.name, line=line, problem=problem,
            evidence=evidence or self._source.line(line), remedy=remedy,
        )  # fmt: skip

    def _line(self, path: Path) -> int | None:
        first = next((name for name in self._names if path and folded(name) == folded(path[0])), "")
        path = (first, *path[1:]) if first else path
        return next(
            (self._lines[path[:length]] for length in range(len(path), 0, -1) if path[:length] in self._lines), None
        )

    def findings(self) -> Iterator[Finding]:
        """Return what is wrong, the parts that later checks need first."""
        if not self._source.text:
            yield self._say("everything", "low", (), "the policy is empty, so all packets pass", "add acls or grants")
            return
        try:
            document = _hujson.parse(self._source.text)
        except ValueError as exc:
            line = exc.lineno if isinstance(exc, json.JSONDecodeError) else self._line_named(str(exc))
            said = exc.msg if isinstance(exc, json.JSONDecodeError) else str(exc)
            yield replace(
                self._say(
                    "syntax", "high", (), f"the policy is not valid HuJSON: {said}", "correct the syntax", line=line
                ),
                stops=True,
            )
            return
        self._names = list(document) if isinstance(document, dict) else []
        self._lines = lines(self._source.text)
        unknown = list(self._unknown())
        yield from unknown
        try:
            self._parts = canonical(document)
        except BadInput as exc:
            yield self._refused(str(exc))
            return
        try:
            policy = Policy.read(document if isinstance(document, dict) else [])
        except BadInput as exc:
            found = list(refusals(self._parts))
            yield from (self._refused(why, path) for path, why in found or [((), str(exc))])
            return
        if unknown:
            return
        refused = list(self._references(policy))
        yield from refused
        if refused:
            return
        yield from self._unknown_users()
        yield from self._rules(policy, document)
        yield from self._tests(policy, document)
        yield from self._unused()

    def _unknown(self) -> Iterator[Finding]:
        for name in self._names:
            if folded(name) not in _FOLDED:
                close = get_close_matches(name, list(PARTS), n=1, cutoff=_ALIKE)
                remedy = f"write {close[0]}" if close else "remove it"
                found = self._say(
                    "key", "high", (name,), f"Headscale does not know the key {name!r}, and refuses the policy", remedy
                )
                yield replace(found, stops=True)

    def _refused(self, said: str, path: Path = ()) -> Finding:
        found = self._say(
            "refused",
            "high",
            path,
            f"Headscale refuses the policy: {said}",
            "correct the policy",
            line=self._line(path) or self._line_named(said),
        )
        return replace(found, stops=True)

    def _line_named(self, said: str) -> int | None:
        """Return the line of a name that a message is about."""
        words = [*re.findall(r"'([^']+)'", said), *re.findall(r"\b(?:group|tag):[^\s,;]+", said)]
        if rule := re.search(r"\b(acl|grant) (\d+)\b", said):
            return self._line((f"{rule[1]}s", str(int(rule[2]) - 1)))
        return next((line for word in words if (line := line_of_word(self._source.text, word))), None)

    def _references(self, policy: Policy) -> Iterator[Finding]:
        """Return names in the other parts that nothing defines, or that may not be there."""
        for path, name in self._named():
            try:
                if path[0] == "ssh" and "@" not in name and (":" not in name or is_prefix(name)):
                    raise BadInput(f"an ssh rule names {name!r}, which is not a user, group, tag or autogroup")
                if path[0] == "nodeAttrs" or name.startswith(("group:", "tag:")):
                    policy.names.refuse_undefined(name)
            except BadInput as exc:
                found = self._say(
                    "refused", "high", path, f"Headscale refuses the policy: {exc}", "define it, or correct the name"
                )
                yield replace(found, stops=True)
        for name in mapping(mapping(self._parts.get("autoApprovers")).get("routes")):
            if not is_prefix(name):
                path = ("autoApprovers", "routes", name)
                found = self._say(
                    "refused", "high", path, f"Headscale refuses the policy: {name!r} is not a prefix", "correct it"
                )
                yield replace(found, stops=True)

    def _named(self) -> Iterator[tuple[Path, str]]:
        for part, keys in (("ssh", ("src", "dst")), ("nodeAttrs", ("target",))):
            for number, rule in enumerate(items(self._parts.get(part))):
                for key in keys:
                    for element, name in enumerate(items(mapping(rule).get(key))):
                        yield (part, str(number), key, str(element)), text(name).strip()
        # In these names, white space counts.
        approvers = mapping(self._parts.get("autoApprovers"))
        for prefix, names in mapping(approvers.get("routes")).items():
            for element, name in enumerate(items(names)):
                yield ("autoApprovers", "routes", prefix, str(element)), text(name)
        for element, name in enumerate(items(approvers.get("exitNode"))):
            yield ("autoApprovers", "exitNode", str(element)), text(name)

    def _unknown_users(self) -> Iterator[Finding]:
        try:
            unknown = self._mesh.unknown_users(self._parts)
        except BadInput as exc:
            yield self._refused(str(exc), ("autoApprovers",))
            return
        refused = refused_users(self._parts, unknown)
        for name in unknown:
            close, where = _misspelled(name, self._mesh.users or ()), refused.get(name, "")
            found = self._say(
                "user", "high" if where else "medium", (), f"the server has no user {name}: {_REFUSED_USER.get(where, _USER)}",
                f"write {close}, if that is meant" if close else "correct the name, or create the user",
                line=line_of_word(self._source.text, name), evidence=name,
            )  # fmt: skip
            yield replace(found, stops=bool(where))

    def _rules(self, policy: Policy, document: Any) -> Iterator[Finding]:  # noqa: ANN401 - HuJSON
        if policy.unrestricted:
            yield self._say(
                "everything", "low", (), "the policy has no rules, so all packets pass", "add acls or grants"
            )
        elif not policy.rules:
            yield self._say(
                "nothing",
                "medium",
                ("acls",),
                "the policy has no rule that allows anything: no node sees any other",
                "add a rule",
            )
        # A user that the server does not have is another finding.
        nodes = sample(document, self._mesh.prefixes)
        for severity, kind, path, problem, remedy in rule_findings(policy, self._parts, nodes):
            yield self._say(kind, severity, path, problem, remedy)
        for number, names, maybe in without_packets(policy, self._parts, nodes):
            if maybe:
                yield self._say(
                    "undecided", "info", ("ssh", str(number)),
                    f"the file alone does not tell whether ssh rule {number + 1} ({names}) has an effect: which node has which address "
                    f"decides whether its sources reach port 22 there ({maybe})",
                    "compare the addresses (`headscale nodes list`), or name users and tags in the rule for port 22",
                )  # fmt: skip
            else:
                yield self._say(
                    "never", "medium", ("ssh", str(number)),
                    f"ssh rule {number + 1} ({names}) has no effect: no acl or grant lets its sources reach port 22 there",
                    "add a rule for port 22, or remove this one",
                )  # fmt: skip

    def _tests(self, policy: Policy, document: Any) -> Iterator[Finding]:  # noqa: ANN401
        for number, names in addresses_in_ssh_tests(policy, self._parts):
            yield self._say(
                "undecided", "info", ("sshTests", str(number)),
                f"the file alone does not decide ssh test {number + 1}: it depends on which node has {', '.join(names)}", _UNDECIDED,
            )  # fmt: skip
        tests = self._parts.get("tests")
        if not tests:
            if policy.rules:
                yield self._say(
                    "tests", "info", (), "the policy has no tests, so a change may deny or allow too much without notice",
                    "add tests with accept and deny, which Headscale runs before it accepts a policy",
                )  # fmt: skip
            return
        try:
            failed = failed_tests(policy, tests, self._mesh.nodes(document))
        except BadInput as exc:
            yield self._refused(str(exc))
            return
        for one in failed:
            where = [one.key] if one.key == "src" else [one.key, str(one.element)]
            path = ("tests", str(one.number), *where)
            if not one.certain:
                said = f"the file alone does not decide test {one.number + 1}: {one.reason}"
                yield self._say("undecided", "info", path, said, _UNDECIDED)
                continue
            found = self._say(
                "test", "high", path, f"test {one.number + 1} fails: {one.reason}",
                "correct the rules or the test; Headscale refuses a policy whose tests fail",
            )  # fmt: skip
            yield replace(found, stops=True)

    def _unused(self) -> Iterator[Finding]:
        """Return what is defined and never used."""
        defined = [("groups", "group"), ("hosts", "host"), ("tagOwners", "tag")]
        used = set(
            _words({name: value for name, value in self._parts.items() if name not in ("groups", "hosts", "tagOwners")})
        )
        used |= set(_words(list(mapping(self._parts.get("tagOwners")).values())))
        for part, what in defined:
            for name in mapping(self._parts.get(part)):
                if name not in used:
                    yield self._say(
                        "unused",
                        "info",
                        (part, name),
                        f"the {what} {name} is never used",
                        "remove it, or use it in a rule",
                    )


def _words(value: Any) -> Iterator[str]:  # noqa: ANN401 - HuJSON
    if isinstance(value, str):
        yield value.strip()
        yield value.strip().rpartition(":")[0]
    for entry in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _words(entry)
