# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module: list preauthkeys."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: preauthkey_info
short_description: List Headscale preauthkeys
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Lists the preauthkeys of a Headscale server, without their secrets. Options that are set narrow the list.
extends_documentation_fragment:
  - meshctl.headscale._headscale
  - meshctl.headscale._attributes
  - meshctl.headscale._attributes.info
options:
  user:
    description: Only keys of the user of this name.
    type: str
  id:
    description: Only the key of this id.
    type: str
  prefix:
    description: Only the key of this prefix, with or without what Headscale shows around it.
    type: str
  usable:
    description: Only keys with which a machine can join now, or only keys with which it cannot.
    type: bool
seealso:
  - module: meshctl.headscale.preauthkey
"""

EXAMPLES = r"""
- name: List the keys with which machines of a user can join
  meshctl.headscale.preauthkey_info:
    url: https://headscale.example.com
    api_key_file: /var/lib/headscale/meshctl_api_key
    user: default
    usable: true
  register: keys
"""

RETURN = r"""
preauthkeys:
  description: The keys, by id. Empty when none matches.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The id.
      type: str
    key:
      description: The key with its secret part hidden.
      type: str
    prefix:
      description: The part of the key that tells it from others.
      type: str
    user:
      description: The user that the key belongs to, V(null) for a key that has tags alone.
      type: dict
    reusable:
      description: Whether more than one machine can join with it.
      type: bool
    ephemeral:
      description: Whether its nodes are deleted when they have been away for a while.
      type: bool
    used:
      description: Whether a machine has joined with it.
      type: bool
    acl_tags:
      description: The tags of its nodes.
      type: list
      elements: str
    expiration:
      description: When it expires, V(null) for never.
      type: str
    created_at:
      description: When it was minted.
      type: str
    expired:
      description: Whether RV(preauthkeys[].expiration) is over by the server's clock.
      type: bool
    usable:
      description: Whether a machine can join with it now.
      type: bool
  sample:
    - id: "1"
      key: hskey-auth-AAAAAAAAAAAA-***
      prefix: AAAAAAAAAAAA
      user: null
      reusable: true
      ephemeral: false
      used: false
      acl_tags: [tag:server]
      expiration: "2026-02-01T12:00:00Z"
      created_at: "2026-01-31T12:00:00.123456789Z"
      expired: false
      usable: true
"""

import typing as t

from ansible_collections.meshctl.headscale.plugins.module_utils._module import Task, check_id, run
from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import key_prefix

if t.TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import Record


def _matches(record: Record, options: dict[str, t.Any]) -> bool:
    owner = record["user"]["name"] if record["user"] else None
    return (
        options["user"] in (None, owner)
        and options["id"] in (None, record["id"])
        and (options["prefix"] is None or key_prefix(options["prefix"]) == record["prefix"])
        and options["usable"] in (None, record["usable"])
    )


def _handle(task: Task) -> dict[str, t.Any]:
    check_id(task.options["id"])
    keys = [record for record in task.api.list_preauthkeys() if _matches(record, task.options)]
    return {"changed": False, "preauthkeys": keys}


def main() -> None:
    """Run the module."""
    run(
        _handle,
        options={
            "user": {"type": "str"},
            "id": {"type": "str"},
            "prefix": {"type": "str"},
            "usable": {"type": "bool"},
        },
    )


if __name__ == "__main__":
    main()
