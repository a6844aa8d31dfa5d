# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_rejoins
short_description: Assert that a node rejoins with the same identity, in time, after an outage
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - The node must have the same id and addresses as before, be running and connected to the server, and reach all peers,
    within a budget that starts with the end of the outage.
  - >-
    The fact C(mesh_nodes) holds the identity: run M(meshctl.headscale.assert_registered) before the outage, not after it.
  - The check fails if the node is first examined after the end of the budget.
options:
  since:
    description: The end of the outage, in seconds since the epoch on the controller's clock.
    type: float
    required: true
  aspect:
    description: The name of the outage, the last part of the checks' ids.
    type: str
    required: true
  budget:
    description:
      - Seconds from O(since).
      - Defaults to the variable C(mesh_rejoin_budget_s), else to V(30).
    type: float
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.members
  - meshctl.headscale._assertion.peers
seealso:
  - module: meshctl.headscale.assert_registered
"""

EXAMPLES = r"""
- name: A node survives a restart of its client
  hosts: client-node-1
  become: true
  gather_facts: false
  tasks:
    - name: Restart the client
      meshctl.headscale.service:
        name: tailscaled
        state: restarted
      register: restarted

    - name: It rejoins with the same identity
      meshctl.headscale.assert_rejoins:
        since: "{{ restarted.started_at }}"
        aspect: restart
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
    - id: us1.rejoins.restart
      story: us1
      source: client-node-1
      target:
      verdict: passed
      expected: {id: "1", addresses: [100.64.0.1], state: Running, online: true, within_s: 30.0}
      observed: {id: "1", addresses: [100.64.0.1], state: Running, online: true, after_s: 2.3}
"""
