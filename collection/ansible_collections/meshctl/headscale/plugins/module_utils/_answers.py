# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what Headscale's API answered: its data, and its reason for a refusal."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.meshctl.headscale.plugins.module_utils import _hujson, _shapes

if t.TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.module_utils._http import Reply
    from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import Json

# 10,000 nodes have about 400,000.
_MOST_VALUES = 1_000_000
_LONGEST_REASON = 1000
# That of a database without a policy, and of a policy.path that is empty: as it is, and as JSON escapes it.
_NO_POLICY = ("policy not found", 'reading policy from path "":', 'reading policy from path \\"\\":')


def parsed(reply: Reply, *, repeated: bool = False) -> Json:
    """Return the data of an answer; None when it is not JSON, or would cost too much memory to be Headscale's.

    A name that occurs twice raises an error, unless it may be `repeated` because the text is for people alone.
    """
    if sum(map(reply.body.count, "[{,")) > _MOST_VALUES:
        return None
    try:
        return json.loads(reply.body, object_pairs_hook=None if repeated else _hujson.unique)
    except _hujson.RepeatedNameError:
        raise
    except (ValueError, RecursionError):
        return None


def reason(document: object) -> str | None:
    """Return the server's own words: gRPC gateway's form (0.29) or RFC 7807's (0.30)."""
    if not isinstance(document, dict):
        return None
    details = document.get("errors")
    inner = [item["message"] for item in details if _has_message(item)] if isinstance(details, list) else []
    said = [document.get("message"), document.get("detail"), *inner]
    words = [text.strip() for text in said if isinstance(text, str) and text.strip()]
    if not words and isinstance(document.get("title"), str):
        words = [document["title"].strip()]
    # 0.29 writes messages over several lines.
    return excerpt(" ".join("; ".join(dict.fromkeys(words)).split())) or None


def says_no_policy(words: str) -> bool:
    """Whether the words in which Headscale refused to tell its policy mean that it has none."""
    return any(said in words for said in _NO_POLICY)


def excerpt(text: str) -> str:
    """Return as much of a server's text as a message can hold."""
    text = _shapes.encodable(text)
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"


def _has_message(item: object) -> bool:
    return isinstance(item, dict) and isinstance(item.get("message"), str)
