# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check the inventory's variables, apart from the topology, before anything is built.

Each error is one sentence that names the variable, its value and the remedy. `variables.yml` declares what a single
variable may be; the rules here compare several of them. Pure.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import SplitResult

from ...module_utils import _hujson
from ...module_utils._errors import BadInput
from .expect import read_expect
from .places import Machine, Topology
from .resolved import Settings
from .routes import check_targets, read_exit_nodes, read_routes
from .topology import GROUPS, WAN, read_topology
from .variables import PREFIX, Variable, declared, known_names, shown, url_parts

Hosts = Mapping[str, Mapping[str, Any]]

_HTTPS: Final = 443
_NETNS: Final = "meshctl.headscale.netns"
_LOCAL: Final = ("local", "ansible.builtin.local", "ansible.legacy.local")
# The module `user` accepts the same names: Headscale 0.29 creates users with any name, and refuses the name later.
_USER = re.compile(r"(?=[^@]*@?[^@]*$)[^\W\d_][\w.@-]+")
# Similarity above which a name counts as a typo.
_ALIKE: Final = 0.9
_NEED_HOSTS: Final = (
    "mesh_canary",
    "mesh_service_host",
    "mesh_canaries",
    "mesh_expect",
    "mesh_routes",
    "mesh_exit_nodes",
)

_LIST: Final = (list, "a list")
_MAPPING: Final = (dict, "a mapping")
# The keys of Headscale 0.29's policy.
_POLICY: Final[dict[str, tuple[type, str]]] = {
    "groups": _MAPPING,
    "hosts": _MAPPING,
    "tagOwners": _MAPPING,
    "acls": _LIST,
    "grants": _LIST,
    "nodeAttrs": _LIST,
    "autoApprovers": _MAPPING,
    "ssh": _LIST,
    "tests": _LIST,
    "sshTests": _LIST,
    "randomizeClientPort": (bool, "true or false"),
}


def checked_names() -> tuple[str, ...]:
    """Return the variables that `check_settings` needs; none of them is a secret."""
    schemas = (variable.name for variable in declared().values() if variable.schema)
    return (*schemas, *_NEED_HOSTS, "ansible_connection")


def check_settings(hosts: Hosts, groups: Mapping[str, Sequence[str]]) -> None:
    """Raise `BadInput` for the first variable whose value is wrong."""
    members = [host for host in hosts if any(host in groups.get(group, ()) for group in GROUPS)]
    for host in members:
        for variable in declared().values():
            if variable.schema and variable.name in hosts[host]:
                _check_value(variable, host, hosts, members)
    for host in members:
        _check_connection(host, hosts[host], relay=host in groups.get("relays", ()))
        _check_socket(hosts[host])
        _check_named_hosts(host, hosts[host], hosts, groups)
    if members:
        _check_server(hosts, groups)


def _check_value(variable: Variable, host: str, hosts: Hosts, members: Sequence[str]) -> None:
    try:
        variable.read(hosts[host][variable.name])
    except BadInput as exc:
        raise BadInput(f"{_prefix(variable.name, host, hosts, members)}{exc}") from None


def _prefix(name: str, host: str, hosts: Hosts, members: Sequence[str]) -> str:
    """Return the words that name the host, if other hosts have other values."""
    shared = all(hosts[other].get(name) == hosts[host].get(name) for other in members)
    return "" if shared else f"host {host}: "


