# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verdict
short_description: Fail a story whose checks did not all pass, or that made none
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - When the variable C(mesh_fail_late) is true, an assertion that fails prints a warning and the play continues, so that a
    story makes all of its checks. This task, at the end of the story, then fails on the hosts where a check failed.
  - It also fails when the play lost a host on the way, when a story made no check at all (no host was left by C(--limit), or
    no assertion by C(--skip-tags)), when no task has a tag that C(--tags) names, when every check of the run was
    skipped, and when the report cannot be written. These need the callback P(meshctl.headscale.report#callback).
  - When the variable C(mesh_keep_going) is true, it only records what failed until the last story of the run has ended.
  - It makes the same decision in check mode, where assertions run as usual because they only observe.
options:
  stories:
    description:
      - The stories to judge, on this host.
      - All stories of the run, on all hosts, when omitted. Use this form with C(run_once), in a separate play after the
        last story.
    type: list
    elements: str
extends_documentation_fragment: meshctl.headscale._attributes.read
"""

EXAMPLES = r"""
- name: Your own story
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

    - name: Fail if a check of the story failed
      meshctl.headscale.verdict:
        stories: [backup]
"""

RETURN = r"""
bad_checks:
  description: For each story, the ids of the checks that failed or could not be made.
  returned: when checks decide the verdict
  type: dict
  sample: {us1: [us1.reachable.ipv4]}
deferred:
  description: Whether the verdict is left to the end of the last story.
  returned: when the task succeeds
  type: bool
"""
