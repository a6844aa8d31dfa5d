# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A message quotes nodes: in services that read mentions and links in a text, it is neither a mention nor a link."""

from __future__ import annotations

from typing import Any

import pytest
from meshctl_headscale._watch import send

_EVIL = "@everyone @here <!channel> <!here> <@U123> <@&99> <#C1> <https://evil.example|status> [status](https://evil.example) a@b.example"
_URLS = (
    "discord://123456789012345678/abcdefghijklmnop",
    "json://localhost",
    "mmost://localhost/abcdefghijklmnopqrstuvwxyz0",
)


@pytest.mark.parametrize("url", _URLS, ids=lambda url: url.partition(":")[0])
def test_a_cause_mentions_nobody(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    pytest.importorskip("apprise", reason="the extra `watch` is not installed")
    import requests

    posted: list[Any] = []

    def post(*_arguments: object, **options: object) -> requests.Response:
        posted.append(options.get("data") or options.get("json"))
        answer = requests.Response()
        answer.status_code = 200
        return answer

    monkeypatch.setattr(requests, "post", post)
    monkeypatch.setattr(requests, "request", lambda _method, *arguments, **options: post(*arguments, **options))
    send.sender([url])(f"meshctl {_EVIL}", f"us1 fails: {_EVIL}")
    said = str(posted)
    assert "everyone" in said
    assert not any(mark in said for mark in ("@", "<!", "<#", "<https", "](https", "&lt;!"))
