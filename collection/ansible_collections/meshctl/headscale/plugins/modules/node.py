# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module: keep a Headscale node."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: node
short_description: Keep a Headscale node
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Renames, tags, expires and deletes nodes of a Headscale server, and approves their routes.
  - A node is created when a machine joins; this module creates none.
extends_documentation_fragment:
  - meshctl.headscale._headscale
  - meshctl.headscale._attributes
  - meshctl.headscale._attributes.state
options:
  id:
    description: The node's id.
    type: str
  name:
    description:
      - The node's name in the mesh (C(given_name)), which is its label in MagicDNS.
    type: str
  hostname:
    description:
      - The hostname that the machine reported. Several nodes can have the same, see O(user).
    type: str
  node_key:
    description:
      - The node's public key, with or without C(nodekey:) before it.
    type: str
  user:
    description:
      - Only a node that belongs to the user of this name is meant.
    type: str
  new_name:
    description:
      - The name that the node should have in the mesh.
      - A node that was named by O(name) and has been renamed already is recognised by its new name.
    type: str
  tags:
    description:
      - The tags that the node should have, all of them. The policy must name each in C(tagOwners).
      - A tagged node no longer belongs to a user. Headscale offers no way back, so an empty list is an error for a
        tagged node.
    type: list
    elements: str
  approved_routes:
    description:
      - The routes that the node may serve, all of them, for example V(192.168.1.0/24). An empty list approves none.
      - V(0.0.0.0/0) and V(::/0) make an exit node, and imply each other.
    type: list
    elements: str
  expiry:
    description:
      - When the node has to log in again, as an RFC 3339 time such as V(2030-01-31T12:00:00Z), or V(never).
    type: str
  state:
    description:
      - V(present) makes sure that the node exists and has the properties that are set.
      - V(expired) makes the node log in again before it can use the mesh.
      - V(absent) deletes the node.
    type: str
    choices: [present, expired, absent]
    default: present
seealso:
  - module: meshctl.headscale.node_info
"""

EXAMPLES = r"""
- name: Name a node, tag it, and let it route its network
  meshctl.headscale.node:
    url: https://headscale.example.com
    api_key_file: /var/lib/headscale/meshctl_api_key
    hostname: debian
    user: default
    new_name: gateway
    tags: [tag:router]
    approved_routes: [192.168.1.0/24]

- name: Make a node log in again
  meshctl.headscale.node:
    name: laptop
    state: expired

- name: Delete a node
  meshctl.headscale.node:
    id: "7"
    state: absent
"""

RETURN = r"""
started_at:
  description: Seconds since 1970 at which the change was begun, by the controller's clock.
  returned: always
  type: float
  sample: 1767225600.5
node:
  description: The node as it is now, or as it would be in check mode. V(null) when there is none.
  returned: success
  type: dict
  sample:
    id: "1"
    name: debian
    given_name: gateway
    user:
      id: "1"
      name: default
      display_name: ""
      email: ""
      provider: ""
      provider_id: ""
      profile_pic_url: ""
      created_at: "2026-01-31T12:00:00.123456789Z"
    tags: []
    ip_addresses: [100.64.0.1, "fd7a:115c:a1e0::1"]
    online: true
    last_seen: "2026-01-31T12:00:00.123456789Z"
    expiry: null
    expired: false
    created_at: "2026-01-31T12:00:00.123456789Z"
    register_method: auth_key
    approved_routes: [192.168.1.0/24]
    available_routes: [192.168.1.0/24]
    subnet_routes: [192.168.1.0/24]
    machine_key: mkey:0000000000000000000000000000000000000000000000000000000000000001
    node_key: nodekey:0000000000000000000000000000000000000000000000000000000000000001
    disco_key: discokey:0000000000000000000000000000000000000000000000000000000000000001
    pre_auth_key: null
