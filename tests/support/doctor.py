# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the doctor's findings on observations that a test writes."""

from __future__ import annotations

from typing import Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor import client, finding, mesh
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor import server as control
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.observed import Client, ClientContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.records import Server, ServerContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import CheckContext
from hypothesis import strategies as st

CONTEXT = CheckContext(story="doctor", assertion="diagnose", source="here")
NOW = 1_800_000_000.0
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=True) | st.text(max_size=8) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
# Settings in which the doctor finds nothing.
CONFIG = "server_url: https://h\nderp: {paths: [/etc/headscale/derp.yaml]}\ndns: {override_local_dns: false}\n"


def answer(**data: Any) -> dict[str, Any]:
    """Return a probe's answer with these observations."""
    return {"host": {"now": NOW}, "observations": {name: {"ok": True, "data": value} for name, value in data.items()}}


def node(number: int, name: str, **more: Any) -> dict[str, Any]:
    """Return a node as the API has it."""
    known = {"id": str(number), "name": name, "givenName": name, "nodeKey": f"nodekey:{number}", "online": True,
             "ipAddresses": [f"100.64.0.{number}"], "expiry": None}  # fmt: skip
    return {**known, **more}


def examine_client(data: dict[str, Any], **known: Any) -> list[Check]:
    """Return the checks of a client."""
    return finding.judge(client, Client(answer(**data), ClientContext(**known)), CONTEXT)


def examine_server(data: dict[str, Any], *, key_errors: list[str] | None = None, **known: Any) -> list[Check]:
    """Return the checks of a server, and those of the mesh."""
    observed = {"web": [{"url": "https://h/version", "body": '{"version":"v0.29.3"}'}], "policy": {"policy": ""},
                "users": {"users": []}, "config": {"path": "config.yaml", "text": CONFIG}, **data}  # fmt: skip
    server = Server(answer(**observed), ServerContext(**{"url": "https://h", **known}))
    server.key_errors = key_errors or []
    return [check for part in (control, mesh) for check in finding.judge(part, server, CONTEXT)]


def problems(checks: list[Check]) -> dict[str, str]:
    """Return the hints of what is wrong, by id."""
    return {check.id: check.hint for check in checks if check.bad}
