# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_forwards
short_description: Assert that a subnet router is ready
version_added: 0.2.0
author:
  - The meshctl authors (@meshctl)
description:
  - Looks at a router of C(mesh_routes) itself. It must forward packets, advertise its networks, and reach the target in each
    of them, and not through the mesh. A host of C(mesh_exit_nodes) must advertise itself as an exit node, and forward each
    address family in which it has a route outside.
  - The default of O(deadline) is V(10).
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.members
seealso:
  - module: meshctl.headscale.assert_routed
"""

EXAMPLES = r"""
- name: The routers are ready
  hosts: clients
  become: true
  gather_facts: false
  tasks:
    - name: Every router forwards
      meshctl.headscale.assert_forwards:
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
    - id: us6.forwards.forwarding
      story: us6
      source: client-node-2
      target: nas
      verdict: passed
      expected: {forwarding: true}
      observed: {forwarding: true}
"""
