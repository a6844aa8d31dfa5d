#!/usr/bin/env python3
# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the playbooks that deploy the mesh and then run one story or all of them.

Ansible cannot import playbooks in a loop. After adding or renaming a story run `python tools/story_playbooks.py`; a unit
test fails while a playbook is not up to date.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ansible_collections.meshctl.headscale.plugins.plugin_utils._stories import Story, stories

PLAYBOOKS = Path(__file__).parents[1] / "playbooks"
_HEAD = "---\n# Written by tools/story_playbooks.py.\n"
_ALL = (
    "# Deploys the mesh, then runs every story. Stops at the first story that fails, unless mesh_keep_going is set.\n"
)
_DEPLOY = """\
- name: Lab and mesh
  ansible.builtin.import_playbook: up.yml
  when: mesh_deploy | default(true) | bool
"""


def playbooks(found: Sequence[Story]) -> dict[str, str]:
    """Return the content of each playbook by its file name."""
    single = {f"{story.id}.yml": _HEAD + _DEPLOY + _import(story) for story in found}
    return {**single, "all.yml": _HEAD + _ALL + _DEPLOY + "".join(map(_import, found))}


def _import(story: Story) -> str:
    return f"\n- name: {story.title}\n  ansible.builtin.import_playbook: stories/{story.id}.yml\n"


def main() -> None:
    """Write every playbook that has changed."""
    for name, content in playbooks(stories(PLAYBOOKS / "stories")).items():
        path = PLAYBOOKS / name
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            print(f"playbooks/{name}")


if __name__ == "__main__":
    main()
