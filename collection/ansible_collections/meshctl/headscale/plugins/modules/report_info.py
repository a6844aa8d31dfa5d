# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report_info
short_description: Read the report of this run so far
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Returns the verdict, the counts and the checks that did not pass, of all stories of this run or of one, as the callback
    C(meshctl.headscale.report) has gathered them before this task.
  - With M(ansible.builtin.set_stats) the summary becomes the artifacts of a job in AWX, which later jobs of a workflow and
    notifications can read.
  - The callback must be enabled.
options:
  story:
    description: The story that is asked for; all of them when not set.
    type: str
extends_documentation_fragment: meshctl.headscale._attributes.read
seealso:
  - plugin: meshctl.headscale.report
    plugin_type: callback
"""

EXAMPLES = r"""
- name: A story whose summary other jobs can read
  hosts: clients
  gather_facts: false
  vars:
    mesh_story: nightly
    mesh_fail_late: true
  tasks:
    - name: Every client reaches every other
      meshctl.headscale.assert_reachable:

    - name: Read the summary
      meshctl.headscale.report_info:
        story: nightly
      run_once: true
      register: nightly

    - name: Leave it to later jobs
      ansible.builtin.set_stats:
        data:
          meshctl_nightly: "{{ nightly.summary }}"
      run_once: true

    - name: The story holds
      meshctl.headscale.verdict:
"""

RETURN = r"""
summary:
  description: What the report holds so far.
  returned: success
  type: dict
  contains:
    verdict: {description: "V(passed), V(failed), V(error); of a single story also V(skipped).", type: str}
    counts: {description: How many checks ended how., type: dict}
    stories: {description: "For each story its id, title, verdict, duration and counts.", type: list, elements: dict}
    bad: {description: "The first checks that did not hold: id, source, target, verdict and hint.", type: list, elements: dict}
    more_bad: {description: How many more did not hold., type: int}
    schema_version: {description: Version of the report's schema., type: int}
  sample:
    verdict: failed
    counts: {passed: 17, failed: 1, skipped: 0, error: 0, total: 18}
    stories:
      - id: us1
        title: US1 connectivity
        verdict: failed
        duration_s: 12.4
        counts: {passed: 17, failed: 1, skipped: 0, error: 0, total: 18}
    bad:
      - {id: us1.reachable.ipv4, source: client-node-1, target: client-node-2, verdict: failed, hint: client-node-2 is offline}
    more_bad: 0
    schema_version: 2
"""
