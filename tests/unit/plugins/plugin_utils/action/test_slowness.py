# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much more time the hosts of a lab get on a busy machine."""

from __future__ import annotations

from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.slowness import slower
from ansible_collections.meshctl.headscale.plugins.plugin_utils._why import asking
from ansible_collections.meshctl.headscale.plugins.plugin_utils._why.question import End, Question, Service

_TCP = Service(protocol="tcp", port=80)


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
