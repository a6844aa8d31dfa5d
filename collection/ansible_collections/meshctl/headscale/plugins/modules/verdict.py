# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verdict
short_description: Fail a story whose assertions did not all hold
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Where the variable C(mesh_fail_late) is true, an assertion that does not hold warns and lets the play go on, so that all
    assertions of a story are made. This task, at the story's end, then fails on the hosts where one did not hold.
  - It adds no check of its own to the report.
options:
  stories:
    description: The stories to look at; all that have run when not given.
    type: list
    elements: str
attributes:
  check_mode:
    description: It never changes anything.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: A story of your own
  hosts: clients
  gather_facts: false
  vars:
    mesh_story: backup
    mesh_fail_late: true
  tasks:
    - name: The client is up
      meshctl.headscale.assert_query:
        from: status
        query: BackendState
        equals: Running

    - name: The story holds
      meshctl.headscale.verdict:
        stories: [backup]
"""

RETURN = r"""
bad_checks:
  description: For each story, the ids of the checks that did not hold on this host.
  returned: always
  type: dict
  sample: {us1: [us1.reachable.ipv4]}
"""
