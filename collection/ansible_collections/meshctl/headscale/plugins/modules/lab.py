# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab
short_description: Bring the embedded lab up or down
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Builds every host of the inventory, and a NAT router for each of its subnets, as Linux namespaces on the controller.
  - Nothing of the controller's own network is touched, and no root is needed where the kernel lets the user make namespaces.
  - The lab that stands is compared with the inventory; machines are added and removed, and NAT kinds, impairments and published
    ports are changed, in place. Any other difference is an error that asks to take the lab down first.
  - A machine that has ended is started again, with what it had written to its disk, as after a power cut.
  - A lab is used by one play at a time. While C(ansible-playbook) runs that had the lab brought up, another one's V(present) is an
    error that names the one that uses it; V(absent) always goes on.
  - When the lab cannot be built completely, what was started is taken down again.
options:
  state:
    description: Whether the lab is to be there. V(absent) works from what was recorded, not from the inventory.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: The lab to take down; the inventory's C(lab_name) when not given. V(present) always takes the inventory's.
    type: str
  programs:
    description:
      - Paths of programs of the controller that each machine has in C(/opt/meshctl/bin), such as C(headscale) and C(tailscaled).
      - See M(meshctl.headscale.binaries).
    type: dict
    default: {}
  keep_logs:
    description: With O(state=absent), keep the logs of the lab's services below the state directory, as after a failure.
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
seealso:
  - plugin: meshctl.headscale.netns
    plugin_type: connection
    description: Reaches the machines.
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
  returned: success
  type: list
  elements: str
  sample: ["machine client-node-5 added"]
created:
  description: Whether the lab was not there before.
  returned: when O(state=present)
  type: bool
  sample: true
state_directory:
  description: Where the lab's record, build script and logs are.
  returned: when O(state=present)
  type: str
  sample: /home/me/.local/state/meshctl/labs/seed
logs:
  description: Where the logs were kept.
  returned: when O(keep_logs) and there was a lab
  type: str
  sample: /home/me/.local/state/meshctl/failed/seed-x1y2z3
ansible_facts:
  description: C(mesh_topology), a host's place in the lab by its name; C(mesh_resolver), the address of the upstream resolver.
  returned: when O(state=present)
  type: dict
meshctl_error:
  description: V(bad_input) when the inventory does not describe a lab, V(could_not_run) when the machine cannot run it.
  returned: failure
  type: str
  sample: bad_input
"""
