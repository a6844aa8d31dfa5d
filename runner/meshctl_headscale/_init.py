# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write an inventory of existing hosts from the nodes of a running Headscale server.

Ansible reads the file as code. Of the server's texts only parsed addresses and names of a safe form enter it.
"""

from __future__ import annotations

import getpass
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from meshctl_headscale import _collection, _inputs
from meshctl_headscale._exit import BadInputError, MeshctlError, sentence

_STDOUT = "-"
_LONGEST_NOTE = 300
# Pairs of nodes times names in the policy, or what costs as much of a policy without any: some seconds.
_MOST_WORK, _LEAST_NAMES = 6_000_000, 3


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the server is, and where its key comes from."""

    url: str
    api_key_file: Path | None = None
    ca_file: Path | None = None

    def api_key(self) -> tuple[str, str]:
        """Return the API key, and what the inventory says of where it is; it is never an argument."""
        given = {"api_key_file": str(self.api_key_file) if self.api_key_file else None}
        try:
            key: str = _collection.api.find_api_key(given)
        except _collection.errors.BadInput as error:
            if self.api_key_file or _in_environment() or not sys.stdin.isatty():
                raise BadInputError(sentence(str(error).replace("api_key or api_key_file", "--api-key-file"))) from None
            return _asked(self.url), "HEADSCALE_API_KEY"
        path = self.api_key_file or _file_in_environment()
        return key, str(_collection.home.expanded(path).absolute()) if path else "HEADSCALE_API_KEY"


def _in_environment() -> bool:
    return bool(os.environ.get("HEADSCALE_API_KEY") or os.environ.get("HEADSCALE_API_KEY_FILE"))


def _file_in_environment() -> Path | None:
    """Return the file that the environment names, where it is what decides."""
    path = os.environ.get("HEADSCALE_API_KEY_FILE")
    return Path(path) if path and not os.environ.get("HEADSCALE_API_KEY") else None


def _asked(url: str) -> str:
    key = getpass.getpass(f"API key of {url}: ").strip()
    if not key:
        raise BadInputError("No API key was given. `headscale apikeys create` on the server makes one.")
    return key


def refuse_to_overwrite(output: str, *, force: bool) -> None:
    """Refuse an existing file before anything is asked."""
    path = _collection.home.expanded(output)
    if output == _STDOUT:
        return
    if path.is_symlink():
        raise BadInputError(f"--output is {path}, which is a link: name another file.")
    _inputs.check_new_file(path, "--output")
    if path.exists() and not force:
        raise BadInputError(f"{path} exists. Name another file with --output, or replace it with --force.")


def write(text: str, output: str, *, force: bool = False) -> None:
    """Write the inventory; `-` is stdout, and `force` replaces a file."""
    if output == _STDOUT:
        sys.stdout.write(text)
        return
    path = _collection.home.expanded(output)
    try:
        if force and path.exists():
            # Another name of the same file keeps its content.
            with _inputs.replacing(path, mode=path.stat().st_mode & 0o044 | 0o600) as replaced:
                replaced.write(text.encode())
            return
        # An inventory can run code: follow no link, and let no umask make the file writable for others.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BadInputError(
            f"{path} cannot be written: {error.strerror}. Specify another file with --output."
        ) from None


def compose(source: Source, *, expect: bool) -> str:
    """Ask the server and return the inventory."""
    key, place = source.api_key()
    ca_path = str(source.ca_file) if source.ca_file else None
    server = _collection.api.HeadscaleAPI(url=source.url, api_key=key, ca_path=ca_path)
    nodes = server.list_nodes()
    policy, users = (server.get_policy(), server.list_users()) if expect else (None, [])
    if not nodes:
        raise MeshctlError(f"{source.url} has no nodes, so there is nothing to write.")
    expected, problem = _expected(nodes, policy, users) if expect else ([], "")
    return inventory(source, place, nodes, expected=expected, problem=problem)


def inventory(
    source: Source,
    place: str,
    nodes: Sequence[Mapping[str, Any]],
    *,
    expected: Sequence[Mapping[str, Any]] = (),
    problem: str = "",
) -> str:
    """Return the inventory of these nodes as text."""
    import yaml

    variables: dict[str, Any] = {"mesh_backend": "hosts", "mesh_server_url": source.url.rstrip("/")}
    from_environment = place == "HEADSCALE_API_KEY"
    variables |= {} if from_environment else {"mesh_api_key_file": place}
    variables |= {"mesh_ca_path": str(source.ca_file.absolute())} if source.ca_file else {}
    variables |= {"mesh_expect": [dict(entry) for entry in expected]} if expected else {}
    document = {"all": {"vars": variables, "children": _groups(source, nodes)}}
    named = {id(node) for _name, node in _named(nodes)}
    left_out = [f"{node['given_name']!r} (id {node['id']})" for node in nodes if id(node) not in named]
    notes = [
        f"Written by `meshctl init` from what {source.url} knew. Yours to correct:",
        (
            "- ansible_host is each node's address in the mesh. Change it if this machine is not a member of the mesh, and"
        ),
        "  for nodes that may be disturbed. ansible_user, ansible_become and the rest are as for any SSH host.",
        "- The server is queried by URL and API key alone. To have its configuration read as well, give it an ansible_host",
        "  and remove ansible_connection.",
        "- Nothing is installed or changed, unless mesh_manage or mesh_allow_disruptive says so.",
        *(
            ["- The API key comes from HEADSCALE_API_KEY or HEADSCALE_API_KEY_FILE in the environment."]
            if from_environment
            else []
        ),
        *(
            ["- mesh_expect states which hosts the policy lets reach each other, and on which ports."]
            if expected
            else []
        ),
        *([f"- mesh_expect could not be proposed: {problem}"] if problem else []),
        *([f"- Left out, as their names are taken or no DNS names: {', '.join(left_out)}"] if left_out else []),
    ]
    dumped: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=False, width=120)
    return "---\n" + "".join(f"# {_one_line(note)}\n" for note in notes) + dumped


