# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_lab
short_description: Bring up or down a lab whose hosts are virtual machines
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - The same lab as M(meshctl.headscale.lab), with every host that is behind a router as a virtual machine of libvirt.
    The routers and the relay are the embedded lab's, so that NAT behaves the same.
  - A subnet becomes a libvirt network with reserved addresses. A virtual cable joins its bridge with the lab's router;
    only root can lay it.
  - Guests run Debian, from an image that is built from packages once and kept in the cache, or NixOS. They run on KVM
    where that really runs guests, which is tried, and are emulated elsewhere.
  - After their first boot guests are saved; the next lab restores them in seconds.
  - Domains, networks and directories that the lab did not make are never touched. What has the lab's names is
    told apart by its UUID.
  - When the lab cannot be brought up completely, what was made is removed again.
  - C(mesh_libvirt), a variable of the inventory, has the settings; the documentation of the inventory lists them.
options:
  state:
    description: Whether the lab is to be there. V(absent) works from what was recorded, not from the inventory.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - The lab to take down; the inventory's C(lab_name) when not given.
      - V(present) always takes the inventory's.
    type: str
  programs:
    description:
      - Paths of C(headscale), C(tailscale), C(tailscaled) and C(derper) on the controller.
      - See M(meshctl.headscale.binaries).
    type: dict
    default: {}
  keep_logs:
    description: With O(state=absent), keep the guests' consoles and the logs of the relay below the state directory.
    type: bool
    default: false
attributes:
  check_mode:
    description: Says what it would change.
    support: full
  diff_mode:
    description: Lists the changes.
    support: full
  action:
    description: Runs on the controller.
    support: full
requirements:
  - root, libvirt with QEMU, and C(mmdebstrap) to build the Debian image
  - the collection community.libvirt
  - libvirt-python and lxml, for Ansible's Python or for C(/usr/bin/python3) (Debian packages python3-libvirt, python3-lxml)
seealso:
  - module: meshctl.headscale.lab
  - plugin: meshctl.headscale.lab_file
    plugin_type: lookup
    description: Finds the ssh configuration of the guests.
"""

EXAMPLES = r"""
- name: Bring the virtual machines up
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Find the programs
      meshctl.headscale.binaries:
      register: found

    - name: Bring up the guests
      meshctl.headscale.libvirt_lab:
        programs: "{{ found.mesh_binaries_found }}"
"""

RETURN = r"""
changes:
  description: What was done, one sentence each.
  returned: success
  type: list
  elements: str
  sample: ["network meshctl-seed-subnet-a made", "guest client-node-1 restored"]
created:
  description: Whether the lab was not there before.
  returned: when O(state=present)
  type: bool
  sample: true
guests:
  description: Domain, network, MAC and address of every host that is a guest.
  returned: when O(state=present)
  type: dict
  sample:
    client-node-1:
      domain: meshctl-seed-client-node-1
      network: meshctl-seed-subnet-a
      mac: "52:54:c0:a8:01:0a"
      address: 192.168.1.10
state_directory:
  description: Where the lab's record, ssh configuration and logs are.
  returned: when O(state=present)
  type: str
  sample: /root/.local/state/meshctl/labs/seed
logs:
  description: Where the logs were kept.
  returned: when O(keep_logs) and there was a lab
  type: str
  sample: /root/.local/state/meshctl/failed/seed-x1y2z3
ansible_facts:
  description: C(mesh_topology), each host's place in the lab; C(mesh_resolver), the address of the upstream resolver.
  returned: when O(state=present)
  type: dict
meshctl_error:
  description: V(bad_input) when the inventory does not describe a lab, V(could_not_run) when the machine cannot run it.
  returned: failure
  type: str
  sample: could_not_run
"""
