# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every reader of foreign text takes time in proportion to the text, and ends with a value or its documented error."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils import _durations, _nodes, _shapes
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import HeadscaleError
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _scrub as scrub
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor import urls, versions
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import guard, remote
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import allowed
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.base import Unseen
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge import answer, quoting
from ansible_collections.meshctl.headscale.plugins.plugin_utils._policy import addresses, ports
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import visible
from hypothesis import given
from hypothesis import strategies as st
from meshctl_headscale import _init
from sample import examples

_READERS: dict[str, Callable[[str], object]] = {
    "secrets": scrub.text,
    "secret names": lambda text: scrub.data({text: text}),
    "visible text": visible.text,
    "visible line": visible.line,
    "colours": visible.coloured,
    "configuration": allowed.allowed_config,
    "a value": lambda text: allowed.allowed_config(f"server_url: {text}"),
    "a list": lambda text: allowed.allowed_config(f"derp:\n  urls: [{text}"),
    "duration": lambda text: _durations.parse_duration(text, option="x"),
    "moment": answer.moment,
    "address": answer.address,
    "endpoint": answer.endpoint,
    "host name": _nodes.host_name,
    "node address": lambda text: _nodes.host_address([text] * 3),
    "key": lambda text: _shapes.find_secret(text, "preauthkey"),
    "url": urls.problem,
    "url parts": urls.normal,
    "version": versions.version_of,
    "oldest client": versions.oldest_client,
    "prefix": addresses.read_prefix,
    "ports": ports.read_ports,
    "service": ports.read_grant_service,
    "quoting": quoting.quoted,
    "values": guard.too_many_values,
    "answer": lambda text: remote.decode(0, f"\n{remote._MARK}{text}\n", "", interpreter="p", deadline_s=1),
    "comment": _init._one_line,
}
_UNITS = (
    "a", "A1a.", "://", ":", "@", "://:", "hskey-", "hskey-a-", "tskey-auth-", "nlpriv:", "0", "f", "bearer ", "authorization: basic ",
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "password=", "password=\\", '"password": "', "password: |\n ", '"', "'", "\\", " ", "\n",
    "\n ", "- ", "a: ", "a:\n", "[", "[a, ", '["a", ', ", ", "#", " #", "{", "//", "//@", "1h", "1.", "-", "/", "1-2,", ",", "\x1b", "\x1b[",
    "\x1b[0;", "\u202e", "\r\n", "\t", "T", "Z", "v1.", "::", "%",
)  # fmt: skip
_LENGTH = 20_000
_ERRORS = (ValueError, HeadscaleError, Unseen, remote.RemoteError)


@pytest.mark.parametrize("name", list(_READERS))
def test_readers_are_linear(name: str) -> None:
    read = _READERS[name]
    for first in ("", '"', "://", "password", "a: "):
        for unit in _UNITS:
            text = first + unit * (_LENGTH // len(unit))
            began = time.process_time()
            with contextlib.suppress(*_ERRORS):
                read(text)
            # A quadratic reader takes ten times as long, or more.
            assert time.process_time() - began < 0.5, (first, unit)


@examples(60)
@given(name=st.sampled_from(list(_READERS)), text=st.lists(st.sampled_from(_UNITS), max_size=400).map("".join))
def test_any_text_is_a_value_or_the_documented_error(name: str, text: str) -> None:
    with contextlib.suppress(*_ERRORS):
        _READERS[name](text)


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=40,
)


@examples(60)
@given(_JSON)
def test_any_data_becomes_text_that_xml_and_terminals_can_hold(data: Any) -> None:
    shown = json.dumps(visible.data(scrub.data(data)), ensure_ascii=False)
    assert not visible.found(json.loads(shown))
