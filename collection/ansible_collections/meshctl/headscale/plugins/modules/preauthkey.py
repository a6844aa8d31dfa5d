# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module: mint and end preauthkeys."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: preauthkey
short_description: Create, keep and revoke Headscale preauthkeys
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Creates preauthkeys, with which machines join a mesh, and expires or deletes them.
  - Headscale shows a key once, when it is created. So a second run can only find the key where the first one left it.
    Set O(path) and the module keeps the key there, and creates another one only when that one can no longer be used or
    differs from what is asked for; or give a key that you keep elsewhere in O(key).
  - With neither of them V(present) always creates a key.
extends_documentation_fragment:
  - meshctl.headscale._headscale
  - meshctl.headscale._attributes
  - meshctl.headscale._attributes.state
  - ansible.builtin.files
attributes:
  idempotent:
    support: partial
    details: With O(state=present) only where O(path) or O(key) is set.
options:
  user:
    description:
      - The name or the id of the user that nodes of this key belong to.
      - A user of an identity provider may have the name of a local user. Name the one that is meant by its id.
      - Required with O(state=present), unless O(tags) is set.
    type: str
  tags:
    description:
      - Tags of the nodes that join with this key. Such nodes belong to no user.
    type: list
    elements: str
    default: []
  reusable:
    description: Whether more than one machine can join with the key.
    type: bool
    default: false
  ephemeral:
    description: Whether nodes that joined with the key are deleted when they have been offline for a while.
    type: bool
    default: false
  expiration:
    description:
      - How long a new key is valid, for example V(30m), V(24h) or V(90d).
    type: str
    default: 24h
  path:
    description:
      - A file on the host that the task runs on in which the key is kept, written at once and, unless O(mode) says
        otherwise, with mode V(0600).
      - A key that is replaced is expired.
      - With O(state=expired) and O(state=absent), the file whose key is meant. V(absent) removes the file as well.
    type: path
  key:
    description:
      - A key that you have. With O(state=present) it is kept as long as it can be used and is what is asked for.
      - Headscale reports whether it knows the key's prefix, but not whether the rest of the key is right.
    type: str
  renew_before:
    description:
      - A key that O(path) or O(key) names counts as unusable this long before it expires.
    type: str
    default: 0s
  id:
    description: The id of the key to expire or delete.
    type: str
  prefix:
    description: The prefix of the key to expire or delete, with or without what Headscale shows around it.
    type: str
  return_key:
    description:
      - Whether the key is returned in RV(key). By default it is where O(path) is not set, since nothing else holds it.
      - A key that was given in O(key) is not returned.
      - Set C(no_log) on a task that returns a key.
    type: bool
  state:
    description:
      - V(present) makes sure that there is a key that can be used.
      - V(expired) makes sure that no node can join with the key; it stays listed.
      - V(absent) deletes the key.
    type: str
    choices: [present, expired, absent]
    default: present
  mode:
    description: The file's permissions, V(0600) when not set.
seealso:
  - module: meshctl.headscale.preauthkey_info
"""

EXAMPLES = r"""
- name: Keep a reusable key for a day, and mint another one when it is over
  meshctl.headscale.preauthkey:
    url: https://headscale.example.com
    api_key_file: /var/lib/headscale/meshctl_api_key
    user: default
    reusable: true
    path: /var/lib/headscale/join_key

- name: Mint a key for one tagged server
  meshctl.headscale.preauthkey:
    tags: [tag:server]
    expiration: 30m
  register: minted
  no_log: true

- name: End a key
  meshctl.headscale.preauthkey:
    id: "{{ minted.preauthkey.id }}"
    state: expired
"""

RETURN = r"""
key:
  description:
    - The key itself. This is a secret.
    - Not returned in check mode when a key would be minted.
  returned: with O(state=present), when O(return_key) is V(true) or O(path) is not set
  type: str
  sample: hskey-auth-AAAAAAAAAAAA-VALUE_NOT_SHOWN