"""

import ipaddress
import re
import typing as t

from ansible_collections.meshctl.headscale.plugins.module_utils import _nodes
from ansible_collections.meshctl.headscale.plugins.module_utils._durations import format_moment, parse_moment
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.module_utils._module import Task, check_id, check_tags, run

if t.TYPE_CHECKING:
    from datetime import datetime

    from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import Record

_EXIT = ("0.0.0.0/0", "::/0")
# The fields that this module can change, and that a diff shows.
_SHOWN = ("id", "given_name", "tags", "approved_routes", "expiry", "expired")


class Node:
    """The node that the options describe."""

    def __init__(self, task: Task) -> None:
        """Look the node up."""
        self.task = task
        self.options = task.options
        self.wanted = {option: self.options[option] for option in (*_nodes.SELECTORS, "user")}
        self.all = task.api.list_nodes()
        self.before = self._find()
        self.now = self.before
        self.written = False

    def _find(self) -> Record | None:
        found = _nodes.the_one(self.all, self.wanted)
        if found is None and self.options["name"] and self.options["new_name"]:
            return _nodes.the_one(self.all, {**self.wanted, "name": self.options["new_name"]})
        return found

    def present(self) -> dict[str, t.Any]:
        """Bring what is set to what it should be."""
        node = self._must_exist()
        rename, tag = self._rename(node), self._tag(node)
        routes, expiry = self._routes(node), self._expiry(node)
        # Everything was looked at before anything is written.  Tags come before routes: they decide over approval.
        for step in (rename, tag, routes, expiry):
            if step:
                self._apply(*step)
        return self._finish()

    def expired(self) -> dict[str, t.Any]:
        """Make the node log in again."""
        node = self._must_exist()
        if not node["expired"]:
            now = format_moment(self.task.api.now())
            self._apply(lambda: self.task.api.expire_node(node["id"]), {"expired": True, "expiry": now})
        return self._finish()

    def absent(self) -> dict[str, t.Any]:
        """Delete the node."""
        if self.before:
            node_id = self.before["id"]
            self.task.write(lambda: self.task.api.delete_node(node_id))
            self.now = None
        return self._finish()

    def _must_exist(self) -> Record:
        if self.before is None:
            names = ", ".join(node["given_name"] for node in self.all[:20]) or "none"
            raise BadInput(
                f"No node has {_nodes.describe(self.wanted)} (there are: {names}): "
                "a node exists once its machine has joined."
            )
        return self.before

    def _apply(self, call: t.Callable[[], Record], promised: Record) -> None:
        answer = self.task.write(call)
        self.now = answer or {**(self.now or {}), **promised}
        self.written = self.written or answer is not None

    def _finish(self) -> dict[str, t.Any]:
        if self.written and self.now:
            # Headscale's answers to changes lack some or all subnet routes, and name the former user of a tagged node.
            self.now = _nodes.the_one(self.task.api.list_nodes(), {"id": self.now["id"]})
        return self.task.finish(before=_shown(self.before), after=_shown(self.now), node=self.now)

    def _rename(self, node: Record) -> tuple[t.Callable[[], Record], Record] | None:
        name = self.options["new_name"]
        if name is None or name == node["given_name"]:
            return None
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
            raise BadInput(
                f"new_name is {name!r}: a node's name is a DNS label (lower case letters, digits and '-', 63 at most)."
            )
        for other in self.all:
            if other["given_name"] == name:
                raise BadInput(
                    f"Node {node['given_name']!r} cannot be renamed to {name!r}: node {other['id']} has this name."
                )
        return lambda: self.task.api.rename_node(node["id"], name), {"given_name": name}

    def _tag(self, node: Record) -> tuple[t.Callable[[], Record], Record] | None:
        tags = self.options["tags"]
        check_tags(tags)
        if tags is None or set(tags) == set(node["tags"]):
            return None
        if not tags:
            raise BadInput(
                f"Node {node['given_name']!r} is tagged, and Headscale has no way back: "
                "it must keep a tag, or be deleted."
            )
        return lambda: self.task.api.tag_node(node["id"], tags), {"tags": sorted(set(tags))}

    def _routes(self, node: Record) -> tuple[t.Callable[[], Record], Record] | None:
        if self.options["approved_routes"] is None:
            return None
        routes = _networks(self.options["approved_routes"])
        if set(routes) == set(node["approved_routes"]):
            return None
        return lambda: self.task.api.approve_routes(node["id"], routes), {"approved_routes": routes}

    def _expiry(self, node: Record) -> tuple[t.Callable[[], Record], Record] | None:
        text = self.options["expiry"]
        if text is None:
            return None
        if text == "never":
            forever: Record = {"expiry": None, "expired": False}
            return (lambda: self.task.api.never_expire_node(node["id"]), forever) if node["expiry"] else None
        moment = _moment(text)
        if node["expiry"] and abs((parse_moment(node["expiry"]) - moment).total_seconds()) < 1:
            return None
        promised: Record = {"expiry": format_moment(moment), "expired": moment <= self.task.api.now()}
        return lambda: self.task.api.expire_node(node["id"], at=moment), promised


def _shown(node: Record | None) -> Record:
    return {field: node[field] for field in _SHOWN} if node else {}


def _moment(text: str) -> datetime:
    try:
        return parse_moment(text)
    except ValueError:
        raise BadInput(
            f"expiry is {text!r}: it must be 'never' or an RFC 3339 time such as 2030-01-31T12:00:00Z."
        ) from None


def _networks(texts: list[str]) -> list[str]:
    networks = [_network(text) for text in texts]
    if any(network in _EXIT for network in networks):
        networks += _EXIT
    return sorted(set(networks))


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise BadInput(
            f"approved_routes contains {text!r}, which is not a network such as 192.168.1.0/24 ({error})."
        ) from None


def handle(task: Task) -> dict[str, t.Any]:
    """Return the result of the module."""
    check_id(task.options["id"])
    node = Node(task)
    handlers = {"present": node.present, "expired": node.expired, "absent": node.absent}
    return handlers[task.options["state"]]()


SPECIFICATION: dict[str, t.Any] = {
    "options": {
        "id": {"type": "str"},
        "name": {"type": "str"},
        "hostname": {"type": "str"},
        # Public keys; no_log is stated since their names look secret.
        "node_key": {"type": "str", "no_log": False},
        "user": {"type": "str"},
        "new_name": {"type": "str"},
        "tags": {"type": "list", "elements": "str"},
        "approved_routes": {"type": "list", "elements": "str"},
        "expiry": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "expired", "absent"], "default": "present"},
    },
    "required_one_of": [("id", "name", "hostname", "node_key")],
    "mutually_exclusive": [("id", "name", "hostname", "node_key")],
}


def main() -> None:
    """Run the module."""
    run(handle, **SPECIFICATION)


if __name__ == "__main__":
    main()
