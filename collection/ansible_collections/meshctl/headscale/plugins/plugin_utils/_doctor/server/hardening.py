# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find what could be attacked: exposed listeners, readable key files, keys that stay valid, forgotten nodes, open policies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ....module_utils._errors import BadInput
from ..._judge.answer import items, mapping, moment, text
from ..._judge.quoting import quoted
from ..._policy import canonical, sample
from ..files import config_exposure
from ..files.document import read_yaml
from ..files.finding import Finding, Severity, in_order, weight
from ..files.policy_rules import rule_findings
from ..files.settings import Settings
from ..files.source import Source
from ..records import Check, CheckContext, Iterator, Record, Server, given_name, setting

AFTER = ("config", "start")
_DAY_S = 86400
_UNUSED_DAYS, _UNSEEN_DAYS = 30, 90
# Files that only headscale needs, and how bad it is that any user of the host can read them.
_FILES: Mapping[str, Severity] = {
    "noise.private_key_path": "high", "derp.server.private_key_path": "high", "tls_key_path": "high", "database.sqlite.path": "high",
}  # fmt: skip
_SOCKET = "unix_socket"
_OPEN = ("everything", "outside")


def requests(server: Server) -> list[dict[str, Any]]:
    """Look at the modes of the server's files."""
    paths = [path for name in (*_FILES, _SOCKET) if (path := text(setting(server.settings, name)))]
    return [{"id": "modes", "kind": "modes", "paths": paths}] if paths else []


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return a check for each finding that is severe enough, or one that passed."""
    if not server.listed:
        return
    found = in_order(
        [
            *_config(server),
            *_files(server),
            *_preauthkeys(server),
            *_api_keys(server),
            *_nodes(server),
            *_policy(server),
        ]
    )
    limit = server.known.min_severity
    severe = [one for one in found if weight(one.severity) >= weight(limit)]
    for one in severe:
        yield context.check(
            False,
            aspect=one.id,
            target=one.file or None,
            expected={"severity": f"below {limit}"},
            observed={"severity": one.severity, "found": one.evidence},
            evidence={"severity": one.severity},
            hint=f"{one.problem}: {one.remedy}",
        )
    if not severe:
        yield context.check(
            True, expected={"severity": f"below {limit}"}, observed={"less_severe": [one.id for one in found]}
        )


def _say(kind: str, severity: Severity, problem: str, evidence: str, remedy: str, target: str = "") -> Finding:  # noqa: PLR0913, PLR0917
    return Finding(id=kind, severity=severity, file=target, problem=problem, evidence=evidence, remedy=remedy)


def _config(server: Server) -> Iterator[Finding]:
    if not server.settings:
        return
    found = mapping(server.data("config"))
    try:
        document = read_yaml(Source(text(found.get("path")), text(found.get("text"))), "config", fold=True)
    except BadInput:  # it is broken, or too much: the finding config says so
        return
    for one in config_exposure.findings(Settings(document)):
        yield _say(one.id.partition(".")[2], one.severity, one.problem, one.evidence, f"{one.remedy} in {one.place}")


def _files(server: Server) -> Iterator[Finding]:
    modes = mapping(server.data("modes"))
    for name, severity in _FILES.items():
        path = text(setting(server.settings, name))
        mode = _mode(modes, path)
        if mode & 0o007:
            yield _say(
                "files",
                severity,
                f"any user of the server can read {path}",
                f"mode {mode:03o}",
                f"`chmod o= {quoted(path)}`",
                path,
            )
    path = text(setting(server.settings, _SOCKET))
    if _mode(modes, path) & 0o002:
        yield _say(
            "files", "high", f"any user of the server can administer headscale through {path}", f"mode {_mode(modes, path):03o}",
            'set unix_socket_permission to "0770"', path,
        )  # fmt: skip


def _mode(modes: Record, path: str) -> int:
    said = text(mapping(modes.get(path)).get("mode")) if path else ""
    return int(said, 8) if re.fullmatch(r"[0-7]{1,4}", said) else 0


def _preauthkeys(server: Server) -> Iterator[Finding]:
    used_by = {text(mapping(node.get("preAuthKey")).get("id")) for node in server.nodes}
    for key in map(mapping, items(mapping(server.data("preauthkeys")).get("preAuthKeys"))):
        number, until = text(key.get("id")), moment(key.get("expiration"))
        reusable = key.get("reusable") is True
        if (
            server.now is None
            or (until is not None and until <= server.now)
            or (key.get("used") is True and not reusable)
        ):
            continue
        remedy = f"`headscale preauthkeys expire --id {quoted(number)}`" if number.isdecimal() else "expire it"
        if reusable and until is None:
            yield _say(
                "preauthkey", "medium", f"the reusable preauthkey {number} never expires: anyone who has it can add nodes at any time",
                "no expiration", remedy, f"preauthkey {number}",
            )  # fmt: skip
        elif number not in used_by and (days := _days_since(server, key.get("createdAt"))) > _UNUSED_DAYS:
            yield _say(
                "preauthkey", "low", f"no node of the preauthkey {number} exists, and it is {days:.0f} days old",
                text(key.get("createdAt")), remedy, f"preauthkey {number}",
            )  # fmt: skip


def _api_keys(server: Server) -> Iterator[Finding]:
    for key in map(mapping, items(mapping(server.data("apikeys")).get("apiKeys"))):
        number, until = text(key.get("id")), moment(key.get("expiration"))
        if server.now is None:
            continue
        if until is None:
            yield _say(
                "api_key", "medium", f"the API key {number} never expires", "no expiration", "replace it by one that does",
                f"API key {number}",
            )  # fmt: skip
        elif 0 < until - server.now < server.known.warning_days * _DAY_S:
            yield _say(
                "api_key", "medium", f"the API key {number} expires in {(until - server.now) / _DAY_S:.1f} days",
                text(key.get("expiration")), "replace it with `headscale apikeys create` where it is used", f"API key {number}",
            )  # fmt: skip


def _nodes(server: Server) -> Iterator[Finding]:
    for node in server.nodes:
        days = _days_since(server, node.get("lastSeen"))
        if node.get("online") is not True and days > _UNSEEN_DAYS:
            name, number = given_name(node), text(node.get("id"))
            remedy = (
                f"`headscale nodes delete -i {quoted(number)}` if it is gone"
                if number.isdecimal()
                else "delete it if it is gone"
            )
            yield _say(
                "unseen", "low", f"{name} was last seen {days:.0f} days ago", text(node.get("lastSeen")), remedy, name
            )


def _days_since(server: Server, said: object) -> float:
    at = moment(said)
    return 0.0 if at is None or server.now is None else (server.now - at) / _DAY_S


def _policy(server: Server) -> Iterator[Finding]:
    policy, document, _why = server.policy
    if policy is None:
        return
    if policy.unrestricted:
        yield _say("policy", "low", "no policy restricts anything", "no rules", "set a policy with acls or grants")
        return
    for severity, kind, _path, problem, remedy in rule_findings(policy, canonical(document), sample(document)):
        if kind in _OPEN:
            yield _say("policy", severity, problem, kind, f"{remedy} in the policy")
