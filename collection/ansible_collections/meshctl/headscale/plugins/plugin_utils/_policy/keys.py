# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the keys of a policy as Headscale does, which ignores their case, `_` and `-`."""

from __future__ import annotations

from typing import Any, Final

from ...module_utils._errors import BadInput

PARTS: Final[dict[str, tuple[str, ...]]] = {
    "groups": (), "hosts": (), "tagOwners": (),
    "acls": ("action", "proto", "src", "dst"),
    "grants": ("src", "dst", "ip", "app", "via"),
    "nodeAttrs": ("target", "attr", "ipPool"),
    "autoApprovers": ("routes", "exitNode"),
    "ssh": ("action", "src", "dst", "users", "checkPeriod", "acceptEnv"),
    "tests": ("src", "proto", "accept", "deny"),
    "sshTests": ("src", "dst", "accept", "deny", "check"),
    "randomizeClientPort": (),
}  # fmt: skip
"""The parts of a policy, with the keys of their entries; names that the policy defines are no keys."""


def folded(key: str) -> str:
    """Return a key in the form by which Headscale compares it."""
    return key.replace("_", "").replace("-", "").lower()


def by_folded_key(value: dict[str, Any], what: str = "the policy") -> dict[str, Any]:
    """Return an object by its folded keys. Raise `BadInput` if two are the same to Headscale."""
    written: dict[str, str] = {}
    for key in map(str, value):
        if (other := written.setdefault(folded(key), key)) != key:
            raise BadInput(f"{what} has the keys {other!r} and {key!r}, which are the same to Headscale: remove one")
    return {folded(str(key)): entry for key, entry in value.items()}


def listed(value: Any) -> list[Any]:  # noqa: ANN401 - JSON
    """Return a list, empty if a value is none."""
    return value if isinstance(value, list) else []


def canonical(document: Any) -> dict[str, Any]:  # noqa: ANN401 - HuJSON
    """Return a policy with the usual spelling of each key that Headscale knows. Raise `BadInput`."""
    parts = _spelled(document, tuple(PARTS), "the policy") if isinstance(document, dict) else {}
    for part, keys in PARTS.items():
        if keys and part in parts:
            parts[part] = _entries(parts[part], keys, part)
    return parts


def _entries(value: Any, keys: tuple[str, ...], part: str) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        what = part.removesuffix("s") if part in ("acls", "grants", "tests") else part
        return [
            _spelled(entry, keys, f"{what} {number} of the policy") if isinstance(entry, dict) else entry
            for number, entry in enumerate(value, start=1)
        ]
    return _spelled(value, keys, f"{part} of the policy") if isinstance(value, dict) else value


def _spelled(value: dict[str, Any], keys: tuple[str, ...], what: str) -> dict[str, Any]:
    # Headscale ignores what begins with # in an ACL before it looks at the keys.
    known = {folded(key): key for key in keys}
    spelled = by_folded_key({key: entry for key, entry in value.items() if folded(str(key)) in known}, what)
    others = {str(key): entry for key, entry in value.items() if folded(str(key)) not in known}
    return {**{known[key]: entry for key, entry in spelled.items()}, **others}
