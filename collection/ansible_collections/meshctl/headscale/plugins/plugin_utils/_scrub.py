# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replace keys and secrets wherever they occur in a report."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

# Assertions observe JSON of any shape.
Json: TypeAlias = Any

REDACTED = "[redacted]"

_NAMES = r"(?:password|passwd|passphrase|pwd|secret|token|(?<!pre)(?<!pre[_-])auth[_-]?key|api[_-]?key|private[_-]?key)"

# Each alternative is the shape of a secret of headscale, of Tailscale or in an address. Public keys (`nodekey:`, `mkey:`,
# `discokey:`, `nlpub:`) are not secret, and identify the nodes in a report.
_SECRETS = re.compile(
    r"""
      \b(?:hskey|tskey)-[a-z]+-[A-Za-z0-9_-]+                       # preauth, API and OAuth keys, registration ids
    | \b(?:priv|nlpriv|tlpriv)(?:key)?:[0-9A-Fa-f]{16,}             # private half of a node, machine, disco or lock key
    | (?<![0-9A-Za-z])[0-9a-f]{48}(?![0-9A-Za-z])                   # preauth key of headscale before 0.28
    | (?<![\w.-])(?=[\w.-]*[A-Z])(?=[\w.-]*[a-z])(?=[\w.-]*[0-9])
      [A-Za-z0-9_-]{7,10}\.[A-Za-z0-9_-]{32,64}(?![\w.-])           # API key of headscale before 0.28
    | (?<=\b(?i:bearer)[ ])(?!\[)[A-Za-z0-9._~+/=-]{8,}             # an Authorization header
    | (?<=(?i:authorization:[ ]basic)[ ])(?!\[)[^\s"',]{4,}
    | (?<=://)(?!\[redacted\])[^\s/"'@:]*+:[^\s/"']*(?=@)             # user and password in an address or DSN
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
# A name that says so, and its value: an argument or DSN, JSON, a line of YAML, and a block of YAML below its name.
_NAMED = re.compile(
    rf"""
      (?P<argument>(?i:{_NAMES})=)(?!file:|\[redacted\])(?:"[^"]*"|'[^']*'|[^\s"'\\&;,]+)
    | (?P<json>(?:^[ \t]*+)?"[\w.-]*?(?i:{_NAMES})"[ ]*:[ ]*")(?!\[redacted\]")(?:[^"\\]|\\.)+
    | (?P<number>(?:^[ \t]*+)?"[\w.-]*?(?i:{_NAMES})"[ ]*:[ ]*)-?[0-9][-+.0-9Ee]*(?=[ \t]*(?:[,}}\]]|$))
    | (?P<block>^[ \t]*(?:-[ ])?["']?[\w.-]*?(?i:{_NAMES})["']?[ ]*:[ ]*[|>][-+0-9]*[ ]*\n[ \t]++)(?!\[redacted\])
      [^\n]+(?:\n[ \t]+[^\n]*)*
    | (?P<line>^[ \t]*(?:-[ ])?["']?[\w.-]*?(?i:{_NAMES})["']?[ ]*:[ ]+)
      (?![|>]|\[redacted\]|(?:[\[{{][\]}}]?|""|"\[redacted\]"|null|true|false),?[ \t]*$)[^\s][^\n]*
    """,
    re.VERBOSE | re.MULTILINE,
)
_SECRET_NAME = re.compile(rf"[\w.-]*?(?i:{_NAMES})")


def text(value: str) -> str:
    """Return `value` with every secret in it replaced."""
    return _NAMED.sub(_redacted, _SECRETS.sub(REDACTED, value))


def _redacted(match: re.Match[str]) -> str:
    """Return the name and a replacement of its value: JSON stays JSON."""
    return match[match.lastgroup or 0] + (f'"{REDACTED}"' if match.lastgroup == "number" else REDACTED)


def data(value: Json) -> Json:
    """Return `value` (JSON data) with every secret in it replaced, in keys as in values."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(str(key)): _member(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [data(item) for item in value]
    return value


def _member(name: str, value: Json) -> Json:
    """Return the value of a member, replaced as a whole when the name says that it is secret."""
    return REDACTED if isinstance(value, str) and value and _SECRET_NAME.fullmatch(name) else data(value)


def found(value: str) -> bool:
    """Return whether `value` contains a secret."""
    return text(value) != value