def _check_connection(host: str, own: Mapping[str, Any], *, relay: bool) -> None:
    """Refuse a connection that does not lead into the lab: it would lead to the machine that runs the lab."""
    backend, given = own.get("mesh_backend", declared()["mesh_backend"].default), own.get("ansible_connection")
    if (backend == "lab" and given != _NETNS) or (backend == "libvirt" and given in (None, *_LOCAL)):
        wanted = _NETNS if backend == "lab" else "ansible.builtin.ssh"
        lab = own.get("lab_name", declared()["lab_name"].default)
        raise BadInput(
            f"host {host}: ansible_connection is not set, and nothing connects to the lab '{lab}': write ansible_connection: {wanted}"
            if given is None
            else f"host {host}: ansible_connection is {shown(given)}, which does not connect to the lab '{lab}': write {wanted}"
        )
    # Without a backend, the lab's machines would be taken for existing hosts.
    if "mesh_backend" not in own and given == _NETNS:
        raise BadInput("mesh_backend is not set: write mesh_backend: lab")
    if "mesh_backend" not in own and relay and own.get("mesh_subnet") == WAN:
        raise BadInput("mesh_backend is not set: write mesh_backend: lab, or libvirt for virtual machines")


def _check_socket(own: Mapping[str, Any]) -> None:
    """Refuse a place of tailscaled's socket in a lab, where faults and stories expect the usual one."""
    name = "mesh_tailscaled_socket"
    if name in own and own.get("mesh_backend", declared()["mesh_backend"].default) != "hosts":
        raise BadInput(f"{name} is {shown(own[name])}, and a lab's tailscaled listens at the usual place: remove it")


def _check_named_hosts(host: str, own: Mapping[str, Any], hosts: Hosts, groups: Mapping[str, Sequence[str]]) -> None:
    members = list(hosts)
    for name in ("mesh_canary", "mesh_service_host"):
        if name in own and own[name] not in groups.get("clients", ()):
            prefix = _prefix(name, host, hosts, members)
            raise BadInput(f"{prefix}{name} is {shown(own[name])}: write one of {_some(groups.get('clients', ()))}")
    if unknown := [name for name in own.get("mesh_canaries", ()) if name not in hosts]:
        prefix = _prefix("mesh_canaries", host, hosts, members)
        raise BadInput(
            f"{prefix}mesh_canaries names {unknown[0]!r}, which is not a host of the inventory: it has {_some(members)}"
        )
    read_expect(own.get("mesh_expect"), groups)
    read_exit_nodes(own.get("mesh_exit_nodes"), groups)
    stated = {
        name: [str(other[key]) for key in ("mesh_address", "mesh_address6") if other.get(key)]
        for name, other in hosts.items()
    }
    check_targets(read_routes(own.get("mesh_routes"), groups), stated)


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing: the group is empty") + more


def _check_server(hosts: Hosts, groups: Mapping[str, Sequence[str]]) -> None:
    """Refuse the URL of a server that meshctl deploys if the clients could not reach the server by it."""
    host = next((name for name in groups.get("headscale", ()) if name in hosts), None)
    if host is None or not declared()["mesh_manage"].read(hosts[host].get("mesh_manage", False)):
        return
    own = hosts[host]
    _check_managed(own)
    url = own.get("mesh_server_url")
    if not url:
        raise BadInput(
            "mesh_server_url is missing: write the URL at which clients reach the server, as in https://headscale.lab.test"
        )
    parts = url_parts(url)
    if parts is None:  # its schema has been checked
        return
    name = str(parts.hostname).lower()
    domain = str(own.get("mesh_domain", declared()["mesh_domain"].default)).lower().strip(".")
    if name == domain or name.endswith(f".{domain}"):
        raise BadInput(
            f"mesh_domain is {domain!r}, and contains the server's name {name}: clients would not reach the server; "
            "write another domain for the mesh"
        )
    if own.get("mesh_backend", "hosts") != "hosts":
        _check_lab(host, hosts, groups, url=url, name=name, parts=parts)


