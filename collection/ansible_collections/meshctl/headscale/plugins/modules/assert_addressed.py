# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_addressed
short_description: Assert that a host has the address and gateway that the inventory states
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Compares the addresses of the host's physical interfaces with the inventory, and its routes with those that its subnet
    should have.
  - The check fails if the host also has an address in another subnet of the inventory, or its own route there, because
    such a host connects the subnets outside the mesh.
  - It does not prove that nothing else joins the networks; M(meshctl.headscale.assert_isolated) checks that.
  - Reads the fact C(mesh_topology), which M(meshctl.headscale.topology) sets. Without it the task fails.
  - The default of O(deadline) is V(3).
extends_documentation_fragment:
  - meshctl.headscale._assertion
seealso:
  - module: meshctl.headscale.topology
  - module: meshctl.headscale.assert_isolated
"""

EXAMPLES = r"""
- name: Every host has the address that the inventory states
  hosts: clients
  gather_facts: false
  tasks:
    - name: Read the topology
      meshctl.headscale.topology:
      run_once: true

    - name: Compare it with the host
      meshctl.headscale.assert_addressed:
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
    - id: us2.addressed.address
      story: us2
      source: client-node-1
      target: null
      verdict: passed
      expected: {address: 192.168.1.10/24}
      observed: {addresses: {eth0: [192.168.1.10/24]}}
"""
