# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: diagnose
short_description: Examine a mesh for the ways in which meshes fail
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Looks at a client or at the control server, and returns a check for each thing that is known to go wrong, with its cause
    and remedy.
  - It only looks. It pings, resolves names, fetches unauthenticated pages and reads Headscale's API.
  - What it leaves of the clients as a fact is what the examination of the server holds the server's records against, so
    examine the clients first.
options:
  part:
    description:
      - What is examined. V(client) is the host of the task.
      - V(server) is Headscale, asked through its API from the host of the task. Where that host is the server itself, and
        the user may read it, its configuration is read as well.
    type: str
    choices: [client, server]
    required: true
  config:
    description: Headscale's configuration, on the host of the task. Values that are named as secrets stay there.
    type: path
    default: /etc/headscale/config.yaml
  warning_days:
    description:
      - A key that expires in fewer days is a finding.
      - The variable C(mesh_expiry_warning_days) when not set, else V(7).
    type: float
  url:
    description: The server; the variable C(mesh_server_url) when not set, else E(HEADSCALE_URL) on the controller.
    type: str
  api_key:
    description:
      - An API key. When neither this nor O(api_key_file) is set, the variables C(mesh_api_key) and C(mesh_api_key_file),
        and then E(HEADSCALE_API_KEY) and E(HEADSCALE_API_KEY_FILE) on the controller.
    type: str
  api_key_file:
    description: A file on the host of the task with the API key.
    type: path
  ca_path:
    description: Certificates to trust instead of the host's own; the variable C(mesh_ca_path) when not set.
    type: path
    aliases: [ca_file]
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.members
seealso:
  - module: meshctl.headscale.assert_path
  - module: meshctl.headscale.assert_resolves
"""

EXAMPLES = r"""
- name: What is wrong with the mesh
  hosts: clients:headscale
  gather_facts: false
  vars:
    mesh_story: doctor
  tasks:
    - name: Examine the clients
      meshctl.headscale.diagnose:
        part: client
      when: inventory_hostname in groups.clients

    - name: Examine the server
      meshctl.headscale.diagnose:
        part: server
      when: inventory_hostname in groups.headscale
"""

RETURN = r"""
checks:
  description: One for each thing that was looked at. RV(checks[].hint) is the cause and the remedy.
  returned: always
  type: list
  elements: dict
  sample:
    - id: doctor.proxy
      story: doctor
      source: client-node-1
      target: null
      verdict: failed
      expected: {status: 101}
      observed: {status: 400, server: nginx/1.22.1}
      hint: nginx before headscale does not pass the upgrade on
  contains:
    hint:
      description: Cause and remedy.
      type: str
ansible_facts:
  description: What the examination of the server needs of a client.
  returned: when O(part=client)
  type: dict
  contains:
    mesh_diagnosis:
      description: The client's key, state, version and home relays, and who answered it.
      returned: always
      type: dict
"""
