# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module: get the Headscale policy."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: policy_info
short_description: Get the Headscale policy
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Gets the policy of a Headscale server, as text and as data.
extends_documentation_fragment:
  - meshctl.headscale._headscale
  - meshctl.headscale._attributes
  - meshctl.headscale._attributes.info
seealso:
  - module: meshctl.headscale.policy
"""

EXAMPLES = r"""
- name: Get the policy
  meshctl.headscale.policy_info:
    url: https://headscale.example.com
    api_key_file: /var/lib/headscale/meshctl_api_key
  register: current

- name: Show its groups
  ansible.builtin.debug:
    msg: "{{ current.document.groups | default({}) }}"
"""

RETURN = r"""
policy:
  description: The policy's text with its comments. V(null) when no policy is set.
  returned: success
  type: str
  sample: '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
document:
  description: The policy as data. V(null) when no policy is set, or when it is not HuJSON.
  returned: success
  type: dict
  sample:
    acls:
      - action: accept
        src: ["*"]
        dst: ["*:*"]
updated_at:
  description: When the policy was set. V(null) when the server reads it from a file, or when no policy is set.
  returned: success
  type: str
  sample: "2026-01-31T12:00:00.123456789Z"
policy_mode:
  description: Where the server keeps the policy, V(database) or V(file).
  returned: success
  type: str
  sample: database
"""

import typing as t

from ansible_collections.meshctl.headscale.plugins.module_utils import _hujson
from ansible_collections.meshctl.headscale.plugins.module_utils._module import Task, run


def _document(text: str) -> _hujson.Document:
    try:
        return _hujson.parse(text)
    except ValueError:
        return None


def handle(task: Task) -> dict[str, t.Any]:
    """Return the result of the module."""
    found = task.api.get_policy()
    if found is None:
        return {"changed": False, "policy": None, "document": None, "updated_at": None, "policy_mode": "database"}
    mode = "database" if found["updated_at"] else "file"
    return {"changed": False, **found, "document": _document(found["policy"]), "policy_mode": mode}


SPECIFICATION: dict[str, t.Any] = {"options": {}}


def main() -> None:
    """Run the module."""
    run(handle, **SPECIFICATION)


if __name__ == "__main__":
    main()
