# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Inventory: the nodes of a running Headscale server."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: headscale
short_description: The nodes of a running Headscale server
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Asks a Headscale server what nodes it has, and makes a host of each.
  - The file must be named C(headscale.yml) or C(headscale.yaml), or end with C(.headscale.yml) or C(.headscale.yaml).
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: Marks the file as one for this plugin.
    type: str
    required: true
    choices: [meshctl.headscale.headscale]
  url:
    description:
      - Where Headscale is, as in its own C(server_url), for example V(https://headscale.example.com).
      - It may be a template.
    type: str
    required: true
    env:
      - name: HEADSCALE_URL
  api_key:
    description:
      - An API key, as C(headscale apikeys create) makes them. It may be a template, for example a lookup, or vaulted.
      - An O(api_key) or O(api_key_file) in the file is stronger than one in the environment.
    type: str
    env:
      - name: HEADSCALE_API_KEY
  api_key_file:
    description: A file which holds the API key and nothing else.
    type: str
    env:
      - name: HEADSCALE_API_KEY_FILE
  ca_path:
    description: A file of PEM certificates to trust instead of the system's.
    type: str
    env:
      - name: HEADSCALE_CA_PATH
  validate_certs:
    description: Whether the server's certificate must be trusted. V(false) is for trials only.
    type: bool
    default: true
    env:
      - name: HEADSCALE_VALIDATE_CERTS
  timeout:
    description: Seconds after which an answer is not waited for any longer.
    type: float
    default: 10.0
    env:
      - name: HEADSCALE_TIMEOUT
  use_proxy:
    description: Whether the proxy that the environment names is used.
    type: bool
    default: true
  name_from:
    description:
      - The source of the host's name. V(given_name) is the name in the mesh, which the server keeps unique.
      - V(hostname) is the name that the machine reports. A node that reports a name that is already taken, or that is no
        DNS name, gets its V(given_name).
      - A node never takes the name of a group, of a host from another inventory source, or a name that Ansible or the
        playbooks use, such as V(localhost), V(all), V(headscale) or V(clients). It becomes the host C(localhost-node) and so on.
      - A node without a usable name is left out, and a warning names it. Sources are read in order. Name this file so that
        it is read after the files with existing hosts.
    type: str
    choices: [given_name, hostname]
    default: given_name
  set_ansible_host:
    description: Whether to set C(ansible_host) to the node's first address in the mesh.
    type: bool
    default: true
  group:
    description: A group that all nodes are in.
    type: str
    default: headscale_nodes
  default_groups:
    description:
      - Whether hosts are put in groups C(user_NAME), C(tag_NAME) for each tag, C(online) or C(offline), C(expired), and
        C(os_NAME), in small letters, where O(tailscaled_socket) tells the operating system.
    type: bool
    default: true
  tailscaled_socket:
    description:
      - Where tailscaled of this machine listens. Headscale's API does not tell a node's operating system; tailscaled tells its own
        and that of every node that it is shown.
      - If no tailscaled listens there, or this machine is not a member of the mesh, the operating systems are unknown, and
        everything else stays the same. An empty value queries none.
    type: str
    default: /var/run/tailscale/tailscaled.sock
  where:
    description:
      - A Jinja conditional over the variables of a host. Nodes for which it is false are left out.
    type: str
notes:
  - A host has the variables C(headscale_id), C(headscale_name), C(headscale_given_name), C(headscale_user) (a name, or
    empty for tagged nodes), C(headscale_tags), C(headscale_ip_addresses), C(headscale_online), C(headscale_last_seen),
    C(headscale_expiry), C(headscale_expired), C(headscale_created_at), C(headscale_register_method),
    C(headscale_approved_routes), C(headscale_available_routes), C(headscale_subnet_routes), C(headscale_machine_key),
    C(headscale_node_key) and C(headscale_disco_key), as M(meshctl.headscale.node_info) describes them, and C(headscale_os), for
    example C(linux), empty where it is not known.
seealso:
  - module: meshctl.headscale.node_info
"""

EXAMPLES = r"""
# headscale.yml: everything in the environment (HEADSCALE_URL, HEADSCALE_API_KEY_FILE)
plugin: meshctl.headscale.headscale

---
# mesh.headscale.yml: online nodes as clients, reached by their names in the mesh; those that route have a group
plugin: meshctl.headscale.headscale
url: https://headscale.example.com
api_key_file: ~/.config/headscale_api_key
group: clients
# This machine is a member of the mesh, and its tailscaled knows who runs what.
where: headscale_online and headscale_os == 'linux'
compose:
  ansible_host: headscale_given_name ~ '.mesh.internal'
groups:
  routers: headscale_subnet_routes | length > 0
keyed_groups:
  - key: headscale_register_method
    prefix: joined_by
strict: true
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/headscale_inventory
cache_timeout: 300
"""

import os
import typing as t

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.display import Display
from ansible_collections.meshctl.headscale.plugins.module_utils._api import connect
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import HeadscaleError
from ansible_collections.meshctl.headscale.plugins.module_utils._home import expanded
from ansible_collections.meshctl.headscale.plugins.module_utils._nodes import host_address, host_name, owner
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.tailscaled import operating_systems

if t.TYPE_CHECKING:
    from ansible.inventory.data import InventoryData
    from ansible.parsing.dataloader import DataLoader
    from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import Json, Record

# Texts and not paths by type: of an empty variable in the environment, as AWX sets one, Ansible makes the working directory.
_FILES = ("api_key_file", "ca_path", "tailscaled_socket")
_CONNECTION = ("url", "api_key", "api_key_file", "ca_path", "validate_certs", "timeout", "use_proxy")
_SUFFIXES = ("headscale.yml", "headscale.yaml")
# The hosts of these groups receive the API key, or serve the whole mesh.
_TRUSTED = ("headscale", "relays")
_NAMED = 10


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """The nodes of a running Headscale server."""

    NAME = "meshctl.headscale.headscale"

    def verify_file(self, path: str) -> bool:
        """Whether the file is one for this plugin, by its name."""
        valid: bool = super().verify_file(path)  # type: ignore[no-untyped-call]
        return valid and path.endswith(_SUFFIXES)

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Put the nodes in the inventory."""
        super().parse(inventory, loader, path, cache)
        self._hosts = inventory
        self._read_config_data(path)
        try:
            nodes = self._nodes(self.get_cache_key(path), cache=cache)
            self._populate(nodes)
        except HeadscaleError as error:
            # Ansible would print the causes of its error as well, which quote what the server sent.
            raise AnsibleParserError(str(error)) from None

    def _nodes(self, key: str, *, cache: bool) -> list[Record]:
        """Return the nodes, from the cache where it may be used and holds them."""
        enabled = self.get_option("cache")
        if enabled and cache and key in self._cache:
            found: list[Record] = self._cache[key]
            return found
        nodes = self._ask()
        if enabled:
            self._cache[key] = nodes
        return nodes

    def _ask(self) -> list[Record]:
        options = {name: self._option(name) for name in _CONNECTION}
        nodes = connect(_stronger(options)).list_nodes()
        known = operating_systems(str(self._option("tailscaled_socket") or ""))
        return [{**node, "os": known.get(str(node["node_key"]), "")} for node in nodes]

    def _option(self, name: str) -> Json:
        value = self.get_option(name)
        value = self.templar.template(value) if isinstance(value, str) else value
        return str(expanded(os.path.expandvars(value))) if name in _FILES and value else value

    def _populate(self, nodes: list[Record]) -> None:
        group = self._hosts.add_group(self._sanitize_group_name(self.get_option("group")))
        # Hosts and groups of the sources that were read before, and the groups that the options of this one name.
        self._taken = {name.lower() for name in self._hosts.hosts}
        self._groups = {name.lower() for name in (*self._hosts.groups, *self.get_option("groups"))}
        left_out = []
        for node in nodes:
            variables = _variables(node, address=self.get_option("set_ansible_host"))
            if not self._wanted(variables):
                continue
            if (name := self._name(node)) is None:
                left_out.append(node)
                continue
            self._taken.add(name.lower())
            self._hosts.add_host(name, group)
            for key, value in variables.items():
                self._hosts.set_variable(name, key, value)
            if self.get_option("default_groups"):
                self._add_to_default_groups(name, node)
            self._construct(name, variables)
        if left_out:
            Display().warning(_left_out(left_out))

    def _wanted(self, variables: Record) -> bool:
        where = self.get_option("where")
        if not where:
            return True
        self.templar.available_variables = variables
        try:
            return bool(self.templar.evaluate_conditional(where))
        except Exception as error:  # whatever the template raised
            raise AnsibleParserError(f"where is {where!r}, which cannot be evaluated: {error}") from error

    def _name(self, node: Record) -> str | None:
        reported = [node["name"]] if self.get_option("name_from") == "hostname" else []
        names = (
            host_name(str(name), hosts=self._taken, groups=self._groups)
            for name in [*reported, node["given_name"]]
            if name
        )
        return next((name for name in names if name), None)

    def _add_to_default_groups(self, name: str, node: Record) -> None:
        groups = [f"tag_{tag.split(':', 1)[-1]}" for tag in node["tags"]]
        groups.append("online" if node["online"] else "offline")
        if user := owner(node):
            groups.append(f"user_{user}")
        if node["expired"]:
            groups.append("expired")
        # Cached data of an earlier version lacks it.
        if system := node.get("os"):
            groups.append(f"os_{system.lower()}")
        for group in groups:
            self._hosts.add_child(self._hosts.add_group(self._sanitize_group_name(group)), name)

    def _construct(self, name: str, variables: Record) -> None:
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)
        self._leave_reserved_groups(name)

    def _leave_reserved_groups(self, name: str) -> None:
        """Take a host out of the groups that get secrets, unless the options name them: keyed groups follow the node."""
        meant = {self.get_option("group"), *self.get_option("groups")}
        for group in self._hosts.hosts[name].get_groups():
            if group.name in _TRUSTED and group.name not in meant:
                group.remove_host(self._hosts.hosts[name])
                self._hosts.hosts[name].remove_group(group)
                Display().warning(
                    f"A keyed group would put the node {name} into the group {group.name}: it was left out."
                )


def _stronger(options: Record) -> Record:
    """Return the options with one key: what the environment says gives way to what the file says."""
    key, file = options["api_key"], options["api_key_file"]
    if key and file:
        from_environment = "api_key" if key == os.environ.get("HEADSCALE_API_KEY") else "api_key_file"
        return {**options, from_environment: None}
    return options


def _variables(node: Record, *, address: bool) -> Record:
    """Return the variables of a host."""
    shown = {name: value for name, value in node.items() if name != "pre_auth_key"}
    variables = {f"headscale_{name}": value for name, value in {**shown, "user": owner(node)}.items()}
    if address and (found := host_address(node["ip_addresses"])):
        variables["ansible_host"] = found
    return variables


def _left_out(nodes: list[Record]) -> str:
    """Return the warning about nodes without a host; repr makes foreign text visible."""
    named = ", ".join(f"{node['given_name'][:80]!r} (id {node['id']})" for node in nodes[:_NAMED])
    more = f" and {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else ""
    return (
        f"{len(nodes)} node(s) of the Headscale server are not in the inventory and will not be checked, as their names "
        f"are taken or no DNS names: {named}{more}. Rename them with meshctl.headscale.node."
    )
