# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module: list Headscale nodes."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: node_info
short_description: List Headscale nodes
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Lists the nodes of a Headscale server. Options that are set narrow the list.
extends_documentation_fragment:
  - meshctl.headscale._headscale
  - meshctl.headscale._attributes
  - meshctl.headscale._attributes.info
options:
  id:
    description: Only the node of this id.
    type: str
  name:
    description: Only the node of this name in the mesh (C(given_name)).
    type: str
  hostname:
    description: Only nodes whose machine reported this hostname.
    type: str
  node_key:
    description: Only the node of this public key, with or without C(nodekey:) before it.
    type: str
  user:
    description: Only nodes that belong to the user of this name. Tagged nodes belong to no user.
    type: str
  tag:
    description: Only nodes that have this tag.
    type: str
  online:
    description: Only nodes that are online, or only nodes that are not.
    type: bool
seealso:
  - module: meshctl.headscale.node
"""

EXAMPLES = r"""
- name: List the nodes of a user
  meshctl.headscale.node_info:
    url: https://headscale.example.com
    api_key_file: /var/lib/headscale/meshctl_api_key
    user: default
  register: mesh

- name: Wait until three nodes are online
  meshctl.headscale.node_info:
    online: true
  register: mesh
  until: mesh.nodes | length == 3
  retries: 30
  delay: 1
"""

RETURN = r"""
nodes:
  description: The nodes, by id. Empty when none matches.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The id, the same that C(tailscale status --json) shows.
      type: str
    name:
      description: The hostname that the machine reported.
      type: str
    given_name:
      description: The name in the mesh, which is the label in MagicDNS.
      type: str
    user:
      description: The user that the node belongs to. For tagged nodes the user C(tagged-devices), or V(null).
      type: dict
    tags:
      description: The tags.
      type: list
      elements: str
    ip_addresses:
      description: The addresses in the mesh.
      type: list
      elements: str
    online:
      description: Whether the node holds a connection to the server.
      type: bool
    last_seen:
      description: When the node was last seen.
      type: str
    expiry:
      description: When the node has to log in again, V(null) for never.
      type: str
    expired:
      description: Whether RV(nodes[].expiry) is over by the server's clock.
      type: bool
    created_at:
      description: When the node was registered.
      type: str
    register_method:
      description: How the node was registered, one of V(auth_key), V(cli), V(oidc), V(unspecified).
      type: str
    approved_routes:
      description: The routes that the node may serve.
      type: list
      elements: str
    available_routes:
      description: The routes that the node offers.
      type: list
      elements: str
    subnet_routes:
      description: The routes that the node serves now.
      type: list
      elements: str
    machine_key:
      description: The machine's public key.
      type: str
    node_key:
      description: The node's public key.
      type: str
    disco_key:
      description: The public key of path discovery.
      type: str
    pre_auth_key:
      description: The preauthkey that the node joined with, as in M(meshctl.headscale.preauthkey_info), or V(null).
      type: dict
  sample:
    - id: "1"
      name: debian
      given_name: client-node-1
      user:
        id: "1"
        name: default
        display_name: ""
        email: ""
        provider: ""
        provider_id: ""
        profile_pic_url: ""
        created_at: "2026-01-31T12:00:00.123456789Z"
      tags: []
      ip_addresses: [100.64.0.1, "fd7a:115c:a1e0::1"]
      online: true
      last_seen: "2026-01-31T12:00:00.123456789Z"
      expiry: null
      expired: false
      created_at: "2026-01-31T12:00:00.123456789Z"
      register_method: auth_key
      approved_routes: []
      available_routes: []
      subnet_routes: []
      machine_key: mkey:0000000000000000000000000000000000000000000000000000000000000001
      node_key: nodekey:0000000000000000000000000000000000000000000000000000000000000001
      disco_key: discokey:0000000000000000000000000000000000000000000000000000000000000001
      pre_auth_key: null
"""

import typing as t

from ansible_collections.meshctl.headscale.plugins.module_utils import _nodes
from ansible_collections.meshctl.headscale.plugins.module_utils._module import Task, check_id, run

_FILTERS = ("id", "name", "hostname", "node_key", "user", "tag", "online")


def handle(task: Task) -> dict[str, t.Any]:
    """Return the result of the module."""
    check_id(task.options["id"])
    wanted = {option: task.options[option] for option in _FILTERS}
    return {"changed": False, "nodes": _nodes.matching(task.api.list_nodes(), wanted)}


SPECIFICATION: dict[str, t.Any] = {
    "options": {
        "id": {"type": "str"},
        "name": {"type": "str"},
        "hostname": {"type": "str"},
        # A public key; no_log is stated since its name looks secret.
        "node_key": {"type": "str", "no_log": False},
        "user": {"type": "str"},
        "tag": {"type": "str"},
        "online": {"type": "bool"},
    },
}


def main() -> None:
    """Run the module."""
    run(handle, **SPECIFICATION)


if __name__ == "__main__":
    main()
