# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operations of Headscale's HTTP API v1 that this collection uses."""

from __future__ import annotations

import typing as t


class Operation(t.NamedTuple):
    """One operation of the API: what it does in words, its method and path, the names that it takes."""

    does: str
    method: str
    path: str
    query: tuple[str, ...] = ()
    body: tuple[str, ...] = ()


# A test compares this table with the description that the real server publishes.
OPERATIONS: dict[str, Operation] = {
    "list_users": Operation("list the users", "GET", "/api/v1/user"),
    "create_user": Operation(
        "create the user", "POST", "/api/v1/user", body=("name", "displayName", "email", "pictureUrl")
    ),
    "rename_user": Operation("rename the user", "POST", "/api/v1/user/{oldId}/rename/{newName}"),
    "delete_user": Operation("delete the user", "DELETE", "/api/v1/user/{id}"),
    "list_preauthkeys": Operation("list the preauthkeys", "GET", "/api/v1/preauthkey"),
    "create_preauthkey": Operation(
        "create a preauthkey",
        "POST",
        "/api/v1/preauthkey",
        body=("user", "reusable", "ephemeral", "expiration", "aclTags"),
    ),
    "expire_preauthkey": Operation("expire the preauthkey", "POST", "/api/v1/preauthkey/expire", body=("id",)),
    "delete_preauthkey": Operation("delete the preauthkey", "DELETE", "/api/v1/preauthkey", query=("id",)),
    "list_nodes": Operation("list the nodes", "GET", "/api/v1/node"),
    "rename_node": Operation("rename the node", "POST", "/api/v1/node/{nodeId}/rename/{newName}"),
    "tag_node": Operation("set the node's tags", "POST", "/api/v1/node/{nodeId}/tags", body=("tags",)),
    "approve_routes": Operation(
        "approve the node's routes", "POST", "/api/v1/node/{nodeId}/approve_routes", body=("routes",)
    ),
    "expire_node": Operation(
        "set the node's expiry", "POST", "/api/v1/node/{nodeId}/expire", query=("expiry", "disableExpiry")
    ),
    "delete_node": Operation("delete the node", "DELETE", "/api/v1/node/{nodeId}"),
    "get_policy": Operation("get the policy", "GET", "/api/v1/policy"),
    "set_policy": Operation("set the policy", "PUT", "/api/v1/policy", body=("policy",)),
    "check_policy": Operation("check the policy", "POST", "/api/v1/policy/check", body=("policy",)),
    "list_api_keys": Operation("list the API keys", "GET", "/api/v1/apikey"),
    "create_api_key": Operation("create an API key", "POST", "/api/v1/apikey", body=("expiration",)),
    "expire_api_key": Operation("expire the API key", "POST", "/api/v1/apikey/expire", body=("id",)),
    "delete_api_key": Operation("delete the API key", "DELETE", "/api/v1/apikey/{prefix}"),
}
