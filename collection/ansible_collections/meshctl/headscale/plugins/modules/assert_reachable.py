# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_reachable
short_description: Assert that nodes reach each other over the mesh, and how fast
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Sends ICMP echo requests from the node's kernel to the mesh addresses of every other node. A ping by the client alone
    would test neither the network stacks of the operating systems nor the policy.
  - >-
    All requests of one attempt must be answered. If a packet is lost, the peer is tried again until O(deadline), V(30) by
    default.
  - >-
    Each peer has a separate check of its latency: the median of the round trips must be within the budget. The check also
    shows the worst round trip.
  - >-
    Once the paths are found, a burst of up to 20 requests shows whether a link keeps losing packets, and large requests show
    whether its MTU is sufficient. A bad burst is repeated once, and once more for a peer that fell silent: two nodes that
    renew their keys at the same moment lose each other for 5 seconds.
  - >-
    If the burst is slower than the latency budget, the latency is measured again, and that result counts. If a relay carried
    part of the burst, or a repeated burst was better, pings along the direct path show whether it loses packets that the
    relay delivers instead.
  - 'Needs C(become: true), or a group of the user within C(net.ipv4.ping_group_range).'
options:
  families:
    description: The address families over which every peer must answer.
    type: list
    elements: str
    choices: [ipv4, ipv6]
    default: [ipv4, ipv6]
  count:
    description:
      - The number of requests to each address, before the burst.
      - Defaults to V(3), or V(2) where more than 50 nodes share the cores of one computer.
    type: int
  latency_budget_ms:
    description:
      - The highest median round trip in milliseconds.
      - Defaults to the variable C(mesh_latency_budget_ms), else to V(50).
    type: float
  loss_budget:
    description:
      - The percentage of a burst that may be lost once the peer answers, of both families together and of each alone. A single
        packet may always be lost.
      - Defaults to the variable C(mesh_loss_budget_percent), else to V(5).
    type: float
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.members
  - meshctl.headscale._assertion.peers
seealso:
  - module: meshctl.headscale.assert_path
"""

EXAMPLES = r"""
- name: Every client reaches every other client
  hosts: clients
  gather_facts: false
  tasks:
    - name: Ping all peers
      meshctl.headscale.assert_reachable:

    - name: Ping a distant peer
      meshctl.headscale.assert_reachable:
        peers: [client-node-2]
        families: [ipv4]
        latency_budget_ms: 200
      when: inventory_hostname != 'client-node-2'
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
    - id: us1.reachable.ipv4
      story: us1
      source: client-node-1
      target: client-node-2
      verdict: passed
      expected: {address: 100.64.0.3, replies: all}
      observed: {sent: 3, received: 3, rtt_ms: [1.2, 0.8, 0.9]}
"""
