# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_registered
short_description: Assert that nodes are registered on the control server
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Asks Headscale's HTTP API for its list of nodes, from the host of the task. The list must contain each expected node,
    not expired, and with the expected state, user and tags.
  - Finds a node by the node key that M(meshctl.headscale.client_info) returned on the client, else by its name.
  - If several hosts in O(nodes) state the same key, the check of each is an error, and none of them is in C(mesh_nodes).
  - A separate check fails if several nodes of the server claim one name.
  - Sets the fact C(mesh_nodes), which other assertions read.
  - The default of O(deadline) is V(30).
options:
  nodes:
    description: Inventory names of the expected nodes. Defaults to the group C(clients).
    type: list
    elements: str
  online:
    description: Whether the server must report the nodes as online, as offline, or either.
    type: str
    choices: ['true', 'false', any]
    default: 'true'
  user:
    description: The user that the nodes must belong to. Defaults to any user.
    type: str
  tags:
    description: The exact tags that each node must have. Defaults to any tags.
    type: list
    elements: str
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.server
seealso:
  - module: meshctl.headscale.client_info
  - module: meshctl.headscale.assert_connected
"""

EXAMPLES = r"""
- name: Ask the clients for their identity
  hosts: clients
  gather_facts: false
  tasks:
    - name: Ask tailscaled
      meshctl.headscale.client_info:

- name: All clients are registered and online
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Ask the server
      meshctl.headscale.assert_registered:
        url: https://headscale.example.com
        api_key_file: ~/.config/headscale/api_key
        user: default
"""

RETURN = r"""
checks:
  description:
    - All checks of the task, whatever their verdict.
    - More than 50 are one JSON text for callbacks, unless the task registers its result.
  returned: always, unless the options are not valid
  type: list
  elements: dict
  contains:
    id:
      description: Story, assertion and aspect, joined by dots.
      type: str
    story:
      description: The story that made the check.
      type: str
    assertion:
      description: The assertion that made the check, such as reachable.
      type: str
    aspect:
      description: What the check is about, such as latency; empty if the assertion has only one aspect.
      type: str
    family:
      description: Address family, if the check is about one.
      type: str
    source:
      description: The inventory host that made the check.
      type: str
    target:
      description: The host, name or URL that the check is about; null if it is about the source.
      type: str
    verdict:
      description: One of passed, failed, skipped, and error if nothing could be judged.
      type: str
    expected:
      description: The expected state.
      type: raw
    observed:
      description: The last observed state.
      type: raw
    duration_ms:
      description: Milliseconds from the start of the task to the verdict.
      type: float
    evidence:
      description: Further observations that explain the verdict.
      type: dict
    hint:
      description: The likely cause and the next step; the reason if the check was skipped.
      type: str
    reproduce:
      description: A command that shows the same.
      type: str
  sample:
    - id: us1.registered
      story: us1
      source: headscale-server
      target: client-node-1
      verdict: passed
      expected: {registered: true, expired: false, online: true}
      observed: {registered: true, expired: false, online: true}
mesh_pairs_coverage:
  description: What the sample that the variable C(mesh_pairs) asks for covers.
  returned: if not all pairs are checked
  type: dict
  contains:
    checked: {description: Pairs in the sample; a pair has a source and a target., type: int, sample: 1200}
    of: {description: All pairs., type: int, sample: 9900}
    per_node: {description: "How often each node is a source, and a target, at least.", type: int, sample: 12}
    seed: {description: Decides which sample this is., type: int, sample: 7}
    runs: {description: "Runs in a row, each with the next seed, that check all pairs.", type: int, sample: 9}
    subnet_pairs: {description: Pairs of subnets that the sample covers., type: dict, sample: {checked: 4, of: 4}}
mesh_nodes:
  description:
    - The server's record of each node, by inventory name. It is also set as a fact.
    - If the policy's C(nodeAttrs) grant a node C(disable-ipv4), C(addresses) are without its IPv4 address, and C(without) is V([4]).
      The policy is read only if a client lacks an address that the server lists.
  returned: success
  type: dict
  sample:
    client-node-1:
      id: "1"
      key: nodekey:c05a74b3bbf480af49a9aed639f0cef4e5562bf721f0e3987ac153edfd917645
      name: client-node-1
      given_name: client-node-1
      user: default
      addresses: ["100.64.0.1", "fd7a:115c:a1e0::1"]
      online: true
      expiry:
      tags: []
"""
