# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_encrypted
short_description: Assert that traffic over the mesh leaves encrypted and takes the expected path
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Captures on all interfaces of the node while it sends echo requests with a random marker to every peer's mesh
    addresses. It also sends marked UDP packets and opens a TCP connection to port 9, which need no answer.
  - A check passes if the peer answered the requests, if they appeared unencrypted on the mesh interface (so the capture would
    have found them elsewhere), if neither the marker nor a packet between two mesh addresses appeared elsewhere, and if at
    least as many WireGuard data packets left for the peer's endpoint. A capture that lost packets proves nothing and is an
    error.
  - tailscaled's own counters must grow by at least as many packets on the same kind of path.
  - >-
    A relay carries WireGuard packets inside TLS. The check then asserts that the marker does not appear, and that the relay
    was used.
  - 'Needs C(become: true). The default of O(deadline) is V(20).'
  - >-
    If M(meshctl.headscale.serve) has started listeners on peers, C(encrypted.bulk) also captures a transfer of 1 MB each way:
    no part of it leaves unencrypted, and the physical links carry at least as much.
options:
  count:
    description: The number of marked requests to each address of a peer.
    type: int
    default: 3
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.members
  - meshctl.headscale._assertion.peers
  - meshctl.headscale._assertion.path
seealso:
  - module: meshctl.headscale.assert_path
  - module: meshctl.headscale.assert_isolated
"""

EXAMPLES = r"""
- name: Nothing leaves unencrypted
  hosts: clients
  become: true
  gather_facts: false
  tasks:
    - name: Capture the traffic
      meshctl.headscale.assert_encrypted:
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
    - id: us2.encrypted
      story: us2
      source: client-node-1
      target: client-node-2
      verdict: passed
      expected: {marker_in_clear: 0, path: direct, packets: {at_least: 3}, endpoint: [10.0.0.10, 203.0.113.3]}
      observed: {marker_in_clear: 0, path: direct, endpoint: "203.0.113.3:42651", host: 203.0.113.3, packets: 6}
"""
