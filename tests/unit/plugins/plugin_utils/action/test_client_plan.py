# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what a client is to what it should be: which commands, and whether a key is needed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import CouldNotRun
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.client import plan

URL = "https://headscale.lab.test"
UP = ["tailscale", "up", "--reset", f"--login-server={URL}", "--auth-key=file:{secret_file}"]
PREFS = {
    "ControlURL": URL,
    "CorpDNS": True,
    "Hostname": "node",
    "RouteAll": False,
    "AdvertiseRoutes": None,
    "ShieldsUp": False,
}


def _options(**more: Any) -> dict[str, Any]:
    return {"state": "joined", "login_server": URL, "timeout": 30, **more}


CASES: list[tuple[str, dict[str, Any], str, dict[str, Any], list[list[str]], bool]] = [
    # name, options, backend state, preferences that differ, commands, needs a key
    ("joined already", _options(hostname="node"), "Running", {}, [], False),
    ("a slash more is the same server", _options(login_server=URL + "/"), "Running", {}, [], False),
    ("an unused key changes nothing", _options(auth_key="k"), "Running", {}, [], False),
    ("new, with a key", _options(auth_key="k"), "NeedsLogin", {}, [[*UP, "--timeout=30s"]], False),
    ("new, without a key", _options(), "NeedsLogin", {}, [], True),
    ("logged out", _options(auth_key="k"), "NeedsLogin", {"LoggedOut": True}, [[*UP, "--timeout=30s"]], False),
    ("another server", _options(auth_key="k"), "Running", {"ControlURL": "https://old"}, [[*UP, "--force-reauth", "--timeout=30s"]], False),
    ("forced", _options(auth_key="k", force=True), "Running", {}, [[*UP, "--force-reauth", "--timeout=30s"]], False),
    (
        "registered with preferences",
        _options(auth_key="k", hostname="n", accept_dns=False, advertise_routes=["10.0.0.0/24", "10.1.0.0/24"], advertise_tags=["tag:a"]),
        "NeedsLogin",
        {},
        [[*UP, "--hostname=n", "--accept-dns=false", "--advertise-routes=10.0.0.0/24,10.1.0.0/24", "--advertise-tags=tag:a", "--timeout=30s"]],
        False,
    ),
    ("stopped", _options(), "Stopped", {}, [["tailscale", "up"]], False),
    ("hostname", _options(hostname="new"), "Running", {}, [["tailscale", "set", "--hostname=new"]], False),
    ("stopped and renamed", _options(hostname="new"), "Stopped", {}, [["tailscale", "set", "--hostname=new"], ["tailscale", "up"]], False),
    ("routes in another order", _options(advertise_routes=["b", "a"]), "Running", {"AdvertiseRoutes": ["a", "b"]}, [], False),
    ("no routes and none", _options(advertise_routes=[]), "Running", {}, [], False),
    ("routes taken back", _options(advertise_routes=[]), "Running", {"AdvertiseRoutes": ["a"]}, [["tailscale", "set", "--advertise-routes="]], False),
    ("DNS off", _options(accept_dns=False), "Running", {}, [["tailscale", "set", "--accept-dns=false"]], False),
    ("down", _options(state="down"), "Running", {}, [["tailscale", "down"]], False),
    ("down already", _options(state="down"), "Stopped", {}, [], False),
    ("down when it never joined", _options(state="down"), "NeedsLogin", {}, [], False),
    ("log out", _options(state="logged_out"), "Running", {}, [["tailscale", "logout"]], False),
    ("logged out already", _options(state="logged_out"), "NeedsLogin", {}, [], False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "backend", "prefs", "commands", "needs_key"), [pytest.param(*case[1:], id=case[0]) for case in CASES]
)
def test_plan(
    options: dict[str, Any], backend: str, prefs: dict[str, Any], commands: list[list[str]], needs_key: bool
) -> None:
    planned = plan(options, {"BackendState": backend, "HaveNodeKey": True}, PREFS | prefs)
    assert planned.commands == commands
    assert planned.needs_key is needs_key
    assert bool(planned.changes) is (bool(commands) or needs_key)


def test_no_command_carries_the_key() -> None:
    planned = plan(_options(auth_key="s3cret"), {"BackendState": "NeedsLogin"}, PREFS)
    assert "s3cret" not in repr(planned)


def test_a_client_without_a_server_is_an_error() -> None:
    with pytest.raises(CouldNotRun, match="give login_server"):
        plan(_options(login_server=None), {"BackendState": "NeedsLogin"}, {})


def test_a_client_that_waits_for_approval_is_an_error() -> None:
    with pytest.raises(CouldNotRun, match="approve it there"):
        plan(_options(), {"BackendState": "NeedsMachineAuth"}, PREFS)
