# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much more time the hosts of a lab get on a busy machine."""

from __future__ import annotations

import pytest
from acting import tell
from ansible_collections.meshctl.headscale.plugins.action import diagnose, explain
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action import slowness
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.slowness import PatientAssertion, slower
from ansible_collections.meshctl.headscale.plugins.plugin_utils._why import asking
from ansible_collections.meshctl.headscale.plugins.plugin_utils._why.question import End, Question, Service

_TCP = Service(protocol="tcp", port=80)


@pytest.mark.parametrize("action", [diagnose.ActionModule, explain.ActionModule])
@pytest.mark.parametrize(
    ("load", "backend", "patience"), [(4.0, "lab", 1.0), (16.0, "lab", 2.0), (99.0, "lab", 3.0), (99.0, "hosts", 1.0)]
)
def test_the_hosts_of_a_lab_get_more_time_on_a_busy_machine(
    action: type[PatientAssertion], load: float, backend: str, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slowness.os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(slowness.os, "cpu_count", lambda: 4)
    asked = action.__new__(action)
    tell(asked, "one", {}, {"groups": {"clients": ["one"]}, "mesh_backend": backend})
    asked._be_patient()
    assert asked.patience == patience


def test_only_limits_grow() -> None:
    request = {"kind": "disco", "try_timeout_s": 1.5, "interval_s": 0.3, "tries": 4}
    assert slower(request, 2.0) == {**request, "try_timeout_s": 3.0}
    assert slower({"kind": "http", "timeout_s": 5.0}, 3.0)["timeout_s"] == 15.0
    assert slower(request, 1.0) == request


def test_the_steps_of_an_attempt_get_as_much_more_time_and_end_within_it() -> None:
    near, far = End(name="a", addresses=("100.64.0.1",)), End(name="b", addresses=("100.64.0.2",))
    asked = asking.attempt(Question(source=near, target=far, service=_TCP))
    for patience in (1.0, 3.0):
        tsmp, attempt = slower(asked[1], patience)["steps"]
        assert attempt["try_timeout_s"] == 6.5 * patience
        assert tsmp["try_timeout_s"] * tsmp["tries"] + attempt["try_timeout_s"] < asking.ATTEMPT_S * patience
