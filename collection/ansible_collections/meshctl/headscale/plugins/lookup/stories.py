# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stories in a directory of playbooks."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stories
short_description: List the stories
version_added: 0.2.0
author:
  - The meshctl authors (@meshctl)
description:
  - Reads what the playbooks in a directory say about themselves. Runs none of them.
  - The play of a story sets C(mesh_story) to the name of the file, has a name such as C(US2 cross-network), and describes
    itself in the variable C(mesh_story_info) with the keys C(summary), C(requires), C(disrupts) and C(seconds).
options:
  _terms:
    description: Directories of stories. A relative path starts at the directory of the playbook.
    required: true
    type: list
    elements: path
"""

EXAMPLES = r"""
- name: Show what can be run
  ansible.builtin.debug:
    msg: "{{ item.id }} ({{ item.alias }}): {{ item.summary }}"
  loop: "{{ query('meshctl.headscale.stories', 'stories') }}"
"""

RETURN = r"""
_raw:
  description: The stories in the order in which they run.
  type: list
  elements: dict
  contains:
    id:
      description: The name of the file and the value of C(mesh_story).
      type: str
      sample: us2
    alias:
      description: The other name by which C(meshctl run) knows it.
      type: str
      sample: cross-network
    title:
      description: The name of the play.
      type: str
      sample: US2 cross-network
    summary:
      description: What it proves.
      type: str
    requires:
      description: What the inventory must have.
      type: str
    disrupts:
      description: What it interrupts. Empty when it only observes.
      type: str
    seconds:
      description: How long it takes in the seed lab.
      type: int
    slices:
      description: Whether it can run in slices.
      type: bool
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ..module_utils._errors import BadInput
from ..plugin_utils._stories import stories


class LookupModule(LookupBase):
    """Reads the playbooks on the controller."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """Return the stories of each directory."""
        self.set_options(var_options=variables, direct=kwargs)
        start = Path(str((variables or {}).get("playbook_dir", "")))
        try:
            found = [story for term in terms for story in stories(start / str(term))]
        except (BadInput, OSError) as error:
            raise AnsibleLookupError(str(error)) from None
        return [{key: value for key, value in asdict(story).items() if key != "path"} for story in found]
