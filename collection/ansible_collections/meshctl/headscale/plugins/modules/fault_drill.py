# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fault_drill
short_description: Test a story with one fault
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Brings up the lab O(lab) unless it is up, and runs the story of the fault once without it, because a fault in a broken mesh
    proves nothing. Then it injects the fault, runs the story, compares the report with what the catalogue expects, undoes the
    fault, and runs the story again.
  - The state of each lab is kept in O(directory), so that a loop over faults brings up the lab and proves it sound only once.
    When a story does not pass again, the lab is rebuilt before the next fault if a drill brought it up; otherwise the
    drill stops.
  - The fault is undone when the task is interrupted, and when C(ansible-playbook) is killed. When the task is killed
    itself, the next C(up) undoes the fault, and so does M(meshctl.headscale.fault) with C(state=absent).
  - It succeeds whatever the outcome is. M(meshctl.headscale.fault_verdict) judges the outcomes.
options:
  fault:
    description: Id of the fault. Required for O(state=drilled).
    type: str
  state:
    description:
      - V(drilled) drills the fault.
      - V(finished) takes the lab down if a drill brought it up.
    type: str
    choices: [drilled, finished]
    default: drilled
  lab:
    description: Name of the lab.
    type: str
    required: true
  directory:
    description: Directory for the state of the drill and for the run directories of the stories.
    type: path
    required: true
  playbooks:
    description: Directory with the playbooks C(up.yml), C(down.yml) and those of the stories.
    type: path
    required: true
  deadline:
    description:
      - Seconds that an assertion has while a fault is in the lab, V(0) for the assertion's own deadline.
      - When a story reports the fault, and something else as well or another cause, it runs once more with its own deadlines.
    type: float
    default: 5.0
  keep_going:
    description: Whether faults follow one that was not caught as expected.
    type: bool
    default: true
  keep_lab:
    description: Whether a lab that the drill brought up stays up.
    type: bool
    default: false
attributes:
  check_mode:
    description: It is skipped in check mode.
    support: none
  diff_mode:
    description: This action has no differences to show.
    support: none
seealso:
  - module: meshctl.headscale.fault
"""

EXAMPLES = r"""
- name: Test the story US1 with two faults
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Drill
      meshctl.headscale.fault_drill:
        fault: "{{ item }}"
        lab: drill
        directory: runs/my-drill
        playbooks: playbooks
      loop: [loss-30, client-stopped]

    - name: Fail unless both were caught
      meshctl.headscale.fault_verdict:
        faults: [loss-30, client-stopped]
        directory: runs/my-drill
"""

RETURN = r"""
outcome:
  description: How the fault went.
  returned: with O(state=drilled), unless the drill has stopped
  type: dict
  contains:
    id: {description: Id of the fault., type: str, returned: always, sample: loss-30}
    family: {description: Family of the fault., type: str, returned: always, sample: connectivity}
    story: {description: Story that ran., type: str, returned: always, sample: us1}
    verdict: {description: Expected result of the story., type: str, returned: always, sample: red}
    caught: {description: Whether every check that must be red was made and did not pass., type: bool, returned: always}
    named: {description: Whether a hint names the cause., type: bool, returned: always}
    false_alarms:
      description: Checks that are red and should not be, and checks that should have passed and did not.
      type: list
      elements: str
      returned: always
    recovered: {description: Whether the undo succeeded and the story passed again., type: bool, returned: always}
    good: {description: Whether all of this is as expected., type: bool, returned: always}
    problems: {description: Reasons why it is not., type: list, elements: str, returned: always}
    hints: {description: Hints of the red checks., type: list, elements: str, returned: always}
    seconds: {description: Duration of the fault and of both stories., type: float, returned: always, sample: 21.5}
"""
