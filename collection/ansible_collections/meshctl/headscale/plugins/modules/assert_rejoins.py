# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_rejoins
short_description: Assert that a node came back as itself, in time, after a disturbance
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - The node must have the id and the addresses that it had before, be running and connected to the server, and reach
    all peers, within a budget that began with the disturbance.
  - >-
    What it was before is taken from C(mesh_nodes): run M(meshctl.headscale.assert_registered) before the
    disturbance, not after it.
  - A node that is first looked at after the budget is over has failed, whatever it is then.
options:
  since:
    description: When the disturbance ended, in seconds since the epoch on the controller's clock.
    type: float
    required: true
  aspect:
    description: The disturbance's name, the last part of the checks' ids.
    type: str
    required: true
  budget:
    description: Seconds from O(since); the variable C(mesh_rejoin_budget_s) when not set, else V(30).
    type: float
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.members
  - meshctl.headscale._assertion.peers
seealso:
  - module: meshctl.headscale.assert_registered
"""

EXAMPLES = r"""
- name: A restart of the client is survived
  hosts: client-node-1
  become: true
  gather_facts: false
  tasks:
    - name: Restart the client
      meshctl.headscale.service:
        name: tailscaled
        state: restarted
      register: restarted

    - name: It comes back as itself
      meshctl.headscale.assert_rejoins:
        since: "{{ restarted.started_at }}"
        aspect: restart
"""

RETURN = r"""
checks:
  description: All checks of the task, whatever their verdict.
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
