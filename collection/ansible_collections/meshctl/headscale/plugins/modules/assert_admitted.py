# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_admitted
short_description: Assert that a host behind a subnet router reaches a node of the mesh, or does not
version_added: 0.2.0
author:
  - The meshctl authors (@meshctl)
description:
  - Only for labs. A host outside the mesh, to which the task is delegated, sends a request over TCP and datagrams over UDP to the
    node of the task, in each address family that its networks of C(mesh_routes) have. The host needs a route to the mesh through
    the router, the node must accept routes, and M(meshctl.headscale.serve) must have started a listener on it.
  - Both must be answered, and the node must see the host's own address. A router masquerades packets from the mesh, and none to
    it, whatever its setting, so that the policy can tell these hosts from the router.
  - The default of O(deadline) is V(15).
options:
  from_host:
    description: The host of the group C(lan) that sends. The task must be delegated to it.
    type: str
    required: true
  admitted:
    description: Whether the policy lets the host in. With V(false), nothing may be answered.
    type: bool
    default: true
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.aspect
  - meshctl.headscale._assertion.members
seealso:
  - module: meshctl.headscale.assert_routed
  - module: meshctl.headscale.serve
"""

EXAMPLES = r"""
- name: A printer reaches a node
  hosts: client-node-2
  become: true
  gather_facts: false
  tasks:
    - name: Listen
      meshctl.headscale.serve:

    - name: The node sees the printer's own address
      meshctl.headscale.assert_admitted:
        from_host: printer
      delegate_to: printer
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
    - id: us6.admitted.source
      story: us6
      source: printer
      target: client-node-2
      verdict: passed
      expected: {protocol: tcp, source: 192.168.1.20}
      observed: {source: 192.168.1.20}
"""
