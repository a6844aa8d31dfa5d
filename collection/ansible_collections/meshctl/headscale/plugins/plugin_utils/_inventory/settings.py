# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may stand in the inventory's variables, apart from the topology. Pure.

They are looked at before anything is built: what roles and assertions would find out minutes later, or never, is one
sentence here that names the variable, its value and the remedy.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from ...module_utils import _hujson
from ...module_utils._durations import parse_duration
from ...module_utils._errors import InputError
from .expect import ExpectError, read_expect
from .patience import MOST
from .topology import GROUPS, WAN, InventoryError, Machine, Topology, read_topology, shown

Hosts = Mapping[str, Mapping[str, Any]]

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_BOOLEANS: Final = ("true", "false", "yes", "no", "on", "off", "1", "0", "t", "f", "y", "n")
_HTTPS: Final = 443
_NETNS: Final = "meshctl.headscale.netns"
_LOCAL: Final = ("local", "ansible.builtin.local", "ansible.legacy.local")
_LONGEST_NAME: Final = 253
# What the module `user` takes: Headscale 0.29 creates users of any name, and refuses the name later.
_USER = re.compile(r"(?=[^@]*@?[^@]*$)[^\W\d_][\w.@-]+")
# What s6 and systemd take; it names files as well.
_SERVICE = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_.@-]{0,199}")
# So near to a variable's name is only a slip of the pen.
_ALIKE: Final = 0.9


@dataclass(frozen=True)
class _Rule:
    holds: Callable[[Any], bool]
    write: str
    hidden: bool = False
    """Whether a text that is wrong may be a secret that was put there by mistake."""


def _number(low: float, high: float = math.inf, *, write: str) -> _Rule:
    def holds(value: Any) -> bool:  # noqa: ANN401 - an inventory's data
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            return False
        return low <= found <= high and found < math.inf

    return _Rule(holds, write)


def _one_of(*words: str) -> _Rule:
    return _Rule(lambda value: value in words, f"one of {', '.join(words)}")


def _dns_name(value: Any) -> bool:  # noqa: ANN401
    return (
        isinstance(value, str)
        and len(value) <= _LONGEST_NAME
        and all(_LABEL.fullmatch(label) for label in value.removesuffix(".").split("."))
    )


def _list_of(holds: Callable[[Any], bool], *, write: str) -> _Rule:
    return _Rule(lambda value: isinstance(value, list) and all(holds(item) for item in value), f"a list, {write}")


def _duration(value: Any) -> bool:  # noqa: ANN401
    try:
        return parse_duration(str(value), option="").total_seconds() > 0
    except InputError:
        return False


def _policy(value: Any) -> bool:  # noqa: ANN401
    try:
        return isinstance(_hujson.parse(value) if isinstance(value, str) else value, dict)
    except ValueError:
        return False


