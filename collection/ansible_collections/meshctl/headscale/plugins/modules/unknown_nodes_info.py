# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unknown_nodes_info
short_description: Find clients that the control server does not know
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - A client whose node was deleted on the server still reports itself as joined. This module asks the server.
  - The server's certificate is checked against the file that the variable C(mesh_ca_path) names, else E(HEADSCALE_CA_PATH), else
    against the host's own trust store.
options:
  keys:
    description: For each host, its node key as M(meshctl.headscale.client) returns it. Empty keys are passed over.
    type: dict
    required: true
  url:
    description: URL of the control server.
    type: str
    required: true
  api_key_file:
    description: File with the API key, on the host that the task runs on.
    type: path
    required: true
extends_documentation_fragment: meshctl.headscale._attributes.read
"""

EXAMPLES = r"""
- name: Find the clients that must register again
  meshctl.headscale.unknown_nodes_info:
    keys: {client-node-1: "{{ hostvars['client-node-1'].joined.node_key }}"}
    url: https://headscale.example.org
    api_key_file: /var/lib/headscale/meshctl_api_key
"""

RETURN = r"""
unregistered:
  description: The hosts whose node key the server does not list.
  returned: success
  type: list
  elements: str
  sample: [client-node-1]
"""
