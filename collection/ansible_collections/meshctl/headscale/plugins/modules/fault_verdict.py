# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fault_verdict
short_description: Judge a drill by its outcomes
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Reads the outcomes that M(meshctl.headscale.fault_drill) left in a directory, for all labs, and writes them with their
    figures to C(drill.json) there.
  - It fails unless every fault was caught, its cause was named, nothing else failed, and the mesh recovered.
options:
  faults:
    description: Ids of the faults that were to be drilled.
    type: list
    elements: str
    required: true
  directory:
    description: Directory of the drill.
    type: path
    required: true
  figures:
    description: JSON file of figures to update; entries of other faults are kept. The documentation is generated from it.
    type: path
attributes:
  check_mode:
    description: It is skipped in check mode.
    support: none
  diff_mode:
    description: This action has no differences to show.
    support: none
seealso:
  - module: meshctl.headscale.fault_drill
"""

EXAMPLES = r"""
- name: Judge a drill
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Fail unless the fault was caught
      meshctl.headscale.fault_verdict:
        faults: [loss-30]
        directory: runs/my-drill
        figures: docs/reference/faults.json
"""

RETURN = r"""
figures:
  description: The figures of the drill, and its outcomes.
  returned: always
  type: dict
  contains:
    faults: {description: Number of faults that were drilled., type: int, returned: always, sample: 121}
    caught: {description: Number of faults that were caught., type: int, returned: always, sample: 121}
    named: {description: Number of faults whose cause was named., type: int, returned: always, sample: 121}
    false_alarms: {description: Number of false alarms., type: int, returned: always, sample: 0}
    recovered: {description: Number of faults from which the mesh recovered., type: int, returned: always, sample: 121}
    good: {description: Number of faults that went as expected., type: int, returned: always, sample: 121}
    seconds: {description: Duration of all faults together., type: float, returned: always, sample: 3480.0}
    outcomes: {description: One outcome for each fault., type: list, elements: dict, returned: always}
"""
