# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_isolated
short_description: Assert that physical addresses cannot be reached without the mesh
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - >-
    Tries the physical addresses of hosts in other subnets with ICMP, TCP and UDP on several ports, and with SCTP, GRE, ESP and
    IP tunnels, which need root. In a lab, also tries the public addresses of routers.
  - >-
    On existing hosts, UDP and other protocols are tried only if C(mesh_probe_ports) names ports.
  - >-
    A check passes, strongest proof first, on an ICMP refusal from a router or from the host's own routing table; on a TCP
    reset or silence, together with such a refusal for the same address; on silence alone, but only at the deadline and
    only while the peer answers over the mesh. The evidence names the proof.
  - >-
    A check fails on an echo reply, on a connection, on any answer or ICMP refusal that comes from the host itself, and on a
    reset for an address that no router refused. Silence while the mesh is silent as well proves nothing and is an error.
  - 'The default of O(deadline) is V(6): routers limit how many refusals they send per second.'
options:
  targets:
    description:
      - Physical addresses by name, or names of hosts of the topology.
      - Defaults to all members of the mesh in other subnets, by the fact C(mesh_topology).
    type: raw
  ports:
    description:
      - The TCP and UDP ports to try.
      - >-
        Defaults to C(mesh_isolated_ports) and random ports in a lab; on existing hosts, to TCP port 22 and the ports in
        C(mesh_probe_ports).
    type: list
    elements: int
    aliases: [port]
  noted:
    description:
      - Whether to send nothing, and to judge what the targets have captured of the packets that this host, which is outside the
        mesh, has sent to them in an earlier task.
      - The targets must have listened with the option C(witness) of M(meshctl.headscale.serve) meanwhile, and have ended that.
    type: bool
    default: false
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.members
seealso:
  - module: meshctl.headscale.assert_encrypted
"""

EXAMPLES = r"""
- name: The two sites have no route to each other
  hosts: site_a
  become: true
  gather_facts: false
  tasks:
    - name: Try the other site
      meshctl.headscale.assert_isolated:
        targets:
          fileserver: 10.0.0.10
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
    - id: us2.isolated.icmp
      story: us2
      source: client-node-1
      target: client-node-2
      verdict: passed
      expected: {address: 10.0.0.10, refused: true}
      observed: net-unreachable from 192.168.1.1
      evidence: {proof: refusal}
"""
