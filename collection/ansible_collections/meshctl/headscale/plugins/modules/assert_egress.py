# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_egress
short_description: Assert that a node leaves the mesh through its exit node alone
version_added: 0.2.0
author:
  - The meshctl authors (@meshctl)
description:
  - The kernel must send packets for addresses outside into the mesh, the exit node must answer echo requests, and the names in
    C(mesh_outside_names) must resolve. Without O(exit_node), this is all, and nothing is changed or captured.
  - The rest is only for labs. The node browses, resolves names and sends marked packets, over IPv4 and IPv6, while a capture watches all
    of its interfaces. The web server on the WAN must see the exit node's address, in each family that it and the exit node
    have there, and nothing may leave unencrypted. Where M(meshctl.headscale.serve) has made the web server's host listen, it must also
    answer over UDP, receive a transfer, and answer many connections.
  - The default of O(deadline) is V(15).
options:
  exit_node:
    description: The exit node that this node uses. Defaults to the one that it has chosen; without any, it is skipped.
    type: str
  reached:
    description: Whether the exit node is up. With V(false), nothing may be reached, and nothing may leave unencrypted.
    type: bool
    default: true
  lan:
    description: Whether the node reaches its local network directly. With V(false), it must not reach it.
    type: bool
    default: false
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.aspect
  - meshctl.headscale._assertion.members
seealso:
  - module: meshctl.headscale.client
"""

EXAMPLES = r"""
- name: A node leaves through its exit node
  hosts: client-node-1
  become: true
  gather_facts: false
  tasks:
    - name: The web server sees the exit node, and nothing leaks
      meshctl.headscale.assert_egress:
        exit_node: client-node-2
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
    - id: us6.egress.leak
      story: us6
      source: client-node-1
      target: client-node-2
      verdict: passed
      expected: {in_clear: 0}
      observed: {in_clear: 0}
"""
