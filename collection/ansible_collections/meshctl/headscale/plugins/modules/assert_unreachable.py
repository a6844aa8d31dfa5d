# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_unreachable
short_description: Assert that nodes do not answer over the mesh
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Pings the mesh addresses of nodes that must not answer, such as a node whose cable is unplugged. A removed node can ping
    all its former peers.
  - Silence alone proves little. Let M(meshctl.headscale.assert_reachable) pass before and after.
  - The default of O(deadline) is V(30).
options:
  silence:
    description:
      - Seconds without an answer. A path that is changing is silent for a moment, too.
    type: float
    default: 3.0
  since:
    description:
      - When the outage began, in seconds since the epoch on the controller's clock. What has passed since counts towards
        O(silence), of which three seconds remain. In a large mesh, the turn of some hosts comes late.
    type: float
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.members
  - meshctl.headscale._assertion.peers
seealso:
  - module: meshctl.headscale.assert_registered
  - module: meshctl.headscale.assert_reachable
"""

EXAMPLES = r"""
- name: A removed node has left the mesh
  hosts: client-node-4
  become: true
  gather_facts: false
  tasks:
    - name: It reaches none of its former peers
      meshctl.headscale.assert_unreachable:
        peers: [client-node-1, client-node-2]
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
    - id: us4.unreachable
      story: us4
      source: client-node-4
      target: client-node-1
      verdict: passed
      expected: {addresses: [100.64.0.1], replies: 0}
      observed: {received: {100.64.0.1: 0}}
"""
