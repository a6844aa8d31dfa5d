# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: evidence
short_description: Collect evidence of a problem from a host
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Reads what helps to explain a problem and writes it to files on the controller, without secrets.
  - "From every host: addresses, routes, rules, firewall, sockets, kernel, clock, resolver, and the end of the log of its service.
    From clients: status, preferences, network map, DERP map, DNS configuration and metrics of tailscaled. From the control
    server's host: its configuration, nodes, users and policy."
  - What cannot be read is listed in the file C(missing.json) of the host.
  - C(meshctl collect) runs the playbook C(playbooks/collect.yml) and makes one archive of the files.
options:
  dest:
    description: Directory on the controller, in which each host gets a directory.
    type: path
    required: true
  socket:
    description:
      - tailscaled's socket on the host.
      - Defaults to the variable C(mesh_tailscaled_socket), else to V(/var/run/tailscale/tailscaled.sock).
    type: path
extends_documentation_fragment:
  - meshctl.headscale._assertion.server
  - meshctl.headscale._attributes.read
attributes:
  action:
    description: Runs on the controller and reads from the host over its connection. The host only needs Python.
    support: full
  platform:
    description: Which operating systems a host of the task may have.
    support: full
    platforms: linux
requirements:
  - Python 3.8 or later on the host
seealso:
  - module: meshctl.headscale.diagnose
"""

EXAMPLES = r"""
- name: Collect evidence
  hosts: clients:headscale:relays
  gather_facts: false
  tasks:
    - name: Read from every host
      meshctl.headscale.evidence:
        dest: /tmp/evidence
"""

RETURN = r"""
files:
  description: The names of the files that were written for the host.
  returned: success
  type: list
  elements: str
  sample: [addresses.txt, missing.json, status.json]
"""
