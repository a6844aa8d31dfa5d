# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: hold
short_description: Let a node watch its peers for a while
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Starts a process on the host that pings every mesh address of the other nodes ten times a second, keeps a TCP connection
    open to those that M(meshctl.headscale.serve) has let listen, and sends them datagrams. Nothing is installed or written.
  - The task does not wait. M(meshctl.headscale.assert_steady) asks for what was seen.
  - The process ends by itself at its deadline, also when the controller, the connection or the Python that started it is
    killed. It answers only its own user and root.
  - In large meshes each node watches only some peers, the ones that follow it in the list of nodes, so that the pings of
    all nodes do not load hosts that share a machine. In a lab of more nodes than can each watch one peer, some watch nothing.
  - Does nothing when the variable C(mesh_hold_s) is V(0).
options:
  seconds:
    description: Time after which the watch ends, at most V(900).
    type: float
    default: 300.0
  nodes:
    description:
      - Members of the mesh by inventory name, as in the fact C(mesh_nodes); or a list of names.
      - All nodes of the fact C(mesh_nodes) when not set.
    type: raw
  peers:
    description: Inventory names of the nodes to watch. All other nodes when not set.
    type: list
    elements: str
  port:
    description:
      - The TCP port of the connections, one of those on which M(meshctl.headscale.serve) has let the peers listen. The first of
        them when not set.
      - With it, the task waits until the connections are open, for 5 seconds at most.
    type: int
  later:
    description:
      - Whether the watch begins only after the time that M(meshctl.headscale.assert_reachable) and
        M(meshctl.headscale.assert_path) take at least, for their pace. In a large lab, it would load the cores all that time.
      - M(meshctl.headscale.assert_steady) still waits until the watch has lasted as long as it must. If it asks earlier, the
        watch begins then.
    type: bool
    default: false
    version_added: 0.2.0
attributes:
  check_mode:
    description: Pings in check mode as well, opens no connection and sends no datagrams.
    support: full
  diff_mode:
    description: This action has no differences to show.
    support: none
seealso:
  - module: meshctl.headscale.serve
  - module: meshctl.headscale.assert_steady
"""

EXAMPLES = r"""
- name: Watch all nodes for a while
  hosts: clients
  become: true
  gather_facts: false
  tasks:
    - name: Ask the client for its addresses
      meshctl.headscale.client_info:

    - name: Watch
      meshctl.headscale.hold:

    - name: No node comes and goes
      meshctl.headscale.assert_steady:
        hold: 30
"""

RETURN = r"""
ansible_facts:
  description: Facts of the host.
  returned: success
  type: dict
  contains:
    mesh_held:
      description: How to ask for what is seen; empty when nothing is watched.
      type: dict
      returned: success
      contains:
        name: {description: Name of the process., type: str, returned: when it watches}
        seconds: {description: Time after which it ends., type: float, returned: when it watches, sample: 300.0}
        peers: {description: The nodes that it watches., type: list, elements: str, returned: when it watches}
        error: {description: Why it does not watch., type: str, returned: when it cannot watch}
"""
