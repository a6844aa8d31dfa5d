# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: topology
short_description: Read the inventory's topology and settings as facts
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Checks the inventory and sets facts that follow from it. Changes nothing.
  - Refuses a wrong value of a variable, a topology that cannot work, and a template that cannot be evaluated. Warns about a
    variable that meshctl does not use if its name is almost the name of one that it uses.
  - The first host of the play checks the whole inventory, so run the task with C(any_errors_fatal) on several hosts.
  - Existing hosts (C(mesh_backend) is V(hosts) or not set) need no topology. The fact C(mesh_topology) has a record of each host
    that names its network in C(mesh_subnet), with as much as the inventory says.
options: {}
extends_documentation_fragment: meshctl.headscale._attributes.read
"""

EXAMPLES = r"""
- name: Read the inventory
  meshctl.headscale.topology:
  any_errors_fatal: true

- name: Print the host's latency budget
  ansible.builtin.debug:
    var: mesh.latency_budget_ms
"""

RETURN = r"""
meshctl_notes:
  description: Oddities of the inventory that are not errors, as in the warnings.
  returned: when there are some
  type: list
  elements: str
ansible_facts:
  description: The facts.
  returned: success
  type: dict
  contains:
    mesh:
      description:
        - The host's settings. Every inventory variable of meshctl has an entry without its prefix C(mesh_), with the value's type
          and with the default of a variable that is not set. C(mesh_api_key) has none.
      returned: success
      type: dict
      sample: {backend: hosts, manage: false, latency_budget_ms: 50}
    mesh_topology:
      description: For each host its C(group), C(subnet), C(address), C(router), C(nat), C(public_address) and C(port).
      returned: success
      type: dict
    mesh_policy_note:
      description: Where a story about the policy notes, on the server, what it changes, until it has undone that.
      returned: success
      type: str
    mesh_resolver:
      description: Address of the upstream resolver.
      returned: success
      type: str
"""
