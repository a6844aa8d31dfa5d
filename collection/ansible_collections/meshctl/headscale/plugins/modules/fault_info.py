# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fault_info
short_description: List the catalogue of faults, and the faults of a lab
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Returns the faults that satisfy every filter, in the order of the catalogue, and says which of them are in the lab that the
    variable C(lab_name) names. The lab need not be up.
options:
  faults:
    description: Ids of faults; all when empty.
    type: list
    elements: str
    default: []
  families:
    description: Families, such as V(dns); all when empty.
    type: list
    elements: str
    default: []
  stories:
    description: Stories, such as V(us1); all when empty.
    type: list
    elements: str
    default: []
extends_documentation_fragment: meshctl.headscale._attributes.read
"""

EXAMPLES = r"""
- name: List the faults of MagicDNS
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Read the catalogue
      meshctl.headscale.fault_info:
        families: [dns]
      register: catalogue
"""

RETURN = r"""
faults:
  description: The faults.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: Id of the fault., type: str, returned: always, sample: loss-30}
    family: {description: Family of the fault., type: str, returned: always, sample: connectivity}
    title: {description: What is broken., type: str, returned: always}
    why: {description: Background., type: str, returned: always}
    story: {description: Story that must report the fault., type: str, returned: always, sample: us1}
    verdict:
      description: V(red) for a story that must fail, V(green) for one that must pass, V(refused) for a run that must not start.
      type: str
      returned: always
      sample: red
    red: {description: Selectors of the checks that must not pass., type: list, elements: str, returned: always}
    tolerated: {description: Selectors of checks that the fault may turn red as well., type: list, elements: str, returned: always}
    green: {description: Selectors of checks that must run and pass., type: list, elements: str, returned: always}
    cause: {description: Regular expression that a hint must match., type: str, returned: always}
    disruptive: {description: Whether only the disruptive part of the story shows it., type: bool, returned: always}
    active: {description: Whether the fault is in the lab., type: bool, returned: always}
    since: {description: When it was injected., type: str, returned: always}
"""
