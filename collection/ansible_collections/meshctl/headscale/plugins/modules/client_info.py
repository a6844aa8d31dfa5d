# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: client_info
short_description: Read the state of a Tailscale client
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Asks tailscaled on the host through its socket and sets the fact C(mesh_client), which
    M(meshctl.headscale.assert_registered) uses to find the node on the server.
  - Fails on a host without a running tailscaled, but not on one that has not joined.
options:
  socket:
    description:
      - tailscaled's socket on the host.
      - Defaults to the variable C(mesh_tailscaled_socket), else to V(/var/run/tailscale/tailscaled.sock).
    type: path
  timeout:
    description: Seconds to wait for tailscaled's answer.
    type: float
    default: 5.0
  required:
    description: Fail when tailscaled does not answer. With V(false) the client is returned empty, with RV(client.error).
    type: bool
    default: true
extends_documentation_fragment: meshctl.headscale._attributes.read
attributes:
  action:
    description: Runs on the controller and asks the host over its connection. The host only needs Python.
    support: full
  facts:
    description: Sets the fact C(mesh_client).
    support: full
  platform:
    description: Which operating systems a host of the task may have.
    support: full
    platforms: linux
requirements:
  - Python 3.8 or later on the host
seealso:
  - module: meshctl.headscale.assert_registered
  - module: meshctl.headscale.client
"""

EXAMPLES = r"""
- name: Read the clients' state
  hosts: clients
  gather_facts: false
  tasks:
    - name: Ask tailscaled
      meshctl.headscale.client_info:

    - name: Show the addresses
      ansible.builtin.debug:
        var: mesh_client.addresses
"""

RETURN = r"""
client:
  description: The client's state; also the fact C(mesh_client).
  returned: success
  type: dict
  contains:
    key: {description: The node key; empty where the client has not joined., type: str}
    id: {description: The node's id on the server., type: str}
    name: {description: The host name that the client reports., type: str}
    dns_name: {description: Its full name in MagicDNS., type: str}
    addresses: {description: "Its mesh addresses, IPv4 first.", type: list, elements: str}
    version: {description: The client's version., type: str}
    backend_state: {description: "V(Running), V(Stopped), V(NeedsLogin), V(Starting) or V(NoState).", type: str}
    online: {description: Whether it is connected to the server., type: bool}
    endpoints: {description: The physical addresses and ports that it knows of itself., type: list, elements: str}
    home_derp: {description: The relay that it is found by., type: str}
    health: {description: What it complains about., type: list, elements: str}
    error: {description: Why it is not known; absent otherwise., type: str}
  sample:
    key: nodekey:c05a74b3bbf480af49a9aed639f0cef4e5562bf721f0e3987ac153edfd917645
    id: "1"
    name: client-node-1
    dns_name: client-node-1.mesh.internal
    addresses: ["100.64.0.1", "fd7a:115c:a1e0::1"]
    version: 1.102.5
    backend_state: Running
    online: true
    endpoints: ["203.0.113.2:41651", "192.168.1.10:41651"]
    home_derp: lab
    health: []
"""
