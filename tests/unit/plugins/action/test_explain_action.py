# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long `why` waits for hosts that are slow."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.action.explain import ActionModule
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.assertion import Assertion


def test_slow_hosts_get_more_time_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(Assertion, "probe", lambda self, requests, *, seconds: given.append((requests, seconds)))
    action = ActionModule.__new__(ActionModule)
    action.patience = 2.0
    action.probe([{"kind": "tcp", "try_timeout_s": 6.5}], seconds=4.0)
    assert given == [([{"kind": "tcp", "try_timeout_s": 13.0}], 4.0)]
