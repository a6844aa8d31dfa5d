# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: diagnose
short_description: Find what is wrong with a mesh
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Examines the control server or a client, and returns a check for each known fault, with its cause and remedy.
  - It changes nothing. It pings, resolves names, fetches unauthenticated pages and reads Headscale's API.
  - Each examination leaves a fact for the later ones. Look at all hosts first, then examine the clients, and compare them with
    the server last.
  - A check that follows from another one refers to it in its hint (C(because of doctor.client)) and in its evidence.
options:
  part:
    description:
      - What to examine.
      - V(look) is what the host of the task is, the server, a client or both. It examines the server, and reads the identity of
        the client, so that slow hosts are waited for together.
      - V(server) is Headscale, asked through its API from the host of the task. If that host is the server itself, and
        the user may read its configuration and its log, these are examined as well.
      - V(client) is the host of the task.
      - V(mesh) compares what the server and the clients found. It needs the facts of both, and probes no host.
    type: str
    choices: [look, server, client, mesh]
    required: true
  config:
    description: Headscale's configuration on the host of the task. Secret values do not leave the host.
    type: path
    default: /etc/headscale/config.yaml
  warning_days:
    description:
      - A key that expires within this number of days is a finding.
      - The variable C(mesh_expiry_warning_days) if not set, else V(7).
    type: float
  min_severity:
    description:
      - Settings and keys that could be attacked are findings from this severity on, V(info), V(low), V(medium) or V(high).
      - The variable C(mesh_min_severity) if not set, else V(medium).
    type: str
    choices: [info, low, medium, high]
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.server
  - meshctl.headscale._assertion.members
seealso:
  - module: meshctl.headscale.assert_path
  - module: meshctl.headscale.assert_resolves
"""

EXAMPLES = r"""
- name: Find what is wrong with the mesh
  hosts: clients:headscale
  gather_facts: false
  vars:
    mesh_story: doctor
  tasks:
    - name: Examine the server, and read the identity of the clients
      meshctl.headscale.diagnose:
        part: look

    - name: Examine the clients
      meshctl.headscale.diagnose:
        part: client
      when: inventory_hostname in groups.clients

    - name: Compare the clients and the server
      meshctl.headscale.diagnose:
        part: mesh
      when: inventory_hostname in groups.headscale
"""

RETURN = r"""
checks:
  description: One for each fault that was looked for. RV(checks[].hint) is the cause and the remedy.
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
      hint: nginx/1.22.1 in front of headscale does not pass on the upgrade
  contains:
    hint:
      description: Cause and remedy.
      type: str
ansible_facts:
  description: Facts for the later examinations.
  returned: when O(part) is not V(mesh)
  type: dict
  contains:
    mesh_diagnosis:
      description: The client's key, state, version and relays, and which nodes answered it.
      returned: when O(part=client)
      type: dict
    mesh_client:
      description: The client's identity, as M(meshctl.headscale.client_info) returns it.
      returned: when O(part=look)
      type: dict
    mesh_examined_since:
      description: When the client was first looked at, on the controller's clock; all looks at it have a common limit.
      returned: when O(part=look)
      type: float
    mesh_first_look:
      description: What was observed on the client, for O(part=client); not in a large mesh.
      returned: when O(part=look)
      type: dict
    mesh_diagnosis_server:
      description: The server's records, and what is wrong with it.
      returned: when O(part=server) or O(part=look)
      type: dict
"""
