# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_path
short_description: Assert which path the traffic between nodes takes
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Pings every peer through the client (a disco ping). The client reports whether the answer came directly, and from which
    endpoint, or through which relay.
  - >-
    The endpoint of a direct path must be the peer's physical address or its router's public one, by the fact
    C(mesh_topology). Without a topology it must be an endpoint that the peer's own client reports.
  - Latency alone does not distinguish a direct path from a relayed one.
  - 'The default of O(deadline) is V(30): a client takes some seconds to find a direct path.'
options:
  endpoints:
    description:
      - Physical addresses at which peers may answer, by inventory name. They replace the addresses of the topology.
    type: dict
    default: {}
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.members
  - meshctl.headscale._assertion.peers
  - meshctl.headscale._assertion.path
seealso:
  - module: meshctl.headscale.assert_encrypted
  - module: meshctl.headscale.assert_reachable
"""

EXAMPLES = r"""
- name: Nothing goes through a relay
  hosts: clients
  gather_facts: false
  tasks:
    - name: Expect direct paths
      meshctl.headscale.assert_path:
        path: direct

    - name: State the address at which a peer must answer
      meshctl.headscale.assert_path:
        peers: [client-node-2]
        path: direct
        endpoints:
          client-node-2: [198.51.100.7]
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
    - id: us2.path
      story: us2
      source: client-node-1
      target: client-node-2
      verdict: passed
      expected: {path: direct, endpoint: [10.0.0.10, 203.0.113.3]}
      observed: {path: direct, endpoint: "203.0.113.3:42651", host: 203.0.113.3}
"""
