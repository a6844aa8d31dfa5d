# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long `why` waits for hosts that are slow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.action.explain import ActionModule
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action import slowness
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.assertion import Assertion


class Asked(ActionModule):
    """Asks a host of a backend, which nothing answers."""

    def __init__(self, backend: str) -> None:
        """Take the settings of a host."""
        self.host, self.options = "one", {"part": "observe"}
        self.known = {"groups": {"clients": ["one"]}, "mesh_backend": backend}
        self._templar = SimpleNamespace(template=lambda value: value)
        self._task = SimpleNamespace(args={})


@pytest.mark.parametrize(
    ("load", "backend", "patience"), [(4.0, "lab", 1.0), (16.0, "lab", 2.0), (99.0, "lab", 3.0), (99.0, "hosts", 1.0)]
)
def test_the_hosts_of_a_lab_get_more_time_on_a_busy_machine(
    load: float, backend: str, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slowness.os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(slowness.os, "cpu_count", lambda: 4)
    given: list[Any] = []
    monkeypatch.setattr(Assertion, "probe", lambda self, requests, *, seconds: given.append((requests, seconds)))
    asked = Asked(backend)
    asked._be_patient()
    assert asked.patience == patience
    asked.probe([{"kind": "tcp", "try_timeout_s": 6.5}], seconds=4.0)
    assert given == [([{"kind": "tcp", "try_timeout_s": 6.5 * patience}], 4.0)]
