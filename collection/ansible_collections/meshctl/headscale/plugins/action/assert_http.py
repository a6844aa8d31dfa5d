# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert what URLs answer, or that they refuse; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from ..module_utils._errors import BadInput
from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.options import COMMON
from ..plugin_utils._action.probing import Request
from ..plugin_utils._judge.answer import Json, address
from ..plugin_utils._judge.http import Http, judge_http
from ..plugin_utils._judge.observations import HTTP, ROUTES, STATUS

if TYPE_CHECKING:
    from ..plugin_utils._judge.check import Check


class ActionModule(Assertion):
    """Fetch URLs from the host."""

    ASSERTION = "http"
    DEADLINE_S = 15.0
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {
        **COMMON,
        "urls": {"type": "list", "elements": "str", "required": True, "aliases": ["url"]},
        "outcome": {
            "type": "str",
            "choices": ["answered", "refused", "unreachable", "unanswered"],
            "default": "answered",
        },
        "status": {"type": "int", "default": 200},
        "body": {"type": "str", "default": ""},
        "address": {"type": "list", "elements": "str", "default": []},
        "target": {"type": "str"},
        "connect": {"type": "str"},
        "host_header": {"type": "str"},
        "ca_path": {"type": "path", "aliases": ["ca_file"]},
        "aspect": {"type": "str", "default": ""},
    }

    def prepare(self) -> None:
        """Check the URLs."""
        urls = tuple(self.options["urls"])
        if not urls or not all(url.startswith(("http://", "https://")) for url in urls):
            raise BadInput(f"urls is {list(urls)!r}: write at least one URL that begins with http:// or https://")
        if wrong := next((url for url in urls if not _has_port(url)), ""):
            raise BadInput(f"urls holds {wrong!r}, which has no host or no valid port: ports are 1 to 65535")
        given = [entry for entry in self.options["address"] if entry]
        if wrong := next((entry for entry in given if not address(entry)), ""):
            raise BadInput(f"address is {wrong!r}: write an IP address")
        self._expect = Http(
            urls=urls, outcome=self.options["outcome"], status=self.options["status"], body=self.options["body"],
            addresses=tuple(map(address, given)), target=self.options.get("target"), aspect=self.options["aspect"],
        )  # fmt: skip

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Fetch the URLs."""
        extra = {
            key: self.options[option]
            for key, option in (("connect", "connect"), ("host_header", "host_header"), ("ca_file", "ca_path"))
            if self.options.get(option)
        }
        targets = [{"url": url, **extra} for url in self._expect.urls]
        return [{"id": HTTP, "kind": "http", "targets": targets, "try_timeout_s": 3.0}]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the answers."""
        return judge_http(answer, self.context, self._expect)

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Ask the client for its status, if the host has one."""
        if not self.variable("mesh_client"):
            return []
        hosts = [urlsplit(url).hostname or "" for url in self._expect.urls]
        known = [host for host in hosts if address(host)]
        return [{"id": STATUS, "kind": "status"}, {"id": ROUTES, "kind": "routes", "get": known}]


def _has_port(url: str) -> bool:
    """Whether a URL has a host and a valid port."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
