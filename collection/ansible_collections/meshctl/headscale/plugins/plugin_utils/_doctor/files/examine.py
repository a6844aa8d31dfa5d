# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Examine a configuration and a policy, and let Headscale confirm what it can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ....module_utils._errors import BadInput, HeadscaleError
from ... import _binaries as binaries
from ..._policy.sample import PREFIXES
from . import (
    config_exposure,
    config_keys,
    config_listeners,
    config_names,
    config_relays,
    config_server,
    headscale,
    policy,
)
from .document import read_yaml
from .finding import DEFAULT, SEVERITIES, Finding, Severity, at_least, in_order
from .keys import VERSION
from .policy_mesh import Mesh
from .settings import Settings
from .source import Source, read

_CHECKS = (config_keys, config_names, config_listeners, config_server, config_relays, config_exposure)


@dataclass
class Examination:
    """What was examined, and every finding."""

    files: list[str]
    findings: list[Finding] = field(default_factory=list)
    confirmed_by: str = ""
    """The Headscale that read the files, empty if there was none."""

    def result(self, severity: str) -> dict[str, Any]:
        """Return the documented object, with the findings of a severity or a higher one."""
        shown = at_least(self.findings, severity)
        return {
            "ok": not shown,
            "files": self.files,
            "headscale": {"settings": VERSION, "confirmed_by": self.confirmed_by},
            "min_severity": severity,
            "findings": [one.as_dict() for one in shown],
            "below": len(self.findings) - len(shown),
        }


def severity_of(given: str | None) -> Severity:
    """Return a severity by its name; raise `BadInput`."""
    if given is None:
        return DEFAULT
    found = next((severity for severity in SEVERITIES if severity == given.strip().lower()), None)
    if found is None:
        raise BadInput(f"min_severity is {given!r}: write one of {', '.join(SEVERITIES)}")
    return found


def examine(
    config: str | None, policy_file: str | None, *, users: Sequence[str] | None = None, program: str | None = None
) -> Examination:
    """Examine the files; without a program, the cached headscale confirms the result if there is one. Raise `BadInput`."""
    names = [name for name in (config, policy_file) if name]
    if not names:
        raise BadInput("no file is given: pass a configuration, a policy or both")
    found = Examination(names)
    settings = _config(read(config), found) if config else None
    mesh = Mesh(users=users, prefixes=_prefixes(settings))
    source = read(policy_file) if policy_file else None
    if source:
        found.findings += policy.findings(source, mesh)
    _confirm(found, settings, source, mesh, program)
    found.findings = in_order(found.findings)
    return found


def _config(source: Source, found: Examination) -> Settings | None:
    document = read_yaml(source, "config", fold=True)
    found.findings += document.findings
    if not isinstance(document.data, dict):
        if not document.findings:
            found.findings.append(_no_settings(source))
        return None
    if document.findings:  # which of two values counts is unknown
        return None
    settings = Settings(document)
    found.findings += config_findings(settings)
    return settings


def _no_settings(source: Source) -> Finding:
    return Finding(
        id="config.yaml",
        severity="high",
        file=source.name,
        problem="the file has no settings",
        remedy="name the right file",
        stops=True,
    )


def config_findings(settings: Settings) -> list[Finding]:
    """Return what is wrong with the settings of a configuration."""
    return [finding for check in _CHECKS for finding in check.findings(settings)]


def _prefixes(settings: Settings | None) -> dict[str, str]:
    given = {f"ipv{family}": settings.text(f"prefixes.v{family}") for family in (4, 6)} if settings else {}
    return {family: prefix for family, prefix in given.items() if prefix} or PREFIXES


def _confirm(
    found: Examination, settings: Settings | None, source: Source | None, mesh: Mesh, program: str | None
) -> None:
    """Add what Headscale itself refuses, and drop what is refused, or a test that fails, here but not there."""
    if not settings and not source:
        return
    known, version = _program(program)
    if not known:
        found.findings.append(_unconfirmed(found.files[0], "no headscale program was found (`meshctl up` fetches one)"))
        return
    broken = any(one.id == "policy.syntax" for one in found.findings)
    said = headscale.ask(known, settings, source.text if source and not broken else "", mesh)
    if said.why_not:
        found.findings.append(_unconfirmed(found.files[0], said.why_not))
        return
    found.confirmed_by = version
    if said.policy == "":
        found.findings = [one for one in found.findings if one.id not in ("policy.refused", "policy.test")]
    found.findings += _refusals(found, settings, source, said, version)


def _refusals(
    found: Examination, settings: Settings | None, source: Source | None, said: headscale.Answer, version: str
) -> Iterator[Finding]:
    """Return what Headscale refuses for a reason that no other finding has."""
    for name, kind, reason in (
        (settings.document.name if settings else "", "config", said.config),
        (source.name if source else "", "policy", said.policy),
    ):
        if reason and not any(one.stops and one.id.startswith(kind) for one in found.findings):
            yield Finding(
                id=f"{kind}.headscale", severity="high", file=name, problem=f"Headscale refuses the file: {reason}",
                evidence=version, remedy="correct the setting that it names", stops=True,
            )  # fmt: skip


def _unconfirmed(name: str, why: str) -> Finding:
    return Finding(
        id="headscale.absent", severity="info", file=name, problem=f"Headscale itself did not read the files: {why}",
        remedy="pass a headscale program that runs here (`--headscale`)",
    )  # fmt: skip


def _program(given: str | None) -> tuple[str, str]:
    """Return path and version of the headscale that reads the files, empty if there is none."""
    try:
        found = binaries.look(["headscale"], paths={"headscale": given} if given else None)
    except HeadscaleError as exc:
        if given:
            raise BadInput(str(exc).replace("mesh_binaries.", "")) from None
        return "", ""
    one = found.get("headscale")
    return (str(one.path), f"headscale {one.version}") if one else ("", "")
