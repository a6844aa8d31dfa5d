# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_policy
short_description: Assert by packets that the mesh does what its policy says
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Computes from the policy and the server's nodes which ports of each peer are open to this host, over TCP and UDP, IPv4 and
    IPv6, and tries all ports on which M(meshctl.headscale.serve) has let the peers listen, each from a new source port.
  - An open port must answer, and must have seen the request come from this host's mesh address. A closed port must stay silent
    while an open port of the same peer answers before and after. Where no port is open, C(tailscaled) of the peer must answer.
  - Where the peer captures packets (O(meshctl.headscale.serve#module:watch)), nothing may come out of its mesh interface for a
    closed port. This tells the client's filter from a firewall behind it.
  - Two nodes that no rule joins must not be peers at all (C(policy.hidden)).
  - The packet filter in the client's network map must agree with the policy, and its shields must be down (C(policy.filter)).
  - On the control server's host, with O(installed), the server must still have this policy (C(policy.stored)).
  - Without O(since), a peer that does not pass is tried again until O(deadline), V(15) by default.
options:
  policy:
    description: The policy, as text or as data. An empty text means that no policy is set.
    type: raw
    required: true
  records:
    description: The server's nodes, as M(meshctl.headscale.mesh_policy_info) returns them.
    type: list
    elements: dict
    required: true
  users:
    description:
      - The server's users, as M(meshctl.headscale.mesh_policy_info) returns them.
      - Without them, the owners in O(records) count. Those keep a user's previous name after a rename until the server restarts, so
        rules that name this user are then judged wrongly.
    type: list
    elements: dict
    default: []
    version_added: 0.2.0
  phase:
    description: What has changed before, such as V(widened); part of the checks' ids.
    type: str
    default: ''
  since:
    description: When the policy changed, in seconds since 1970 by the controller's clock. The checks must pass within O(budget).
    type: float
  budget:
    description: Seconds from the change until it is in effect everywhere. The variable C(mesh_policy_budget_s) when omitted, else V(30).
    type: float
  compare:
    description: Whether the policy is also compared with C(mesh_expect) (C(policy.stated)).
    type: bool
    default: false
  installed:
    description: Whether O(policy) has been installed by the story, and nothing else may have changed it.
    type: bool
    default: false
  established:
    description:
      - Only check what became of the connections to this TCP port that M(meshctl.headscale.hold) has opened before the policy closed
        it at O(since) (C(policy.established)). C(tailscaled) judges TCP by the first packet, so they must go on.
    type: int
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.members
  - meshctl.headscale._assertion.peers
  - meshctl.headscale._assertion.server
seealso:
  - module: meshctl.headscale.serve
  - module: meshctl.headscale.mesh_policy_info
"""

EXAMPLES = r"""
- name: The current policy is in effect
  hosts: clients:headscale
  gather_facts: false
  tasks:
    - name: Ask the clients for their identity
      meshctl.headscale.client_info:
      when: inventory_hostname in groups.clients

    - name: The nodes are registered
      meshctl.headscale.assert_registered:
      when: inventory_hostname in groups.headscale

    - name: Read the policy
      meshctl.headscale.mesh_policy_info:
      register: current
      when: inventory_hostname in groups.headscale

    - name: Listen
      meshctl.headscale.serve:
        ports: [45100, 45101]
        watch: true
      when: inventory_hostname in groups.clients

    - name: Packets pass as the policy says
      meshctl.headscale.assert_policy:
        policy: "{{ hostvars[groups.headscale[0]].current.policy }}"
        records: "{{ hostvars[groups.headscale[0]].current.records }}"
        users: "{{ hostvars[groups.headscale[0]].current.users }}"
      when: inventory_hostname in groups.clients
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
    - id: us5.policy.tcp
      story: us5
      source: client-node-1
      target: client-node-2
      family: ipv4
      verdict: passed
      expected: {open: "45100", closed: "45101"}
      observed: {open: "45100", closed: "45101"}
"""