def _is_text(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _path(write: str, *, home: bool = False, hidden: bool = False) -> _Rule:
    """Return the rule of an absolute path; `home` is one that may begin with ~."""
    form = re.compile(r"[/~][^\x00-\x1f]*" if home else r"/[^\x00-\x1f]*")
    return _Rule(lambda value: isinstance(value, str) and bool(form.fullmatch(value)), write, hidden)


def _is_url(value: Any) -> bool:  # noqa: ANN401
    return _parts(value) is not None


def _parts(value: Any) -> SplitResult | None:  # noqa: ANN401
    """Return a URL's parts when it is one that a server can be reached by."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        good = parts and parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if good and not re.search(r"\s", str(value)) else None


_BOOLEAN = _Rule(lambda value: str(value).lower() in _BOOLEANS, "true or false")
_ABOVE_ZERO = _number(math.ulp(0.0), write="a number above zero")
_TEXT = _Rule(lambda value: _is_text(value) and str(value).strip() != "", "a text")
_NAMES = _list_of(lambda name: isinstance(name, str) and name != "", write="as in [client-node-1]")

_RULES: Final[dict[str, _Rule]] = {
    "mesh_allow_disruptive": _BOOLEAN,
    "mesh_api_key_file": _path("the absolute path of the file that holds the API key", home=True, hidden=True),
    "mesh_artifacts": _BOOLEAN,
    "mesh_backend": _one_of("lab", "libvirt", "hosts"),
    "mesh_ca_path": _path("the path of a file with certificates, as in /etc/ssl/home-ca.pem", home=True),
    "mesh_canaries": _NAMES,
    "mesh_deadline_s": _number(0, write="a number of seconds"),
    "mesh_deploy": _BOOLEAN,
    "mesh_domain": _Rule(_dns_name, "a DNS name such as mesh.internal"),
    "mesh_expiry_warning_days": _number(0, write="a number of days"),
    "mesh_fail_late": _BOOLEAN,
    "mesh_isolated": _BOOLEAN,
    "mesh_keep_going": _BOOLEAN,
    "mesh_key_expiration": _Rule(_duration, "a duration such as 24h or 1h30m"),
    "mesh_latency_budget_ms": _ABOVE_ZERO,
    "mesh_libvirt": _Rule(lambda value: value is None or isinstance(value, dict), "a mapping, as in {image: debian}"),
    "mesh_loss_budget_percent": _number(0, 100, write="a number from 0 to 100"),
    "mesh_manage": _BOOLEAN,
    "mesh_node_name": _Rule(
        lambda value: isinstance(value, str) and bool(_LABEL.fullmatch(value)),
        "letters, digits and '-', at most 63, or leave it out",
    ),
    "mesh_outside_names": _list_of(_dns_name, write="of DNS names, as in [www.example.com]"),
    "mesh_path": _one_of("auto", "direct", "relay", "any"),
    "mesh_patience": _number(1, MOST, write=f"a number from 1 to {MOST}"),
    "mesh_policy": _Rule(_policy, "a policy of Headscale as a mapping or as HuJSON, as in {acls: [...]}"),
    "mesh_propagation_budget_s": _ABOVE_ZERO,
    "mesh_rejoin_budget_s": _ABOVE_ZERO,
    "mesh_release_url_headscale": _Rule(_is_url, "a URL such as https://mirror.example.com/headscale"),
    "mesh_release_url_tailscale": _Rule(_is_url, "a URL such as https://mirror.example.com/tailscale"),
    "mesh_resolution_budget_ms": _ABOVE_ZERO,
    "mesh_resolved_families": _list_of(lambda name: name in ("ipv4", "ipv6"), write="of ipv4, ipv6 or both"),
    "mesh_server_url": _Rule(_is_url, "a URL such as https://headscale.example.com"),
    "mesh_service_body": _Rule(_is_text, "a text"),
    "mesh_service_name": _Rule(
        lambda value: isinstance(value, str) and bool(_SERVICE.fullmatch(value)),
        "a service's plain name, of letters, digits and '_-.@', that does not begin with '.' or '-', or leave it out",
    ),
    "mesh_service_port": _number(1, 65535, write="a port from 1 to 65535"),
    "mesh_service_private": _BOOLEAN,
    "mesh_service_status": _number(100, 599, write="an HTTP status such as 200"),
    "mesh_tailscaled_socket": _path("an absolute path such as /var/run/tailscale/tailscaled.sock"),
    "mesh_user": _TEXT,
}
_NEED_HOSTS: Final = ("mesh_canary", "mesh_service_host", "mesh_canaries", "mesh_expect")

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

READ: Final = (*_RULES, *_NEED_HOSTS, "ansible_connection")
"""The variables that are looked at; none of them is a secret."""

KNOWN: Final = frozenset({
    *_RULES,
    *_NEED_HOSTS,
    "mesh_address",
    "mesh_api_key",
    "mesh_binaries",
    "mesh_headscale_version",
    "mesh_link",
    "mesh_names",
    "mesh_port",
    "mesh_publish",
    "mesh_service_address",
    "mesh_service_program",
    "mesh_service_user",
    "mesh_story",
    "mesh_story_info",
    "mesh_story_title",
    "mesh_subnet",
    "mesh_subnets",
    "mesh_tailscale_version",
    "mesh_wan",
})  # fmt: skip
"""Every variable of docs/reference/inventory.md whose name begins with `mesh_`."""

FACTS: Final = frozenset({
    "mesh_bad_checks",
    "mesh_binaries_found",
    "mesh_client",
    "mesh_nodes",
    "mesh_topology",
    "mesh_versions",
})  # fmt: skip
"""What playbooks set and an inventory has no business with."""


def check_settings(hosts: Hosts, groups: Mapping[str, Sequence[str]]) -> None:
    """Raise `InventoryError` for the first variable that cannot be meant; it names it, its value and the remedy."""
    members = [host for host in hosts if any(host in groups.get(group, ()) for group in GROUPS)]
    for host in members:
        for name, rule in _RULES.items():
            value = hosts[host].get(name)
            if name in hosts[host] and not rule.holds(value) and not _left_out(name, value):
                safe = "***" if rule.hidden and isinstance(value, str) and value else value
                raise InventoryError(f"{_where(name, host, hosts, members)} is {shown(safe)}: write {rule.write}")
    for host in members:
        _connection(host, hosts[host], relay=host in groups.get("relays", ()))
        _name_hosts(host, hosts[host], hosts, groups)
    if members:
        _server(hosts, groups)


def _left_out(name: str, value: object) -> bool:
    """Whether a variable that is there says nothing."""
    return name in ("mesh_ca_path", "mesh_policy", "mesh_server_url") and not value


def _where(name: str, host: str, hosts: Hosts, members: Sequence[str]) -> str:
    """Name the host as well where others have another value."""
    shared = all(hosts[other].get(name) == hosts[host].get(name) for other in members)
    return name if shared else f"host {host}: {name}"


def _connection(host: str, own: Mapping[str, Any], *, relay: bool) -> None:
    """Refuse a lab's machine that is reached by a way that leads elsewhere: to the very machine that the lab is on."""
    backend, given = own.get("mesh_backend", "hosts"), own.get("ansible_connection")
    if (backend == "lab" and given != _NETNS) or (backend == "libvirt" and given in (None, *_LOCAL)):
        wanted = _NETNS if backend == "lab" else "ansible.builtin.ssh"
        lab = own.get("lab_name", "seed")
        raise InventoryError(
            f"host {host}: ansible_connection is not set, and nothing leads into the lab '{lab}': write ansible_connection: {wanted}"
            if given is None
            else f"host {host}: ansible_connection is {shown(given)}, which does not lead into the lab '{lab}': write {wanted}"
        )
    # A lab is meant, and taken for hosts of the user's own.
    if "mesh_backend" not in own and given == _NETNS:
        raise InventoryError("mesh_backend is not set: write mesh_backend: lab")
    if "mesh_backend" not in own and relay and own.get("mesh_subnet") == WAN:
        raise InventoryError("mesh_backend is not set: write mesh_backend: lab, or libvirt for virtual machines")


def _name_hosts(host: str, own: Mapping[str, Any], hosts: Hosts, groups: Mapping[str, Sequence[str]]) -> None:
    members = list(hosts)
    for name in ("mesh_canary", "mesh_service_host"):
        if name in own and own[name] not in groups.get("clients", ()):
            where = _where(name, host, hosts, members)
            raise InventoryError(f"{where} is {shown(own[name])}: write one of {_some(groups.get('clients', ()))}")
    if unknown := [name for name in own.get("mesh_canaries", ()) if name not in hosts]:
        where = _where("mesh_canaries", host, hosts, members)
        raise InventoryError(
            f"{where} names {unknown[0]!r}, which is no host of the inventory: it has {_some(members)}"
        )
    try:
        read_expect(own.get("mesh_expect"), groups)
    except ExpectError as exc:
        raise InventoryError(str(exc)) from None


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing: the group is empty") + more


def _server(hosts: Hosts, groups: Mapping[str, Sequence[str]]) -> None:
    """Refuse a server's URL that meshctl, where it is to deploy the server, could not keep."""
    host = next((name for name in groups.get("headscale", ()) if name in hosts), None)
    if host is None or not _true(hosts[host].get("mesh_manage", False)):
        return
    own = hosts[host]
    _managed(own)
    url = own.get("mesh_server_url")
    if not url:
        raise InventoryError(
            "mesh_server_url is missing: write what the clients reach the server by, as in https://headscale.lab.test"
        )
    parts = _parts(url)
    if parts is None:  # its rule has looked at it
        return
    name, domain = str(parts.hostname).lower(), str(own.get("mesh_domain", "mesh.internal")).lower().strip(".")
    if name == domain or name.endswith(f".{domain}"):
        raise InventoryError(
            f"mesh_domain is {domain!r}, which the server's name {name} is in: nobody would reach the server; "
            "write another domain for the mesh"
        )
    if own.get("mesh_backend", "hosts") != "hosts":
        # First, for what is looked at here has its form from there.
        topology = read_topology(hosts=hosts, groups=groups)
        for relay in groups.get("relays", ()):
            if relay in hosts and not hosts[relay].get("mesh_names"):
                raise InventoryError(
                    f"host {relay} has no mesh_names: write what the clients relay through, as in [relay.lab.test]"
                )
        _server_of_lab(topology, topology.machines[host], url=url, name=name, parts=parts)


def _managed(own: Mapping[str, Any]) -> None:
    """Refuse what a server of the user's own may have, and one that meshctl deploys may not."""
    user = str(own.get("mesh_user", "default"))
    if not _USER.fullmatch(user):
        raise InventoryError(
            f"mesh_user is {user!r}: write a letter and then letters, digits or '-._', and at most one '@'"
        )
    domain = str(own.get("mesh_domain", ""))
    # tailscaled compares questions, in lower case and without the last dot, with the domain as it stands.
    if domain != domain.lower():
        raise InventoryError(f"mesh_domain is {domain!r}: write it in lower case: {domain.lower().rstrip('.')}")
    if domain.endswith("."):
        raise InventoryError(f"mesh_domain is {domain!r}: write it without the dot at its end: {domain.rstrip('.')}")
    if policy := own.get("mesh_policy"):
        _check_policy(_hujson.parse(policy) if isinstance(policy, str) else policy)


def _check_policy(policy: Mapping[str, Any]) -> None:
    """Refuse keys that Headscale does not know; it reads those that it knows in any case."""
    known = {name.lower(): name for name in _POLICY}
    for key, value in policy.items():
        name = known.get(re.sub("[_-]", "", key).lower())
        if name is None:
            near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.7)
            meant = f"did you mean {known[near[0]]}?" if near else f"Headscale knows {', '.join(_POLICY)}"
            raise InventoryError(f"mesh_policy: unknown key {key!r}; {meant}")
        kind, write = _POLICY[name]
        if value is not None and not isinstance(value, kind):
            raise InventoryError(f"mesh_policy: {key} is {shown(value)}: write {write}")