def _check_managed(own: Mapping[str, Any]) -> None:
    """Refuse names and policies that an existing server may have, but not one that meshctl deploys."""
    user = str(own.get("mesh_user", "default"))
    if not _USER.fullmatch(user):
        raise BadInput(f"mesh_user is {user!r}: write a letter and then letters, digits or '-._', and at most one '@'")
    domain = str(own.get("mesh_domain", ""))
    # tailscaled compares names, in lower case and without the last dot, with the domain as it is written.
    if domain != domain.lower():
        raise BadInput(f"mesh_domain is {domain!r}: write it in lower case: {domain.lower().rstrip('.')}")
    if domain.endswith("."):
        raise BadInput(f"mesh_domain is {domain!r}: write it without the dot at the end: {domain.rstrip('.')}")
    _check_probes(own)
    database = own.get("mesh_database", {})
    if database.get("type") == "postgres" and "host" not in database and own.get("mesh_backend", "hosts") != "lab":
        raise BadInput(
            f"mesh_database is {shown(database)}, and has no host: only the embedded lab brings its own PostgreSQL; add the host, "
            "which is 127.0.0.1 for one on the server itself"
        )
    if policy := own.get("mesh_policy"):
        _check_policy(_hujson.parse(policy) if isinstance(policy, str) else policy)


def _check_probes(own: Mapping[str, Any]) -> None:
    """Refuse what Headscale refuses to start with: a probe of a router must end before the next one."""
    known = Settings(own.get)
    interval, timeout = known["router_probe_interval_s"], known["router_probe_timeout_s"]
    if timeout >= interval:
        raise BadInput(
            f"mesh_router_probe_timeout_s is {timeout:g}, and mesh_router_probe_interval_s is {interval:g}: write a timeout that is "
            "shorter than the interval"
        )


def _check_policy(policy: Mapping[str, Any]) -> None:
    """Refuse keys that Headscale does not know; Headscale ignores the case of those that it knows."""
    known = {name.lower(): name for name in _POLICY}
    for key, value in policy.items():
        name = known.get(re.sub("[_-]", "", key).lower())
        if name is None:
            near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.7)
            meant = f"did you mean {known[near[0]]}?" if near else f"Headscale knows {', '.join(_POLICY)}"
            raise BadInput(f"mesh_policy: unknown key {key!r}; {meant}")
        kind, write = _POLICY[name]
        if value is not None and not isinstance(value, kind):
            raise BadInput(f"mesh_policy: {key} is {shown(value)}: write {write}")


def _check_lab(  # noqa: PLR0913 - the parts of one URL
    host: str, hosts: Hosts, groups: Mapping[str, Sequence[str]], *, url: str, name: str, parts: SplitResult
) -> None:
    # The topology first: its values have not been checked yet.
    topology = read_topology(hosts=hosts, groups=groups)
    for relay in groups.get("relays", ()):
        if relay in hosts and not hosts[relay].get("mesh_names"):
            raise BadInput(f"host {relay} has no mesh_names: write the relay's DNS name, as in [relay.lab.test]")
    _check_server_of_lab(topology, topology.machines[host], url=url, name=name, parts=parts)


def _check_server_of_lab(topology: Topology, server: Machine, *, url: str, name: str, parts: SplitResult) -> None:
    names = server.names
    if parts.scheme != "https" or parts.path.strip("/"):
        raise BadInput(
            f"mesh_server_url is {url!r}: a lab's server uses HTTPS, without a path; write https://{parts.netloc}"
        )
    if name not in names:
        raise BadInput(
            f"mesh_server_url is {url!r}, and {server.name} has no such name: write one of its mesh_names "
            f"({_some(names) if names else 'it has none'}), or add {name} to them"
        )
    subnet = topology.subnets.get(server.subnet)
    port = parts.port or _HTTPS
    published = {entry.port for entry in server.publish if entry.proto == "tcp"}
    if subnet and subnet.nat != "none" and port not in published:
        raise BadInput(
            f"mesh_server_url is {url!r}, and the router of {server.name} does not forward tcp port {port}: clients would not "
            f"reach the server; add {{port: {port}}} to its mesh_publish"
        )


def slips(hosts: Hosts) -> Iterator[str]:
    """Yield a sentence for each unknown variable whose name is almost the name of a known one."""
    known = known_names()
    named = dict.fromkeys(name for own in hosts.values() for name in own if name.startswith(PREFIX))
    for name in named:
        if name not in known and (near := difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)):
            yield f"the inventory sets {name}, which meshctl does not use: did you mean {near[0]}?"
