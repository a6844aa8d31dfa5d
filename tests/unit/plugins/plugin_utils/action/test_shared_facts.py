# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts that one host holds for all are read as they are, unless they have templates."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.view import HostView


class HostVars(dict[str, Any]):
    """Variables of hosts: rendered by subscription, raw on request."""

    def __init__(self, raw: dict[str, Any], rendered: dict[str, Any]) -> None:
        """Hold both forms."""
        super().__init__(rendered)
        self._raw = raw

    def raw_get(self, host: str) -> Any:
        """Return the variables of a host with their templates."""
        return self._raw[host]


def view(hostvars: dict[str, Any]) -> HostView:
    """Return the view of a client."""
    found = HostView()
    found.known = {"groups": {"headscale": ["server"]}, "hostvars": hostvars}
    return found


@pytest.mark.parametrize("raw", [{"one": {"id": "{{ number }}"}}, {"one": {"id": "{% if x %}"}}, "{{ nodes }}", None])
def test_a_fact_with_templates_is_rendered(raw: Any) -> None:
    rendered = {"one": {"id": "1"}}
    known = HostVars({"server": {"mesh_nodes": raw}}, {"server": {"mesh_nodes": rendered}})
    assert view(known).shared("mesh_nodes") == rendered


def test_a_fact_without_templates_is_not_rendered() -> None:
    fact = {"one": {"id": "1", "addresses": ["100.64.0.1"]}}
    known = HostVars({"server": {"mesh_nodes": fact}}, {"server": {"mesh_nodes": "rendered in vain"}})
    assert view(known).shared("mesh_nodes") == fact


def test_a_fact_that_no_host_has_is_none() -> None:
    assert view(HostVars({"server": {}}, {"server": {}})).shared("mesh_nodes") is None
    assert view({"server": {"mesh_nodes": {"one": {}}}}).shared("mesh_nodes") == {"one": {}}
