# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A local user and a user of an identity provider with the same name: no module chooses between them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.modules.preauthkey import PreAuthKey
from ansible_collections.meshctl.headscale.plugins.modules.user import User

USERS = [
    {"id": "1", "name": "default", "provider": ""},
    {"id": "2", "name": "alice", "provider": ""},
    {"id": "3", "name": "default", "provider": "oidc"},
]


def task(**options: Any) -> Any:
    api = SimpleNamespace(list_users=lambda: USERS, list_preauthkeys=list, list_nodes=list)
    empty = dict.fromkeys(("id", "rename_from", "name", "path", "key", "user", "tags", "state"))
    return SimpleNamespace(options={**empty, **options}, api=api)


@pytest.mark.parametrize("options", [{"name": "default"}, {"name": "new", "rename_from": "default"}])
def test_a_user_is_not_chosen_by_an_ambiguous_name(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"id 1 \(local\), id 3 \(oidc\)\. Name one of them by id"):
        User(task(state="absent", **options))


def test_a_user_is_chosen_by_id_or_by_a_unique_name() -> None:
    for options, wanted in (({"id": "3", "name": "default"}, "3"), ({"name": "alice"}, "2"), ({"name": "x"}, None)):
        before = User(task(**options)).before
        assert (before and before["id"]) == wanted


def test_a_preauthkey_is_for_one_user() -> None:
    with pytest.raises(BadInput, match="id 1"):
        PreAuthKey(task(user="default"))._user_id()
    assert PreAuthKey(task(user="3"))._user_id() == "3"
    assert PreAuthKey(task(user="alice"))._user_id() == "2"
    with pytest.raises(BadInput, match=r"no user 'bob' \(there are: default, alice, default\)"):
        PreAuthKey(task(user="bob"))._user_id()
