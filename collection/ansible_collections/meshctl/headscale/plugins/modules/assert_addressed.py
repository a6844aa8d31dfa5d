# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_addressed
short_description: Assert that a host is where the inventory has it
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Compares the addresses of the host's own interfaces, not those of the mesh, with the inventory, and its routes with what
    its subnet should have.
  - A host that also has an address in, or a route of its own to, another subnet of the inventory would connect the two
    past the mesh; that fails the check.
  - It proves where the host is in its network. It does not prove that nothing else joins the networks, which
    M(meshctl.headscale.assert_isolated) looks at.
  - Where the host is comes from the fact C(mesh_topology), which M(meshctl.headscale.topology) sets. It is an error when
    there is none.
  - The default of O(deadline) is V(3).
extends_documentation_fragment:
  - meshctl.headscale._assertion
seealso:
  - module: meshctl.headscale.topology
  - module: meshctl.headscale.assert_isolated
"""

EXAMPLES = r"""
- name: Every host is where the inventory has it
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
  description: All checks of the task, passed and failed.
  returned: always, except for options that cannot be used
  type: list
  elements: dict
  contains:
    id: {description: Story and assertion and what it is about., type: str}
    story: {description: The story., type: str}
    source: {description: The host that looked., type: str}
    target: {description: Always V(null), type: str}
    verdict: {description: "V(passed), V(failed), V(skipped), or V(error) where nothing could be judged.", type: str}
    expected: {description: What was expected., type: raw}
    observed: {description: What was seen last., type: raw}
    duration_ms: {description: Milliseconds from the start of the task until the check was judged so., type: float}
    evidence: {description: What else was seen., type: dict}
    hint: {description: The likely cause and the next step of a check that did not pass., type: str}
    reproduce: {description: A command that shows the same., type: str}
  sample:
    - id: us2.addressed.address
      story: us2
      source: client-node-1
      target: null
      verdict: passed
      expected: {address: 192.168.1.10/24}
      observed: {addresses: {eth0: [192.168.1.10/24]}}
"""
