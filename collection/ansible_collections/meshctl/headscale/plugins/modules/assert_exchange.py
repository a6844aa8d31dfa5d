# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_exchange
short_description: Assert that nodes exchange data over TCP and UDP, and how fast
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Connects to the listeners that M(meshctl.headscale.serve) has started on the other nodes. A ping proves neither TCP nor
    UDP, because the packet filter of a client lets pings pass wherever any port is open.
  - For each peer and address family there is a check of TCP (C(reachable.tcp), a new connection from a new source port, a
    request and its reply), one of UDP (C(reachable.udp), datagrams of 64 and of 1232 bytes that are returned), and one of a
    transfer in both directions (C(reachable.bulk), with checksum and rate).
  - Peers with a transfer also get datagrams of ten sizes, and blocks of these sizes over one connection. The sizes are chosen
    at random. Of 24 more connections, from random source ports and to all ports on which the peer listens, four fifths
    must open at once. If they could not be tried in time, C(reachable.tcp) and C(reachable.udp) are errors.
  - The reply says from which address the peer saw the request, so that a rewritten source is found.
  - Existing hosts listen only on the ports that the variable C(mesh_probe_ports) names. Without it, the check is skipped.
  - A peer that does not pass is tried again until O(deadline), V(15) by default.
options:
  families:
    description: Address families of the exchange.
    type: list
    elements: str
    choices: [ipv4, ipv6]
    default: [ipv4, ipv6]
  bulk_bytes:
    description:
      - Length of a transfer, in each direction; V(0) for none.
      - Defaults to V(1000000), or to V(500000) where more than 50 nodes share the cores of one computer.
      - It is divided by the square of the variable C(mesh_patience), which slow hosts have.
    type: int
  bulk_peers:
    description:
      - Number of peers with a transfer; the nodes that follow this one in the list of nodes are chosen.
      - When omitted, all peers in small meshes, and fewer in larger ones, so that there are about 48 transfers in all and at
        least one from each node.
    type: int
  rate_budget:
    description: Lowest rate of a transfer in Mbit/s. The variable C(mesh_rate_budget_mbit) when omitted, else V(1).
    type: float
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.aspect
  - meshctl.headscale._assertion.members
  - meshctl.headscale._assertion.peers
seealso:
  - module: meshctl.headscale.serve
  - module: meshctl.headscale.assert_reachable
"""

EXAMPLES = r"""
- name: Every client exchanges data with every other client
  hosts: clients
  gather_facts: false
  tasks:
    - name: Ask the client for its addresses
      meshctl.headscale.client_info:

    - name: Listen
      meshctl.headscale.serve:

    - name: Connect to all peers
      meshctl.headscale.assert_exchange:
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
    - id: us1.reachable.tcp
      story: us1
      source: client-node-1
      target: client-node-2
      family: ipv4
      verdict: passed
      expected: {address: 100.64.0.3, port: 41001, reply: whole}
      observed: {outcome: answered, ms: 3.4}
"""
