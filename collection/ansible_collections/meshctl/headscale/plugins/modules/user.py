# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module: keep a Headscale user."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: user
short_description: Keep a Headscale user
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Creates, renames and deletes users of a Headscale server.
extends_documentation_fragment:
  - meshctl.headscale._headscale
  - meshctl.headscale._attributes
  - meshctl.headscale._attributes.state
options:
  name:
    description:
      - The user's name.
      - Required, unless O(state=absent) and O(id) is set.
      - A user of an identity provider may have the name of a local user. The module then asks for O(id).
    type: str
  id:
    description:
      - The user's id. With O(state=present) the user of this id is given the name in O(name).
    type: str
  rename_from:
    description:
      - The name that the user may still have. The user is renamed to O(name) when there is one of this name.
      - Mutually exclusive with O(id).
    type: str
  display_name:
    description:
      - The display name.
      - Headscale's API sets it only when it creates a user. If the user has a different one, the task fails.
    type: str
  email:
    description:
      - The user's mail address, with the same limit as O(display_name).
    type: str
  picture_url:
    description:
      - The address of the user's picture, with the same limit as O(display_name).
    type: str
  state:
    description:
      - V(present) makes sure that the user exists and has the name.
      - V(absent) deletes the user together with the user's preauthkeys. It is refused while nodes belong to the user.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: meshctl.headscale.user_info
"""

EXAMPLES = r"""
- name: Keep the user default
  meshctl.headscale.user:
    url: https://headscale.example.com
    api_key_file: /var/lib/headscale/meshctl_api_key
    name: default

- name: Keep a user who was called al before
  meshctl.headscale.user:
    name: alice
    rename_from: al
    display_name: Alice
    email: alice@example.com

- name: Delete a user who has no nodes any more
  meshctl.headscale.user:
    name: bob
    state: absent
"""

RETURN = r"""
user:
  description: The user as it is now, or as it would be in check mode. V(null) when there is none.
  returned: success
  type: dict
  sample:
    id: "1"
    name: alice
    display_name: Alice
    email: alice@example.com
    provider: ""
    provider_id: ""
    profile_pic_url: ""
    created_at: "2026-01-31T12:00:00.123456789Z"
"""

import re
import typing as t

from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.module_utils._module import Task, check_id, run
from ansible_collections.meshctl.headscale.plugins.module_utils._nodes import owner, the_user

if t.TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import Record

# Options that only apply when the user is created: option -> field of the user.
_PROFILE = {"display_name": "display_name", "email": "email", "picture_url": "profile_pic_url"}


class User:
    """The user that the options describe."""

    def __init__(self, task: Task) -> None:
        """Look the user up."""
        self.task = task
        self.options = task.options
        self.users = task.api.list_users()
        self.before = self._find()

    def _named(self, name: str | None) -> Record | None:
        return the_user(self.users, name) if name is not None else None

    def _find(self) -> Record | None:
        name, previous = self.options["name"], self.options["rename_from"]
        if self.options["id"]:
            found = next((user for user in self.users if user["id"] == self.options["id"]), None)
            if found and self.options["state"] == "absent" and name not in (None, found["name"]):
                raise BadInput(f"The user of id {found['id']} is {found['name']!r}, not {name!r}: nothing was deleted.")
            return found
        found, other = self._named(name), self._named(previous)
        if found and other:
            raise BadInput(f"Both users {previous!r} and {name!r} exist: delete one, or leave rename_from out.")
        return found or other

    def present(self) -> dict[str, t.Any]:
        """Create or rename the user where needed."""
        _check_name(self.options["name"])
        if self.before is None and self.options["id"]:
            raise BadInput(f"There is no user of id {self.options['id']!r}; leave id out to create one.")
        after = self._create() if self.before is None else self._rename(self.before)
        return self.task.finish(before=self.before, after=after, user=after)

    def _create(self) -> Record:
        name = self.options["name"]
        profile = {option: self.options[option] or "" for option in _PROFILE}
        created = self.task.write(lambda: self.task.api.create_user(name=name, **profile))
        return created or {"name": name, **{_PROFILE[option]: value for option, value in profile.items()}}

    def _rename(self, user: Record) -> Record:
        self._check_profile(user)
        name = self.options["name"]
        if user["name"] == name:
            return user
        if self._named(name):
            raise BadInput(f"User {user['name']!r} cannot be renamed to {name!r}: another user has this name.")
        if user["provider"] == "oidc":
            raise BadInput(f"User {user['name']!r} comes from OIDC: Headscale does not rename such users.")
        renamed = self.task.write(lambda: self.task.api.rename_user(user["id"], name))
        return renamed or {**user, "name": name}

    def _check_profile(self, user: Record) -> None:
        for option, field in _PROFILE.items():
            wanted = self.options[option]
            if wanted is not None and wanted != user[field]:
                raise BadInput(
                    f"User {user['name']!r} has {option} {user[field]!r}, not {wanted!r}, and Headscale's API sets it "
                    f"only when it creates a user: leave {option} out, or delete the user first."
                )

    def absent(self) -> dict[str, t.Any]:
        """Delete the user, who must have no nodes."""
        if self.before:
            user = self.before
            self._check_nodes(user)
            self.task.write(lambda: self.task.api.delete_user(user["id"]))
        return self.task.finish(before=self.before, user=None)

    def _check_nodes(self, user: Record) -> None:
        names = [
            node["given_name"]
            for node in self.task.api.list_nodes()
            if owner(node) and node["user"]["id"] == user["id"]
        ]
        if names:
            shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")  # noqa: PLR2004
            raise BadInput(f"User {user['name']!r} still has {len(names)} node(s): {shown}. Delete or tag them first.")


def _check_name(name: str) -> None:
    # Headscale 0.29 creates users of any name, and refuses the name later in renames and in policies.
    if not re.fullmatch(r"[^\W\d_][\w.@-]+", name) or name.count("@") > 1:
        raise BadInput(
            f"name is {name!r}: a user's name begins with a letter and has two characters or more, "
            "all of them letters, digits or '-._', and at most one '@'."
        )


def handle(task: Task) -> dict[str, t.Any]:
    """Return the result of the module."""
    check_id(task.options["id"])
    user = User(task)
    return user.present() if task.options["state"] == "present" else user.absent()


SPECIFICATION: dict[str, t.Any] = {
    "options": {
        "name": {"type": "str"},
        "id": {"type": "str"},
        "rename_from": {"type": "str"},
        "display_name": {"type": "str"},
        "email": {"type": "str"},
        "picture_url": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    },
    "required_if": [("state", "present", ["name"])],
    "required_one_of": [("name", "id")],
    "mutually_exclusive": [("id", "rename_from")],
}


def main() -> None:
    """Run the module."""
    run(handle, **SPECIFICATION)


if __name__ == "__main__":
    main()
