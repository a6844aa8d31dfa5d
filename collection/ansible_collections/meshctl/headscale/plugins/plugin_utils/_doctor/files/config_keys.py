# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find settings that Headscale does not know, does not accept any more, or reads differently."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from .finding import Finding
from .keys import FORMER, KEYS, REMOVED, VERSION
from .settings import Settings, duration, is_flag

_NOT_ZERO = (
    "node.ephemeral.inactivity_timeout", "node.routes.ha.probe_timeout", "tuning.node_store_batch_size",
    "tuning.node_store_batch_timeout",
)  # fmt: skip
# What Prometheus calls a duration.
_LONG_DURATION = re.compile(r"0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?")
_INSTEAD = {
    "randomize_client_port": "set randomizeClientPort in the policy instead",
    "oidc.map_legacy_users": "remove it",
    "oidc.strip_email_domain": "remove it: names come from the provider",
}


def findings(settings: Settings) -> Iterator[Finding]:
    """Return what is wrong with each setting by itself."""
    yield from former(settings)
    for name in settings.values:
        if name in REMOVED or name in FORMER:
            continue
        if name in KEYS:
            yield from _value(settings, name, KEYS[name])
        else:
            yield _unknown(settings, name)


def former(settings: Settings) -> Iterator[Finding]:
    """Return the settings of former versions, and what Headscale does with each."""
    for name in settings.values:
        if name in REMOVED:
            yield _removed(settings, name)
        elif name in FORMER:
            yield _unknown(settings, name)


def _removed(settings: Settings, name: str) -> Finding:
    known = REMOVED[name]
    instead = str(known["instead"])
    remedy = _INSTEAD.get(name) or (f"use {instead}" if instead else "remove it")
    if known["still_read"]:
        return settings.finding("deprecated", "low", name, f"{name} is deprecated", remedy)
    stops = known["refused"] and (not instead or name == "oidc.expiry" or instead not in settings)
    effect = "Headscale refuses to start with it" if stops else "Headscale ignores it"
    return settings.finding("removed", "high", name, f"{name} was removed, and {effect}", remedy, stops=stops)


def _unknown(settings: Settings, name: str) -> Finding:
    problem = f"Headscale {VERSION} does not know {name}, and ignores it"
    if name in FORMER:
        return settings.finding("unknown", "medium", name, problem, f"use {FORMER[name]}")
    close = get_close_matches(name, KEYS, n=1, cutoff=0.8)
    remedy = f"write {close[0]}" if close else "remove it, or move it to its proper section"
    return settings.finding("unknown", "medium", name, problem, remedy)


def _value(settings: Settings, name: str, kind: str) -> Iterator[Finding]:
    value = settings.get(name)
    reads = {
        "bool": None if is_flag(value) else "false",
        "int": None if re.fullmatch(r"-?\d+", settings.text(name)) else "0",
        "duration": None if duration(value) is not None else "0",
        "list": None if isinstance(value, list | str) else "an empty list",
        "map": None if isinstance(value, dict) else "nothing",
        "string": "an empty text" if isinstance(value, dict | list) else None,
    }.get(kind)
    # A port or an id that is left empty means the default.
    if reads and value not in ("", {}, []):
        remedy = {
            "bool": "write true or false", "duration": "write a number with a unit, as in 30m or 24h", "int": "write a number",
            "list": "write a list", "map": "write a mapping", "string": "write a text",
        }[kind]  # fmt: skip
        refuses = name in _NOT_ZERO
        effect = ", and refuses to start" if refuses else ""
        problem = f"Headscale reads this value of {name} as {reads}{effect}"
        yield settings.finding("value", "high", name, problem, remedy, stops=refuses)
    elif kind == "duration" and isinstance(value, int | float) and value:
        yield settings.finding(
            "value", "high", name, f"{name} has no unit, so Headscale reads nanoseconds",
            "write a number with a unit, as in 30m or 24h", stops=name in _NOT_ZERO,
        )  # fmt: skip
    elif kind == "mode":
        yield from _mode(settings, name)
    elif name == "node.expiry" and not _LONG_DURATION.fullmatch(settings.text(name)):
        yield settings.finding(
            "value", "medium", name, "Headscale cannot read node.expiry, so keys never expire", "write 0, or a duration such as 90d",
        )  # fmt: skip


def _mode(settings: Settings, name: str) -> Iterator[Finding]:
    text = settings.text(name)
    if not re.fullmatch(r"[0-7]+", text):
        yield settings.finding(
            "value", "medium", name, f"Headscale cannot read {name}, and uses 0700", 'write it in quotes, as in "0770"'
        )
    elif isinstance(settings.get(name), int):
        yield settings.finding(
            "value", "medium", name,
            f"without quotes, YAML reads {name} as the number {text}, and Headscale as the mode 0{text}",
            'write it in quotes, as in "0770"',
        )  # fmt: skip
