# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: topology
short_description: Read the inventory's topology as facts
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Checks the subnets, addresses, NAT kinds and names of the inventory and sets what follows from them as facts.
  - Refuses values of meshctl's other variables that cannot be meant, and the templates of any that cannot be filled in.
    A variable that nothing reads, and that is called almost like one that something does, is a warning.
  - Assertions judge paths and isolation by these facts. Nothing is changed.
  - Of the user's own hosts (C(mesh_backend) is V(hosts) or not set) nothing has to be said. Those that name their network in
    C(mesh_subnet) have a record, with as much as the inventory says.
options: {}
attributes:
  check_mode:
    description: It never changes anything.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Read the topology
  meshctl.headscale.topology:
"""

RETURN = r"""
meshctl_notes:
  description: What is odd about the inventory without being wrong, as in the warnings.
  returned: when there is something
  type: list
  elements: str
ansible_facts:
  description: The facts.
  returned: success
  type: dict
  contains:
    mesh_topology:
      description: For each host its C(group), C(subnet), C(address), C(router), C(nat), C(public_address) and C(port).
      returned: success
      type: dict
    mesh_resolver:
      description: Address of the upstream resolver.
      returned: success
      type: str
"""
