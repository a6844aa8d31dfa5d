# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mesh_policy_info
short_description: Read the policy, and the users and nodes that it is about
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Reads what M(meshctl.headscale.assert_policy) compares packets with. It finds the server and its API key as assertions do.
extends_documentation_fragment:
  - meshctl.headscale._assertion.server
  - meshctl.headscale._attributes.read
seealso:
  - module: meshctl.headscale.policy_info
  - module: meshctl.headscale.assert_policy
"""

EXAMPLES = r"""
- name: Read the policy
  meshctl.headscale.mesh_policy_info:
  register: current
"""

RETURN = r"""
policy:
  description: The policy's text, empty when none is set.
  returned: success
  type: str
  sample: '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
updated_at:
  description: When the policy was set; empty or a zero time when it is read from a file.
  returned: success
  type: str
  sample: "2026-01-31T12:00:00.123456789Z"
records:
  description: What the policy can name each node by.
  returned: success
  type: list
  elements: dict
  sample:
    - id: "1"
      user: {id: "1", name: default, email: "", provider_id: ""}
      tags: []
      ip_addresses: [100.64.0.1, "fd7a:115c:a1e0::1"]
      approved_routes: []
      available_routes: []
users:
  description:
    - What the policy can name each user by. After a user was renamed, RV(records) keep the previous name until the server restarts,
      but Headscale compares the policy with the name in this list.
  returned: success
  type: list
  elements: dict
  version_added: 0.2.0
  sample:
    - {id: "1", name: default, email: "", provider_id: ""}
"""
