# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reference of API calls is up to date, and every call goes through the table of operations."""

from __future__ import annotations

import importlib.util
import inspect
import re

from ansible_collections.meshctl.headscale.plugins.module_utils import _api, _operations
from project import COLLECTION, ROOT

_SPEC = importlib.util.spec_from_file_location("api_calls", ROOT / "tools" / "api_calls.py")
assert _SPEC
assert _SPEC.loader
api_calls = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(api_calls)


def test_the_page_is_up_to_date() -> None:
    assert api_calls.PAGE.read_text(encoding="utf-8") == api_calls.page(), (
        "run PYTHONPATH=collection tools/api_calls.py"
    )


def test_every_operation_has_a_method_of_the_client() -> None:
    assert set().union(*api_calls.methods().values()) == set(_operations.OPERATIONS)


def test_the_client_makes_no_call_beside_the_table() -> None:
    source = inspect.getsource(_api.HeadscaleAPI)
    assert "/api/v1" not in source.replace('split("/api/v1"', "").replace("without /api/v1", "")
    # The version alone is not part of the API.
    assert len(re.findall(r"self\._send\(", source)) == 2


def test_every_path_that_the_probe_is_given_is_in_the_table() -> None:
    for path in (COLLECTION / "plugins").rglob("*.py"):
        if path.name != "_api.py":
            for named in re.findall(r'"(/api/v1/\w+)"', path.read_text(encoding="utf-8")):
                assert api_calls.by_path(named)


def test_no_path_is_put_together_beside_the_table() -> None:
    files = [path for root in (COLLECTION / "plugins", ROOT / "runner") for path in root.rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix() for path in files if 'f"/api/v1/' in path.read_text(encoding="utf-8")}
    assert {name.rpartition("plugins/")[2] for name in found} == {
        "action/diagnose.py",
        "action/explain.py",
        "plugin_utils/_evidence/requests.py",
    }
    assert len(api_calls.PROBED) == len(found)


def test_all_that_the_probe_asks_the_server_for_is_listed() -> None:
    found = api_calls.commands()
    assert found["`meshctl status`"] == {"list_nodes"}
    assert found["`meshctl collect`"] == {"list_nodes", "list_users", "get_policy"}


def test_commands_that_only_look_change_nothing() -> None:
    found = api_calls.commands()
    for command in ("`meshctl init`", "`meshctl doctor`"):
        assert found[command]
        assert {_operations.OPERATIONS[name].method for name in found[command]} == {"GET"}
    assert "list_nodes" in found["`meshctl run us1`"]
    assert "create_preauthkey" in found["`meshctl run us4`"]
