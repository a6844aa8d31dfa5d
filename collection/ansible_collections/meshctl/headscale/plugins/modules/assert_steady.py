# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_steady
short_description: Assert that pairs stay connected while they are watched
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Asks the process that M(meshctl.headscale.hold) has started on the host for what it saw since. Waits until it has
    watched for as long as O(hold) says.
  - For each peer and address family there is a check of the pings (C(reachable.steady)), which fails when all of them were
    lost for longer than O(silence_budget), or when, of at least 50 pings, more were lost than O(loss_budget) allows and chance can
    explain.
  - A second check, of the TCP connection (C(reachable.stream)), fails when the connection broke or stalled for longer than
    O(stall_budget).
  - A third one (C(reachable.flow)) fails when a flow of datagrams was silent for longer than O(stall_budget) although pings were
    answered, when the peer's late answer over a silent flow did not arrive, or when TCP or UDP lost packets more often than pings.
  - Time for which the process itself was held up does not count. When it could not watch for long enough, the check is
    skipped.
  - The pairs that a task has judged are no longer watched. The default of O(deadline) is V(0), because asking again would
    return the same.
  - The connections need three clients or more. On existing hosts they need the variable C(mesh_probe_ports).
options:
  families:
    description: Address families to judge.
    type: list
    elements: str
    choices: [ipv4, ipv6]
    default: [ipv4, ipv6]
  hold:
    description: Seconds for which the pairs must have been watched. The variable C(mesh_hold_s) when omitted, else V(10).
    type: float
  silence_budget:
    description:
      - Longest time in seconds for which a pair may lose all packets. The variable C(mesh_silence_budget_s) when omitted, else
        V(0.5).
    type: float
  stall_budget:
    description:
      - Longest time in seconds for which an open connection may stall, or a flow of datagrams be silent. The variable C(mesh_stall_budget_s) when omitted,
        else V(3).
    type: float
  loss_budget:
    description:
      - Percentage of the pings that may be lost. The longest silence does not count, because O(silence_budget) applies to it, nor
        do silences during an outage that the story causes, or before the peer was first reached.
      - Defaults to the variable C(mesh_loss_budget_percent), else to V(5). Less than 1 counts as 1.
    type: float
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.members
  - meshctl.headscale._assertion.peers
seealso:
  - module: meshctl.headscale.hold
  - module: meshctl.headscale.assert_reachable
"""

EXAMPLES = r"""
- name: No node comes and goes
  hosts: clients
  become: true
  gather_facts: false
  tasks:
    - name: Ask the client for its addresses
      meshctl.headscale.client_info:

    - name: Watch
      meshctl.headscale.hold:

    - name: Every pair stays connected for half a minute
      meshctl.headscale.assert_steady:
        hold: 30
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
    - id: us1.reachable.steady
      story: us1
      source: client-node-1
      target: client-node-2
      family: ipv4
      verdict: passed
      expected: {address: 100.64.0.3, watched_s: {at_least: 10}, silent_s: {at_most: 0.5}}
      observed: {watched_s: 10.0, sent: 100, lost: 0}
"""
