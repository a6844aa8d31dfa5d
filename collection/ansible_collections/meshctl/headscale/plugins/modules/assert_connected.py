# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_connected
short_description: Assert that a node is in the mesh and sees its peers
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Asks the node's own client. It must be running, connected to the server, and have the addresses of the server's record.
    It must see every other node online, with its addresses.
  - The default of O(deadline) is V(30).
options:
  offline:
    description: Inventory names of the peers that the node must see as offline.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.members
  - meshctl.headscale._assertion.peers
seealso:
  - module: meshctl.headscale.assert_registered
  - module: meshctl.headscale.assert_reachable
"""

EXAMPLES = r"""
- name: Every client sees every other client
  hosts: clients
  gather_facts: false
  tasks:
    - name: Check the client's own view
      meshctl.headscale.assert_connected:

    - name: Expect a stopped client to be offline
      meshctl.headscale.assert_connected:
        offline: [client-node-1]
      when: inventory_hostname != 'client-node-1'
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
    - id: us1.connected.peer
      story: us1
      source: client-node-1
      target: client-node-2
      verdict: passed
      expected: {online: true, addresses: ["100.64.0.3", "fd7a:115c:a1e0::3"]}
      observed: {online: true, addresses: ["100.64.0.3", "fd7a:115c:a1e0::3"]}
"""
