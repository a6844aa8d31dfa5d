# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_resolves
short_description: Assert that names of the mesh resolve to the addresses on the server
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Looks up the full and the short name of every peer with the system's resolver, as every program does, and its name and
    addresses with tailscaled's resolver 100.100.100.100. The answers must match the server's records and arrive within the
    budget.
  - On a node without an IPv4 address, that resolver is fd7a:115c:a1e0::53.
  - >-
    With O(wire), a capture of the lookups shows that the system's resolver asks only tailscaled's resolver for names of the mesh,
    and that the answers come from there. This needs C(become: true).
  - The default of O(deadline) is V(30).
options:
  domain:
    description: The base domain of MagicDNS. Defaults to the variable C(mesh_domain), else to the domain that clients report.
    type: str
  families:
    description:
      - The address families that the answers must include. They may include further addresses of the same node.
      - tailscaled gives a node with an IPv4 address the AAAA records of its peers only if the policy grants the node
        attribute C(magicdns-aaaa), and only since 1.84. If both families are named and the client is older, only IPv4
        addresses are looked up, and the check C(resolves.ipv6) is skipped with that reason.
      - Defaults to the variable C(mesh_resolved_families), else to V(ipv4).
    type: list
    elements: str
    choices: [ipv4, ipv6]
  absent:
    description: Names that must not exist. The system's resolver must not find them and tailscaled must answer NXDOMAIN.
    type: list
    elements: str
    default: []
  outside:
    description:
      - Names outside the mesh that must still resolve.
      - Defaults to the variable C(mesh_outside_names).
    type: list
    elements: str
  budget_ms:
    description:
      - Maximum time for an answer, in milliseconds.
      - Defaults to the variable C(mesh_resolution_budget_ms), else to V(1000).
    type: float
  wire:
    description: Whether to capture the lookups, which proves where the answers come from.
    type: bool
    default: true
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.members
  - meshctl.headscale._assertion.peers
seealso:
  - module: meshctl.headscale.assert_propagates
"""

EXAMPLES = r"""
- name: Every client resolves every other client
  hosts: clients
  become: true
  gather_facts: false
  tasks:
    - name: Look the names up
      meshctl.headscale.assert_resolves:
        domain: mesh.internal
        absent: [no-such-node.mesh.internal]
        outside: [www.example.com]
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
    - id: us4.resolves.name
      story: us4
      source: client-node-1
      target: client-node-2
      verdict: passed
      expected: {name: client-node-2.mesh.internal, addresses: [100.64.0.3], ms: {at_most: 1000.0}}
      observed: {outcome: found, addresses: [100.64.0.3], ms: 1.2}
"""
