# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab
short_description: Bring a lab up or down
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Builds every host of the inventory, and a NAT router for each of its subnets, on the controller. C(mesh_backend) selects
    what the hosts are.
  - With V(lab), every host is a set of Linux namespaces. The controller's own network is not touched, and root is not
    needed where the kernel lets users create namespaces.
  - With V(libvirt), every host behind a router is a virtual machine of libvirt. Routers and the relay remain namespaces, so
    NAT behaves the same. A subnet becomes a libvirt network, and a virtual cable connects its bridge to the lab's router.
  - The running lab is compared with the inventory. Machines are added and removed, and NAT kinds, impairments and published
    ports are changed, in place. Any other difference is an error that asks to take the lab down first.
  - A machine that stopped is started again with what it had written to its disk, as after a power failure.
  - One play at a time uses a lab, from the first task with V(present) or V(reserved) until its C(ansible-playbook) ends. For
    another play, both states are errors that name the play that uses the lab. V(absent) always proceeds.
  - When the lab cannot be built completely, or the play is interrupted while it builds, everything that was started is
    removed again.
  - Virtual machines run Debian, from an image that is built from packages once and cached, or NixOS. They run on KVM where a
    test guest starts, and are emulated elsewhere. After their first boot their state is saved, and the next lab restores it
    in seconds. Domains, networks and directories that the lab did not create are never touched; their UUIDs tell them apart.
options:
  state:
    description:
      - Whether the lab is up.
      - V(reserved) changes nothing. It requires that the lab is up and reserves it for the play.
      - V(absent) uses the record of what was built, not the inventory.
    type: str
    choices: [present, reserved, absent]
    default: present
  name:
    description:
      - The lab to take down. Defaults to the inventory's C(lab_name).
      - V(present) and V(reserved) always use the inventory's.
    type: str
  programs:
    description:
      - Paths of programs of the controller that each host gets in C(/opt/meshctl/bin), such as C(headscale) and C(tailscaled).
      - See M(meshctl.headscale.binaries).
    type: dict
    default: {}
  keep_logs:
    description:
      - With O(state=absent), keep the logs of the lab's services and the consoles of its virtual machines below the state
        directory.
    type: bool
    default: false
requirements:
  - root, libvirt with QEMU, and C(mmdebstrap) to build the Debian image, for virtual machines
  - the collection community.libvirt, for virtual machines
  - libvirt-python and lxml, for Ansible's Python or for C(/usr/bin/python3) (Debian packages python3-libvirt,
    python3-lxml), for virtual machines
attributes:
  check_mode:
    description: Reports what it would change.
    support: full
  diff_mode:
    description: Lists the changes.
    support: full
  action:
    description: Runs on the controller.
    support: full
seealso:
  - plugin: meshctl.headscale.netns
    plugin_type: connection
    description: Runs tasks on a machine.
  - plugin: meshctl.headscale.lab_file
    plugin_type: lookup
    description: Finds the ssh configuration of the virtual machines.
"""

EXAMPLES = r"""
- name: Bring the lab up
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Find the programs
      meshctl.headscale.binaries:
      register: found

    - name: Build the lab
      meshctl.headscale.lab:
        programs: "{{ found.programs }}"

- name: Take it down
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Remove the lab
      meshctl.headscale.lab:
        state: absent
"""

RETURN = r"""
changes:
  description: What was done, one sentence each.
  returned: when O(state) is V(present) or V(absent)
  type: list
  elements: str
  sample: ["machine client-node-5 added"]
created:
  description: Whether the lab is new.
  returned: when O(state=present)
  type: bool
  sample: true
guests:
  description: Domain, network, MAC and address of every host that is a virtual machine.
  returned: when O(state=present) and C(mesh_backend) is V(libvirt)
  type: dict
  sample:
    client-node-1:
      domain: meshctl-seed-client-node-1
      network: meshctl-seed-subnet-a
      mac: "52:54:c0:a8:01:0a"
      address: 192.168.1.10
state_directory:
  description: Directory of the lab's record, build script, ssh configuration and logs.
  returned: when O(state=present)
  type: str
  sample: /home/me/.local/state/meshctl/labs/seed
logs:
  description: Directory of the logs.
  returned: when O(keep_logs) and the lab existed
  type: str
  sample: /home/me/.local/state/meshctl/failed/seed-x1y2z3
ansible_facts:
  description: C(mesh_topology), the place of each host in the lab; C(mesh_resolver), the address of the upstream resolver.
  returned: when O(state=present)
  type: dict
meshctl_error:
  description: V(bad_input) when the inventory does not describe a lab, V(could_not_run) when this machine cannot run it or another play uses it.
  returned: failure
  type: str
  sample: bad_input
"""
