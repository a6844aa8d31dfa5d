# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: serve
short_description: Let a node listen for its peers for a while
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Starts a process on the host that listens for TCP and UDP on the node's own mesh addresses, and replies to
    M(meshctl.headscale.assert_exchange) and M(meshctl.headscale.hold). Nothing is installed or written.
  - The process ends by itself at its deadline, also when the controller, the connection or the Python that started it is
    killed. It replies only to requests with the random token that the task returns.
  - In labs it uses free ports. On existing hosts it uses the ports that the variable C(mesh_probe_ports) names, and does not
    listen at all without that.
options:
  seconds:
    description: Time after which the process stops listening, at most V(900).
    type: float
    default: 40.0
  addresses:
    description: Addresses to listen on. When omitted, the node's mesh addresses in the facts C(mesh_nodes) or C(mesh_client).
    type: list
    elements: str
  ports:
    description:
      - Ports to listen on, all of them, over TCP and UDP. When omitted, one port is enough.
      - Existing hosts listen only on ports in C(mesh_probe_ports).
    type: list
    elements: int
  watch:
    description:
      - Whether the process also notes which packets come out of the mesh interface for its ports, and tells the peers, so that
        M(meshctl.headscale.assert_policy) knows what silences a port. Needs root.
    type: bool
    default: false
  witness:
    description:
      - Whether the process also notes which packets of M(meshctl.headscale.assert_isolated) reach the host outside the mesh,
        and tells their senders. It captures them, and opens no port for them. Needs root.
    type: bool
    default: false
  spread:
    description:
      - Whether to listen on eleven more ports of each address and protocol, chosen at random. One is from 512 to 1023, and one
        from each tenth of those above.
      - Existing hosts never do.
    type: bool
    default: false
  required:
    description: Whether the task fails when the node cannot listen. Otherwise the fact has the reason, in C(error).
    type: bool
    default: true
  state:
    description: V(ended) ends the listener that an earlier task has started, before its deadline.
    type: str
    choices: [started, ended]
    default: started
attributes:
  check_mode:
    description: Nothing listens in check mode.
    support: full
  diff_mode:
    description: This action has no differences to show.
    support: none
seealso:
  - module: meshctl.headscale.assert_exchange
  - module: meshctl.headscale.assert_isolated
  - module: meshctl.headscale.assert_policy
"""

EXAMPLES = r"""
- name: Listen on the mesh addresses of every client
  hosts: clients
  gather_facts: false
  tasks:
    - name: Ask the client for its addresses
      meshctl.headscale.client_info:

    - name: Listen
      meshctl.headscale.serve:
        seconds: 20
"""

RETURN = r"""
ansible_facts:
  description: Facts of the host.
  returned: success
  type: dict
  contains:
    mesh_serving:
      description: Where the node listens; empty when it does not.
      type: dict
      returned: success
      contains:
        token: {description: The word that a request must contain., type: str, returned: when it listens}
        end: {description: How to end the listener., type: dict, returned: when it listens}
        seconds: {description: Time after which nothing listens., type: float, returned: when it listens, sample: 40.0}
        until:
          description: When that is, in seconds since 1970 by the clock of the controller.
          type: float
          returned: when it listens
          sample: 1767225600.0
        ports:
          description: For each address and protocol the port, with O(ports) all ports, and the last error.
          type: dict
          returned: when it listens
          sample: {100.64.0.1: {tcp: {port: 41001}, udp: {port: 41002}}}
"""
