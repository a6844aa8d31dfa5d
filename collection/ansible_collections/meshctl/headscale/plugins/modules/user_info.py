# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module: list Headscale users."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: user_info
short_description: List Headscale users
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Lists the users of a Headscale server.
extends_documentation_fragment:
  - meshctl.headscale._headscale
  - meshctl.headscale._attributes
  - meshctl.headscale._attributes.info
options:
  name:
    description: Only the user of this name.
    type: str
  id:
    description: Only the user of this id.
    type: str
  email:
    description: Only users who have this mail address.
    type: str
seealso:
  - module: meshctl.headscale.user
"""

EXAMPLES = r"""
- name: List all users
  meshctl.headscale.user_info:
    url: https://headscale.example.com
    api_key_file: /var/lib/headscale/meshctl_api_key
  register: users

- name: Show their names
  ansible.builtin.debug:
    msg: "{{ users.users | map(attribute='name') }}"
"""

RETURN = r"""
users:
  description: The users, by id. Empty when none matches.
  returned: success
  type: list
  elements: dict
  sample:
    - id: "1"
      name: alice
      display_name: Alice
      email: alice@example.com
      provider: ""
      provider_id: ""
      profile_pic_url: ""
      created_at: "2026-01-31T12:00:00.123456789Z"
"""

import typing as t

from ansible_collections.meshctl.headscale.plugins.module_utils._module import Task, check_id, run

_FILTERS = ("name", "id", "email")


def _handle(task: Task) -> dict[str, t.Any]:
    check_id(task.options["id"])
    wanted = {option: task.options[option] for option in _FILTERS if task.options[option] is not None}
    users = [user for user in task.api.list_users() if all(user[field] == value for field, value in wanted.items())]
    return {"changed": False, "users": users}


def main() -> None:
    """Run the module."""
    run(_handle, options={"name": {"type": "str"}, "id": {"type": "str"}, "email": {"type": "str"}})


if __name__ == "__main__":
    main()
