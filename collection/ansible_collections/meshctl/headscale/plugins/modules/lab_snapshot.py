# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_snapshot
short_description: Record what a story changes in a lab's mesh, and restore it
version_added: 0.2.0
author:
  - The meshctl authors (@meshctl)
description:
  - Records the preferences of all clients and whether they forward packets, the approved routes and the policy of the control
    server, and the routes of hosts outside the mesh, in the state directory of the lab.
  - If the play is killed before it restores them, the next C(playbooks/up.yml) does so.
  - Only for labs of namespaces.
options:
  state:
    description: V(kept) records the state, V(restored) restores it and deletes the record.
    type: str
    choices: [kept, restored]
    required: true
attributes:
  check_mode:
    description: Does nothing in check mode.
    support: full
  diff_mode:
    description: This action has no differences to show.
    support: none
  action:
    description: Runs on the controller.
    support: full
"""

EXAMPLES = r"""
- name: Change the mesh for a while
  hosts: clients
  gather_facts: false
  tasks:
    - name: Change it, and bring it back
      block:
        - name: Keep it
          meshctl.headscale.lab_snapshot:
            state: kept
          run_once: true

        - name: Accept routes
          meshctl.headscale.client:
            accept_routes: true
      always:
        - name: Bring it back
          meshctl.headscale.lab_snapshot:
            state: restored
          run_once: true
"""

RETURN = r"""
changed:
  description: Whether anything was recorded or brought back.
  returned: success
  type: bool
  sample: true
"""
