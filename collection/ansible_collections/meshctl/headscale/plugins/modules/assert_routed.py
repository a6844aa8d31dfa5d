# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_routed
short_description: Assert that a host behind a subnet router can be reached, or cannot
version_added: 0.2.0
author:
  - The meshctl authors (@meshctl)
description:
  - Sends packets to the targets of C(mesh_routes) from a node that is in another network. The kernel must send them into the
    mesh, and the target must answer echo requests.
  - In a lab, the target also answers over HTTP. It must see the address of the router that serves the network, and a
    transfer of 48 KiB must arrive. Where M(meshctl.headscale.serve) has made it listen, it must also answer over UDP, receive a
    transfer, and answer many connections from random source ports; with O(via), UDP only.
  - The default of O(deadline) is V(15).
options:
  prefixes:
    description: Only these prefixes of C(mesh_routes). Defaults to all of them.
    type: list
    elements: str
  absent:
    description: Whether the targets must not be reached, and the kernel must have no route to them through the mesh.
    type: bool
    default: false
  via:
    description: The router whose address the target must see. Defaults to the one that serves the network.
    type: str
    default: ''
  specific:
    description:
      - A prefix of O(via) that is part of the network and comes before it. Only hints need it; what must be true is that the target
        sees the address of O(via).
    type: str
    default: ''
  masquerade:
    description: Whether the target sees the router's address. With V(false), it must see this node's mesh address.
    type: bool
    default: true
  accepting:
    description: Whether the node must accept routes. With V(false), a node that does not accept them is skipped.
    type: bool
    default: true
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.aspect
  - meshctl.headscale._assertion.members
seealso:
  - module: meshctl.headscale.assert_served
  - module: meshctl.headscale.assert_forwards
"""

EXAMPLES = r"""
- name: Nodes reach the networks behind routers
  hosts: clients
  become: true
  gather_facts: false
  tasks:
    - name: Nodes that accept routes reach what lies behind them
      meshctl.headscale.assert_routed:
        accepting: false
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
    - id: us6.routed.source
      story: us6
      source: client-node-1
      target: nas
      verdict: passed
      expected: {source: {one_of: [10.0.0.10]}}
      observed: {source: 10.0.0.10}
"""
