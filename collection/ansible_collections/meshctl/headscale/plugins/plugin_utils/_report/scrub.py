# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must never stand in a report: keys and secrets, replaced wherever they occur."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

# JSON has no narrower type that would say more: what an assertion observes is its own business.
Json: TypeAlias = Any

REDACTED = "[redacted]"

# Each alternative is a shape that headscale or Tailscale gives a secret. Public keys (`nodekey:`, `mkey:`, `discokey:`)
# are no secrets and stay: they are how a node in the report is told from another.
_SECRETS = re.compile(
    r"""
      \b(?:hskey|tskey)-[a-z]+-[A-Za-z0-9_-]+                       # preauth, API and OAuth keys, registration ids
    | \bprivkey:[0-9a-f]{16,}                                       # private half of a node, machine or disco key
    | (?<![0-9A-Za-z])[0-9a-f]{48}(?![0-9A-Za-z])                   # preauth key of headscale before 0.28
    | (?<![\w.-])(?=[\w.-]*[A-Z])(?=[\w.-]*[a-z])(?=[\w.-]*[0-9])
      [A-Za-z0-9_-]{7,10}\.[A-Za-z0-9_-]{32,64}(?![\w.-])           # API key of headscale before 0.28
    | (?<=\bBearer[ ])(?!\[)[A-Za-z0-9._~+/=-]{8,}                  # an Authorization header
    | (?<=authkey=)(?!file:|\[)[^\s"'\\]{8,}                        # --authkey=..., also ?authkey=
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)


def text(value: str) -> str:
    """Return `value` with every secret in it replaced."""
    return _SECRETS.sub(REDACTED, value)


def data(value: Json) -> Json:
    """Return `value` (JSON data) with every secret in it replaced, in keys as in values."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(str(key)): data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [data(item) for item in value]
    return value


def found(value: str) -> bool:
    """Tell whether a secret stands in `value`."""
    return _SECRETS.search(value) is not None
