# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: explain
short_description: Find out why one node cannot reach another
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Walks the path between two nodes step by step, and returns a check for each step. The first step that fails is the cause;
    the steps behind it are skipped.
  - The steps are the server's records, tailscaled, the policy, the subnet route, the network map, the packet filter, the
    kernel's route, the path, the packets at both ends, the firewall, the program that listens, and the connection.
  - Each check rests on an observation. What could not be observed is skipped with the reason, and never guessed.
  - It changes nothing. It reads Headscale's API, asks tailscaled, counts packets on the mesh interfaces of both hosts, and
    connects once. The process that counts packets ends by itself.
  - Run the parts in the order of the example. They leave facts for each other. Hosts that cannot be logged in to need
    C(ignore_unreachable).
options:
  part:
    description:
      - What to do.
      - V(server) reads the records of Headscale, from the host of the task.
      - V(question) finds both ends. It needs the fact C(mesh_client) of the clients, from M(meshctl.headscale.client_info).
      - V(observe) examines the host of the task as one of the ends, and begins to count packets.
      - V(try) pings and connects. The host of the task is the source.
      - V(collect) reads the packets that V(observe) has counted.
      - V(conclude) judges all of it, and probes no host.
    type: str
    choices: [server, question, observe, try, collect, conclude]
    required: true
  source:
    description: Where the connection starts. A host of the inventory, the name of a node, or its address in the mesh.
    type: str
    default: ""
  target:
    description: What the source should reach. As O(source), or an address behind a subnet router.
    type: str
    default: ""
  service:
    description: A protocol and port such as V(tcp/443) or V(udp/53), a name such as V(https), or V(icmp), which is the default.
    type: str
    default: ""
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.server
seealso:
  - module: meshctl.headscale.diagnose
"""

EXAMPLES = r"""
- name: Find out why client-node-1 cannot reach client-node-2
  hosts: clients:headscale
  gather_facts: false
  ignore_unreachable: true
  vars:
    mesh_story: why
  tasks:
    - name: Read the identity of the clients
      meshctl.headscale.client_info:
        required: false
      when: inventory_hostname in groups.clients

    - name: Ask the server
      meshctl.headscale.explain:
        part: server
      when: inventory_hostname in groups.headscale

    - name: Find both ends
      meshctl.headscale.explain:
        part: question
        source: client-node-1
        target: client-node-2
        service: tcp/443
      run_once: true

    - name: Observe both ends
      meshctl.headscale.explain:
        part: observe
      when: inventory_hostname in mesh_why.hosts

    - name: Try to connect
      meshctl.headscale.explain:
        part: try
      when: inventory_hostname == mesh_why.source.host

    - name: Collect the packets
      meshctl.headscale.explain:
        part: collect
      when: inventory_hostname in mesh_why.hosts and mesh_why_seen is defined

    - name: Conclude
      meshctl.headscale.explain:
        part: conclude
      run_once: true
"""

RETURN = r"""
checks:
  description: One for each step. The C(hint) of the first one that failed is the cause.
  returned: always
  type: list
  elements: dict
  sample:
    - id: why.listener
      story: why
      source: client-node-1
      target: client-node-2
      verdict: failed
      expected: works
      observed: fails
      hint: "nothing listens on tcp/443 on client-node-2: is the program running?"
answer:
  description: The answer.
  returned: when O(part=conclude)
  type: dict
  contains:
    source: {description: As it was asked., type: str, returned: success}
    target: {description: As it was asked., type: str, returned: success}
    service: {description: As it was asked., type: str, returned: success, sample: tcp/443}
    reachable: {description: Whether the target answers; null if that is not known., type: bool, returned: success}
    headline: {description: The answer in one sentence., type: str, returned: success}
ansible_facts:
  description: Facts for the later parts.
  returned: when O(part) is not V(conclude)
  type: dict
  contains:
    mesh_why:
      description: Both ends, the service, and in C(hosts) the inventory hosts to observe.
      returned: when O(part=question)
      type: dict
    mesh_why_server:
      description: The server's records.
      returned: when O(part=server)
      type: dict
    mesh_why_seen:
      description: What was observed on the host.
      returned: when O(part) is V(observe) or V(collect)
      type: dict
    mesh_why_tried:
      description: What became of the pings and the connection.
      returned: when O(part=try)
      type: dict
"""