def _one_line(text: str) -> str:
    """Return a text that cannot leave a comment: on one line, without invisible characters, and not endless."""
    shown = "".join(char if char.isprintable() else "?" for char in text)
    return shown if len(shown) <= _LONGEST_NOTE else shown[: _LONGEST_NOTE - 1] + "…"


def _groups(source: Source, nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the groups: the server, the nodes that are online, the others, and one for each owner."""
    named = _named(nodes)
    here = [(name, node) for name, node in named if _is_online(node)]
    gone = [(name, node) for name, node in named if not _is_online(node)]
    groups: dict[str, Any] = {
        "headscale": {
            "hosts": {_server_name(source, {name for name, _node in named}): {"ansible_connection": "local"}}
        },
        "clients": {"hosts": {name: _variables(name, node) for name, node in here}},
    }
    if gone:
        groups["offline"] = {"hosts": {name: _variables(name, node) for name, node in gone}}
    owners: dict[str, list[str]] = {}
    for name, node in here:
        for owner in _owners(node):
            owners.setdefault(owner, []).append(name)
    for owner, names in sorted(owners.items()):
        if len(owners) > 1:
            groups[owner] = {"hosts": dict.fromkeys(names)}
    return groups


def _server_name(source: Source, taken: set[str]) -> str:
    """Return a name for the server that is no node's; no node is ever called headscale-api."""
    server = urlsplit(source.url).hostname or ""
    # localhost has a meaning in every inventory, and an IPv6 address is no name.
    usable = server and server not in ("localhost", "127.0.0.1") and ":" not in server
    candidates = (server, f"{server}-server") if usable else ()
    return next((name for name in candidates if name not in taken), "headscale-api")


def _is_online(node: Mapping[str, Any]) -> bool:
    return bool(node["online"] and not node["expired"])


def _named(nodes: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return each node with its name in the inventory, without nodes that have none."""
    taken: set[str] = set()

    def pairs() -> Iterator[tuple[str, Mapping[str, Any]]]:
        for node in nodes:
            name = _collection.nodes.host_name(str(node["given_name"] or node["name"]), hosts=taken)
            if name is not None:
                taken.add(name.lower())
                yield name, node

    return list(pairs())


def _variables(name: str, node: Mapping[str, Any]) -> dict[str, Any]:
    called = str(node["given_name"] or node["name"])
    address = _collection.nodes.host_address(node["ip_addresses"])
    return {**({"mesh_node_name": called} if name != called else {}), **({"ansible_host": address} if address else {})}


def _owners(node: Mapping[str, Any]) -> list[str]:
    """Return the groups of a node's user or tags, named as the inventory plugin names them."""
    if node["tags"]:
        return [_group(f"tag_{tag.split(':', 1)[-1]}") for tag in node["tags"]]
    return [_group(f"user_{node['user']['name']}")] if node["user"] else []


def _group(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _expected(
    nodes: Sequence[Mapping[str, Any]], policy: Mapping[str, Any] | None, users: Sequence[Mapping[str, Any]] = ()
) -> tuple[list[dict[str, Any]], str]:
    """Return `mesh_expect` as the policy has it, or why it cannot be proposed."""
    policies = _collection.policy
    try:
        members = [policies.Node.read(name, node) for name, node in _named(nodes) if _is_online(node)]
        text = str(policy["policy"]) if policy else ""
        rules = policies.Policy.read(_collection.hujson.parse(text) if text.strip() else None)
        if len(members) ** 2 * (rules.size + _LEAST_NAMES) > _MOST_WORK:
            return [], f"the policy names {rules.size} parties, too many for {len(members)} nodes"
        evaluation = policies.Evaluation(rules, members, map(policies.User.read, users))
        forbidden = evaluation.forbidden()
        ports = evaluation.restricted()
    except ValueError as error:
        return [], str(error)
    return _collection.expect.propose(forbidden, [member.name for member in members], ports), ""