def _server_of_lab(topology: Topology, server: Machine, *, url: str, name: str, parts: SplitResult) -> None:
    names = server.names
    if parts.scheme != "https" or parts.path.strip("/"):
        raise InventoryError(
            f"mesh_server_url is {url!r}: a lab's server speaks HTTPS, without a path; write https://{parts.netloc}"
        )
    if name not in names:
        raise InventoryError(
            f"mesh_server_url is {url!r}, and {server.name} has no such name: write one of its mesh_names "
            f"({_some(names) if names else 'it has none'}), or add {name} to them"
        )
    subnet = topology.subnets.get(server.subnet)
    port = parts.port or _HTTPS
    published = {entry.port for entry in server.publish if entry.proto == "tcp"}
    if subnet and subnet.nat != "none" and port not in published:
        raise InventoryError(
            f"mesh_server_url is {url!r}, and the router of {server.name} forwards no tcp port {port}: nobody would reach the "
            f"server; add {{port: {port}}} to its mesh_publish"
        )


def _true(value: object) -> bool:
    return str(value).lower() in _BOOLEANS[::2]


def slips(hosts: Hosts) -> Iterator[str]:
    """Yield a sentence for each variable that nothing reads and that is called almost like one that something does."""
    named = dict.fromkeys(name for own in hosts.values() for name in own if name.startswith("mesh_"))
    for name in named:
        if name not in KNOWN | FACTS and (near := difflib.get_close_matches(name, KNOWN, n=1, cutoff=_ALIKE)):
            yield f"the inventory has {name}, which nothing reads: did you mean {near[0]}?"