preauthkey:
  description: The key without its secret, as it is now, or as it would be in check mode. V(null) when there is none.
  returned: success
  type: dict
  sample:
    id: "1"
    key: hskey-auth-AAAAAAAAAAAA-***
    prefix: AAAAAAAAAAAA
    user:
      id: "1"
      name: default
      display_name: ""
      email: ""
      provider: ""
      provider_id: ""
      profile_pic_url: ""
      created_at: "2026-01-31T12:00:00.123456789Z"
    reusable: true
    ephemeral: false
    used: false
    acl_tags: []
    expiration: "2026-02-01T12:00:00Z"
    created_at: "2026-01-31T12:00:00.123456789Z"
    expired: false
    usable: true
"""

import typing as t

from ansible_collections.meshctl.headscale.plugins.module_utils import _files, _keys, _shapes
from ansible_collections.meshctl.headscale.plugins.module_utils._durations import format_moment, parse_duration
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.module_utils._module import Task, check_id, check_tags, run
from ansible_collections.meshctl.headscale.plugins.module_utils._nodes import the_user

if t.TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import Record

_SHOWN = ("id", "key", "reusable", "ephemeral", "acl_tags", "expiration", "expired", "usable")


class PreAuthKey:
    """The key that the options describe."""

    def __init__(self, task: Task) -> None:
        """Look at what there is."""
        self.task = task
        self.options = task.options
        self.path: str | None = self.options["path"]
        self.secret = self._known_secret()
        self.all = task.api.list_preauthkeys()

    def _known_secret(self) -> str | None:
        if key := self.options["key"]:
            if not _shapes.is_secret(key.strip(), "auth"):
                raise BadInput("key is not a preauthkey: one looks like hskey-auth-….")
            return str(key.strip())
        return _keys.kept_key(self.task, self.path, "auth") if self.path else None

    # -- present

    def present(self) -> dict[str, t.Any]:
        """Keep the known key where it will do, else mint one."""
        lifetime = parse_duration(self.options["expiration"], option="expiration")
        if not lifetime:
            raise BadInput("expiration is zero: no node could join with the key.")
        ahead = parse_duration(self.options["renew_before"], option="renew_before")
        _keys.check_ahead(ahead, lifetime)
        user_id = self._user_id()
        before = _keys.by_prefix(self.all, _shapes.key_prefix(self.secret)) if self.secret else None
        if before and self._will_do(before, user_id) and _keys.lasts(before, now=self.task.api.now(), ahead=ahead):
            if self.path:
                self.task.keep_mode(self.path)
            return self._finish(before, before)
        if self.path:
            _files.writable(self.path)
        expiration = self.task.api.now() + lifetime
        request = {
            "user_id": user_id,
            "expiration": expiration,
            "reusable": self.options["reusable"],
            "ephemeral": self.options["ephemeral"],
            "tags": self.options["tags"],
        }
        after = self.task.write(lambda: self._mint(request, before)) or self._promised(format_moment(expiration))
        return self._finish(before, after)

    def _user_id(self) -> str | None:
        name = self.options["user"]
        check_tags(self.options["tags"])
        if name is None:
            if not self.options["tags"]:
                raise BadInput("A preauthkey belongs to a user or has tags: set user, tags or both.")
            return None
        users = self.task.api.list_users()
        # Headscale lets no name begin with a digit.
        found = next((user for user in users if user["id"] == name), None) or the_user(users, name)
        if found is None:
            there = ", ".join(user["name"] for user in users[:20]) or "none"
            raise BadInput(f"There is no user {name!r} (there are: {there}): create it first.")
        return str(found["id"])

    def _will_do(self, record: Record, user_id: str | None) -> bool:
        owner = record["user"]["id"] if record["user"] else None
        return bool(
            record["usable"]
            and owner == user_id
            and record["reusable"] == self.options["reusable"]
            and record["ephemeral"] == self.options["ephemeral"]
            and set(record["acl_tags"]) == set(self.options["tags"])
        )

    def _mint(self, request: dict[str, t.Any], before: Record | None) -> Record:
        record, secret = self.task.api.create_preauthkey(**request)
        self.task.hide(secret)
        self.secret = secret
        if self.path:
            _keys.mint_into(
                self.task,
                self.path,
                mint=lambda: secret,
                discard=lambda _prefix: self.task.api.expire_preauthkey(record["id"]),
            )
            if before and before["usable"]:
                self.task.api.expire_preauthkey(before["id"])
        return record

    def _promised(self, expiration: str) -> Record:
        self.secret = None
        return {
            "reusable": self.options["reusable"],
            "ephemeral": self.options["ephemeral"],
            "acl_tags": sorted(set(self.options["tags"])),
            "expiration": expiration,
            "expired": False,
            "usable": True,
        }

    # -- expired and absent

    def expired(self) -> dict[str, t.Any]:
        """Make sure that no further node joins with the key."""
        before = _keys.chosen(self.all, self.options, self.secret)
        if before is None:
            raise BadInput(
                "There is no such preauthkey on the server to expire: see preauthkey_info, or use state=absent."
            )
        after = before
        if not before["expired"]:
            self.task.write(lambda: self.task.api.expire_preauthkey(before["id"]))
            after = {**before, "expired": True, "usable": False, "expiration": format_moment(self.task.api.now())}
        return self._finish(before, after)

    def absent(self) -> dict[str, t.Any]:
        """Delete the key, and the file that held it."""
        before = _keys.chosen(self.all, self.options, self.secret)
        if before:
            self.task.write(lambda: self.task.api.delete_preauthkey(before["id"]))
        path = self.path
        if path and self.secret:
            self.task.write(lambda: _files.remove(path))
        return self._finish(before, None)

    # -- result

    def _returns_key(self) -> bool:
        if self.secret == self.options["key"]:
            return False
        chosen = self.options["return_key"]
        return self.path is None if chosen is None else bool(chosen)

    def _finish(self, before: Record | None, after: Record | None) -> dict[str, t.Any]:
        result = self.task.finish(before=_shown(before), after=_shown(after), preauthkey=after)
        if self.options["state"] == "present" and self.secret and self._returns_key():
            self.task.reveal(self.secret)
            result["key"] = self.secret
        return result


def _shown(record: Record | None) -> Record:
    return {field: record[field] for field in _SHOWN if field in record} if record else {}


def handle(task: Task) -> dict[str, t.Any]:
    """Return the result of the module."""
    options = task.options
    check_id(options["id"])
    if options["state"] == "present" and (options["id"] or options["prefix"]):
        raise BadInput(
            "id and prefix name a key to expire or delete; with state=present name the one to keep with path or key."
        )
    if options["state"] != "present" and not (options["id"] or options["prefix"] or options["path"] or options["key"]):
        raise BadInput(f"state={options['state']} needs id, prefix, path or key to know which preauthkey is meant.")
    key = PreAuthKey(task)
    handlers = {"present": key.present, "expired": key.expired, "absent": key.absent}
    return handlers[options["state"]]()


SPECIFICATION: dict[str, t.Any] = {
    "options": {
        "user": {"type": "str"},
        "tags": {"type": "list", "elements": "str", "default": []},
        "reusable": {"type": "bool", "default": False},
        "ephemeral": {"type": "bool", "default": False},
        "expiration": {"type": "str", "default": "24h"},
        "path": {"type": "path"},
        "key": {"type": "str", "no_log": True},
        "renew_before": {"type": "str", "default": "0s"},
        "id": {"type": "str"},
        "prefix": {"type": "str"},
        "return_key": {"type": "bool", "no_log": False},
        "state": {"type": "str", "choices": ["present", "expired", "absent"], "default": "present"},
    },
    "mutually_exclusive": [("path", "key", "id", "prefix")],
    "add_file_common_args": True,
}


def main() -> None:
    """Run the module."""
    run(handle, **SPECIFICATION)


if __name__ == "__main__":
    main()
