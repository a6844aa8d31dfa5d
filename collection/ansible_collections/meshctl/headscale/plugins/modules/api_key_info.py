# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module: list Headscale API keys."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: api_key_info
short_description: List Headscale API keys
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Lists the API keys of a Headscale server, without their secrets. Options that are set narrow the list.
extends_documentation_fragment:
  - meshctl.headscale._headscale
  - meshctl.headscale._attributes
  - meshctl.headscale._attributes.info
options:
  id:
    description: Only the key of this id.
    type: str
  prefix:
    description: Only the key of this prefix, with or without what Headscale shows around it.
    type: str
  expired:
    description: Only keys that have expired, or only keys that have not.
    type: bool
seealso:
  - module: meshctl.headscale.api_key
"""

EXAMPLES = r"""
- name: List the keys that are accepted
  meshctl.headscale.api_key_info:
    url: https://headscale.example.com
    api_key_file: /var/lib/headscale/meshctl_api_key
    expired: false
  register: keys
"""

RETURN = r"""
api_keys:
  description: The keys, by id. Empty when none matches.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The id.
      type: str
    prefix:
      description: The part of the key that tells it from others.
      type: str
    expiration:
      description: When it expires, V(null) for never.
      type: str
    created_at:
      description: When it was made.
      type: str
    last_seen:
      description: When it was last used, where the server keeps this.
      type: str
    expired:
      description: Whether RV(api_keys[].expiration) is over by the server's clock.
      type: bool
  sample:
    - id: "1"
      prefix: AAAAAAAAAAAA
      expiration: "2026-05-01T12:00:00Z"
      created_at: "2026-01-31T12:00:00.123456789Z"
      last_seen: null
      expired: false
"""

import typing as t

from ansible_collections.meshctl.headscale.plugins.module_utils._module import Task, check_id, run
from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import key_prefix

if t.TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import Record


def _matches(record: Record, options: dict[str, t.Any]) -> bool:
    return (
        options["id"] in (None, record["id"])
        and (options["prefix"] is None or key_prefix(options["prefix"]) == record["prefix"])
        and options["expired"] in (None, record["expired"])
    )


def _handle(task: Task) -> dict[str, t.Any]:
    check_id(task.options["id"])
    return {
        "changed": False,
        "api_keys": [record for record in task.api.list_api_keys() if _matches(record, task.options)],
    }


def main() -> None:
    """Run the module."""
    run(_handle, options={"id": {"type": "str"}, "prefix": {"type": "str"}, "expired": {"type": "bool"}})


if __name__ == "__main__":
    main()
