# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fault
short_description: Inject a fault into a lab, or undo it
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Breaks the lab of the inventory in one of the ways of the catalogue, on the real processes and the real kernel, and leaves
    it broken until the fault is undone. M(meshctl.headscale.fault_info) lists the catalogue.
  - The lab is the one that the variable C(lab_name) names. It must be up.
  - Before a fault is injected, the steps that undo it are recorded in the state directory of the lab. It can be undone by
    another process, and after a crash.
options:
  name:
    description:
      - Id of the fault.
      - Required for O(state=present). With O(state=absent), every fault of the lab is undone when omitted.
    type: str
  state:
    description:
      - V(present) injects the fault. A fault that is already in the lab is an error, because its undo steps would be lost.
      - V(absent) undoes faults, the latest first.
    type: str
    choices: [present, absent]
    default: present
  abandoned:
    description: With O(state=absent), undo only the faults of drills that were killed.
    type: bool
    default: false
  playbooks:
    description:
      - Directory with the playbook C(up.yml).
      - The undo of a few faults brings lab and mesh up again. That step is left out when this is omitted.
    type: path
attributes:
  check_mode:
    description: It returns what would change, and changes nothing.
    support: full
  diff_mode:
    description: This action has no differences to show.
    support: none
seealso:
  - module: meshctl.headscale.fault_drill
"""

EXAMPLES = r"""
- name: Break the lab, and leave it so
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Lose 30 % of the packets of a node
      meshctl.headscale.fault:
        name: loss-30

- name: Undo every fault
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Undo the faults
      meshctl.headscale.fault:
        state: absent
"""

RETURN = r"""
injected:
  description: Ids of the faults that were injected.
  returned: with O(state=present)
  type: list
  elements: str
  sample: [loss-30]
undone:
  description: Ids of the faults that were undone.
  returned: with O(state=absent)
  type: list
  elements: str
  sample: [loss-30]
"""
