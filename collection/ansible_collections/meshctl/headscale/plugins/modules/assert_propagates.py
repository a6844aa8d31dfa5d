# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_propagates
short_description: Assert that a change of names has arrived on a node in time
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Looks the names up until they resolve as they should, within a budget that starts with the change.
  - The check fails if the change has not arrived by the end of the budget. If the host is first examined later, as on a
    slow machine, and the change is there, the check passes, because it is unknown when it arrived.
options:
  since:
    description: The time of the change, in seconds since the epoch on the controller's clock.
    type: float
    required: true
  aspect:
    description: The name of the change, the last part of the checks' ids.
    type: str
    required: true
  budget:
    description:
      - Seconds from O(since).
      - Defaults to the variable C(mesh_propagation_budget_s), else to V(30).
    type: float
  present:
    description: Full names and the addresses (one or a list) that they must resolve to.
    type: dict
    default: {}
  absent:
    description: Full names that must no longer exist.
    type: list
    elements: str
    default: []
  silent:
    description:
      - Mesh addresses (one or a list) by name that must no longer answer a ping.
      - Silence alone proves little; make sure that they answer before the change.
    type: dict
    default: {}
extends_documentation_fragment:
  - meshctl.headscale._assertion
seealso:
  - module: meshctl.headscale.assert_resolves
"""

EXAMPLES = r"""
- name: Rename a node
  hosts: client-node-1
  become: true
  gather_facts: false
  tasks:
    - name: Change its name
      ansible.builtin.command: tailscale set --hostname=web
      changed_when: true

- name: The new name has reached every client
  hosts: clients
  gather_facts: false
  tasks:
    - name: Look both names up
      meshctl.headscale.assert_propagates:
        since: "{{ now(utc=true).timestamp() }}"
        aspect: rename
        present: {web.mesh.internal: 100.64.0.1}
        absent: [client-node-1.mesh.internal]
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
    - id: us4.propagates.rename
      story: us4
      source: client-node-2
      target: web.mesh.internal
      verdict: passed
      expected: {name: web.mesh.internal, addresses: [100.64.0.1]}
      observed: {outcome: found, addresses: [100.64.0.1], ms: 0.8}
      evidence: {after_s: 0.9, budget_s: 30.0}
"""
