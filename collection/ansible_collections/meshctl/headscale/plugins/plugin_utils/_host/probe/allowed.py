# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reduce headscale's configuration to the settings that are examined, so that no secret leaves the host."""

from __future__ import annotations

import re

from .base import Unseen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import List

SHOWN = frozenset(
    (
        "server_url", "derp.server.enabled", "derp.server.private_key_path", "derp.server.verify_clients", "derp.paths",
        "derp.urls", "dns.base_domain", "dns.magic_dns",
        "dns.override_local_dns", "dns.nameservers.global", "prefixes.v4", "prefixes.v6", "database.type", "database.sqlite.path",
        "database.postgres.host", "database.postgres.name", "database.postgres.port", "database.postgres.ssl", "database.postgres.user",
        "database.debug", "grpc_allow_insecure", "grpc_listen_addr", "listen_addr", "log.level", "logtail.enabled",
        "metrics_listen_addr", "noise.private_key_path", "policy.mode", "tls_cert_path", "tls_key_path", "tls_letsencrypt_hostname",
        "trusted_proxies", "unix_socket", "unix_socket_permission",
    )
)  # fmt: skip
# Settings of older releases, and those that decide what Headscale does with one: it only matters whether they are there.
NAMED = frozenset(
    (
        "acl_policy_path", "db_host", "db_path", "db_type", "dns.extra_records", "dns.use_username_in_magic_dns",
        "dns_config.base_domain", "dns_config.domains", "dns_config.extra_records", "dns_config.magic_dns", "dns_config.nameservers",
        "dns_config.override_local_dns", "dns_config.restricted_nameservers", "dns_config.use_username_in_magic_dns",
        "ephemeral_node_inactivity_timeout", "ip_prefixes", "oidc.expiry", "oidc.map_legacy_users",
        "oidc.strip_email_domain", "policy.path", "private_key_path", "randomize_client_port", "use_username_in_magic_dns",
    )
)  # fmt: skip
_SECTIONS = frozenset(
    ".".join(parts[:length]) for parts in (name.split(".") for name in SHOWN | NAMED) for length in range(1, len(parts))
)
# Sections that are left out in a form that is not examined: one with a secret, and those that matter little.
_MAY_BE_ODD = frozenset(("database.postgres", "dns_config", "policy"))
_KEY = re.compile(r"""(?:"([\w.-]+)"|'([\w.-]+)'|([\w.-]+)) *:(?: +(.*))?""")
_SCALAR = r"""(?:"[^"\\]*"|'[^']*'|(?!.*: )[^\s"'\[\]{}&*!|>%@`,#-][^"'\[\]{},]*?)"""
_VALUE = re.compile(rf"((?:{_SCALAR}|\[ *(?:{_SCALAR}(?: *, *{_SCALAR})*)? *\])?) *(?:(?:^| )#.*)?")


def allowed_config(text: str) -> str:
    """Return a configuration in YAML without all settings that are not examined; raise `Unseen` for unusual YAML."""
    reader = _Reader()
    for line in text.expandtabs().splitlines():
        content = line.strip()
        if content and not content.startswith("#") and content not in ("---", "..."):
            reader.take(len(line) - len(line.lstrip(" ")), content)
    return "\n".join(reader.kept)


class _Reader:
    """Reads line by line, and keeps what the lists above name."""

    def __init__(self) -> None:
        self.kept: List = []
        self._above: List = []
        self._path = ""
        # Lines that are indented further than this belong to a setting that is not shown.
        self._hidden = -1

    def take(self, indent: int, content: str) -> None:
        if 0 <= self._hidden < indent:
            self._mark()
            return
        self._hidden = -1
        if content.startswith("- "):
            self._item(indent, content[2:].strip())
        else:
            self._setting(indent, content)

    def _item(self, indent: int, content: str) -> None:
        if self._path in SHOWN:
            self.kept.append(" " * indent + "- " + _value(self._path, content))
        else:
            self._mark()
            self._hidden = indent

    def _setting(self, indent: int, content: str) -> None:
        found = _KEY.fullmatch(content)
        if found is None:
            if self._path in SHOWN or self._path in _SECTIONS:
                raise Unseen("odd_config", f"a line after {self._path} has a form that is not examined")
            return
        key = found.group(1) or found.group(2) or found.group(3)
        self._above = [above for above in self._above if above[0] < indent] + [(indent, key)]
        self._path = ".".join(name for _indent, name in self._above)
        self._keep(" " * indent + key + ":", found.group(4) or "")
        if self._path not in SHOWN and self._path not in _SECTIONS:
            self._hidden = indent

    def _keep(self, line: str, text: str) -> None:
        if self._path in SHOWN:
            self.kept.append(line + " " + _value(self._path, text))
        elif self._path in NAMED:
            self.kept.append(line + ("" if text in ("", "null", "~") else " set"))
        elif self._path in _SECTIONS:
            if self._path in _MAY_BE_ODD and text.startswith("{"):
                return
            if _value(self._path, text):
                raise Unseen("odd_config", f"{self._path} has a form that is not examined")
            self.kept.append(line)

    def _mark(self) -> None:
        """Note that a named setting has a value on the lines below it."""
        if self._path in NAMED and self.kept[-1].endswith(":"):
            self.kept[-1] += " set"


def _value(path: str, text: str) -> str:
    """Return a value of one line without its comment and without a password in an address."""
    found = _VALUE.fullmatch(text)
    if found is None:
        raise Unseen("odd_config", f"the value of {path} has a form that is not examined")
    return re.sub(r"//[^/@\s]*@", "//", found.group(1))
