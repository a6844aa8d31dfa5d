# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module: keep the Headscale policy."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: policy
short_description: Keep the Headscale policy
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Sets the policy of a Headscale server that keeps it in its database (C(policy.mode) is V(database)).
  - Policies are compared by what they mean, not by how they are written, see O(compare).
  - In check mode the server checks the policy without keeping it.
extends_documentation_fragment:
  - meshctl.headscale._headscale
  - meshctl.headscale._attributes
  - meshctl.headscale._attributes.state
options:
  content:
    description:
      - The policy, as HuJSON text (JSON with comments and trailing commas) or as data.
      - One of O(content) and O(src) is required.
    type: raw
  src:
    description:
      - A HuJSON file on the host that the task runs on.
    type: path
  compare:
    description:
      - With V(semantic), a policy that differs from the server's in comments, layout or order of names is the same.
      - With V(text), it is not.
    type: str
    choices: [semantic, text]
    default: semantic
notes:
  - Headscale 0.29 accepts rules that name users who do not exist; they have no effect.
seealso:
  - module: meshctl.headscale.policy_info
"""

EXAMPLES = r"""
- name: Let every node reach every other node
  meshctl.headscale.policy:
    url: https://headscale.example.com
    api_key_file: /var/lib/headscale/meshctl_api_key
    content:
      acls:
        - action: accept
          src: ["*"]
          dst: ["*:*"]

- name: Set the policy from a file next to the playbook, with its comments
  meshctl.headscale.policy:
    content: "{{ lookup('ansible.builtin.file', 'policy.hujson') }}"
    compare: text
"""

RETURN = r"""
started_at:
  description: Seconds since 1970 at which the change was begun, by the controller's clock.
  returned: always
  type: float
  sample: 1767225600.5
policy:
  description: The policy's text, as the server holds it, or as it would in check mode.
  returned: success
  type: str
  sample: '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
updated_at:
  description: When the policy was set, V(null) in check mode.
  returned: success
  type: str
  sample: "2026-01-31T12:00:00.123456789Z"
"""

import json
import typing as t
from pathlib import Path

from ansible_collections.meshctl.headscale.plugins.module_utils import _hujson
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import ApiError, BadInput, WrongUrlError
from ansible_collections.meshctl.headscale.plugins.module_utils._module import Task, run

if t.TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import Record

_FILE_MODE = (
    "This server reads its policy from a file (policy.mode is 'file'), so the API cannot set it: change that file and "
    "reload headscale, or set policy.mode to 'database'."
)


def _wanted(options: dict[str, t.Any]) -> str:
    text = _read(options["src"]) if options["src"] else _text(options["content"])
    try:
        document = _hujson.parse(text)
    except ValueError as error:
        raise BadInput(f"The policy is not HuJSON: {error}.") from None
    if not isinstance(document, dict):
        raise BadInput("The policy is not a HuJSON object: it begins with '{'.")
    return text


def _text(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"src is {path!r}, which cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})."
        ) from None


def _set(task: Task, text: str) -> Record:
    try:
        return task.api.set_policy(text)
    except ApiError as error:
        if "update is disabled" in error.reason:
            raise BadInput(_FILE_MODE) from None
        raise


def _would_set(task: Task, text: str, before: Record | None) -> None:
    """Refuse in check mode what would be refused without."""
    if before and before["updated_at"] is None:
        raise BadInput(_FILE_MODE)
    try:
        task.api.check_policy(text)
    except WrongUrlError:
        task.module.warn(
            "This server cannot check a policy without setting it (Headscale before 0.29): it was not checked."
        )


def handle(task: Task) -> dict[str, t.Any]:
    """Return the result of the module."""
    text = _wanted(task.options)
    before = task.api.get_policy()
    old = before["policy"] if before else ""
    equal = _hujson.same(old, text) if task.options["compare"] == "semantic" else old == text
    if before and equal:
        return task.finish(before=old, after=old, **before)
    if task.module.check_mode:
        _would_set(task, text, before)
    after = task.write(lambda: _set(task, text)) or {"policy": text, "updated_at": None}
    return task.finish(before=old, after=after["policy"], **after)


SPECIFICATION: dict[str, t.Any] = {
    "options": {
        "content": {"type": "raw"},
        "src": {"type": "path"},
        "compare": {"type": "str", "choices": ["semantic", "text"], "default": "semantic"},
    },
    "required_one_of": [("content", "src")],
    "mutually_exclusive": [("content", "src")],
}


def main() -> None:
    """Run the module."""
    run(handle, **SPECIFICATION)


if __name__ == "__main__":
    main()
