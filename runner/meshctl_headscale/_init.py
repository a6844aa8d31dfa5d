# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An inventory of own hosts, written from what a running Headscale knows."""

from __future__ import annotations

import getpass
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from meshctl_headscale._exit import BadInputError, MeshctlError
from meshctl_headscale._project import load_collection_path

_STDOUT = "-"
# The groups that the playbooks speak of.
_GROUPS = ("clients", "headscale", "offline", "relays", "spare")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the server is, and where its key comes from."""

    url: str
    api_key_file: Path | None = None
    ca_file: Path | None = None

    def api_key(self) -> tuple[str, str]:
        """Return the API key, and what the inventory says of where it is; it is never an argument."""
        load_collection_path()
        from ansible_collections.meshctl.headscale.plugins.module_utils import _api, _errors

        given = {"api_key_file": str(self.api_key_file) if self.api_key_file else None}
        try:
            key: str = _api.find_api_key(given)
        except _errors.BadInput as error:
            if self.api_key_file or _in_environment() or not sys.stdin.isatty():
                raise BadInputError(str(error).replace("api_key or api_key_file", "--api-key-file")) from None
            return _asked(self.url), "HEADSCALE_API_KEY"
        path = self.api_key_file or _file_in_environment()
        return key, str(path.expanduser().absolute()) if path else "HEADSCALE_API_KEY"


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
    """Say before anything is asked that the file is there already."""
    path = Path(output).expanduser()
    if output == _STDOUT or force:
        return
    if path.exists():
        raise BadInputError(f"{path} exists. Name another file with --output, or replace it with --force.")


def write(text: str, output: str) -> None:
    """Write the inventory; `-` is stdout."""
    if output == _STDOUT:
        sys.stdout.write(text)
        return
    path = Path(output).expanduser()
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"{path} cannot be written: {error.strerror}. Name another file with --output.") from None


def compose(source: Source, *, expect: bool) -> str:
    """Ask the server and return the inventory."""
    key, place = source.api_key()
    from ansible_collections.meshctl.headscale.plugins.module_utils import _api, _errors

    try:
        server = _api.HeadscaleAPI(url=source.url, api_key=key, ca_path=str(source.ca_file) if source.ca_file else None)
        nodes = server.list_nodes()
        policy = server.get_policy() if expect else None
    except _errors.BadInput as error:
        raise BadInputError(str(error)) from None
    except _errors.HeadscaleError as error:
        raise MeshctlError(str(error)) from None
    if not nodes:
        raise MeshctlError(f"{source.url} has no node: there is nothing to write an inventory of.")
    expected, problem = _expected(nodes, policy) if expect else ([], "")
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
    notes = [
        f"Written by `meshctl init` from what {source.url} knew. Yours to correct:",
        (
            "- ansible_host is each node's address in the mesh; another one is needed where this machine is no "
            "member of it,"
        ),
        "  and for nodes that may be disturbed. ansible_user, ansible_become and the rest are as for any SSH host.",
        "- The server is asked by URL and API key alone; give it an ansible_host and remove ansible_connection to have",
        "  its configuration read as well.",
        "- Nothing is installed or changed, unless mesh_manage or mesh_allow_disruptive says so.",
    ]
    notes += (
        ["- The API key comes from HEADSCALE_API_KEY or HEADSCALE_API_KEY_FILE in the environment."]
        if from_environment
        else []
    )
    notes += ["- mesh_expect is what the policy says of who reaches whom."] if expected else []
    notes += [f"- mesh_expect could not be proposed: {problem}"] if problem else []
    dumped: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return "---\n" + "".join(f"# {note}\n" for note in notes) + dumped


def _groups(source: Source, nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the groups: the server, the nodes that are there, those that are not, and who they belong to."""
    here = [node for node in nodes if node["online"] and not node["expired"]]
    gone = [node for node in nodes if node not in here]
    server = urlsplit(source.url).hostname or ""
    if not server or server in ("localhost", "127.0.0.1") or ":" in server:
        # This machine has a name of its own in every inventory, and an address of IPv6 is none.
        server = "headscale-api"
    taken = {_name(node) for node in nodes}
    groups: dict[str, Any] = {
        "headscale": {"hosts": {f"{server}-server" if server in taken else server: {"ansible_connection": "local"}}},
        "clients": {"hosts": {_name(node): _variables(node) for node in here}},
    }
    if gone:
        groups["offline"] = {"hosts": {_name(node): _variables(node) for node in gone}}
    owners: dict[str, list[str]] = {}
    for node in here:
        for owner in _owners(node):
            owners.setdefault(owner, []).append(_name(node))
    for owner, names in sorted(owners.items()):
        if len(owners) > 1:
            groups[owner] = {"hosts": dict.fromkeys(names)}
    return groups


def _name(node: Mapping[str, Any]) -> str:
    """Return the node's name in the inventory, which is no group's."""
    from ansible_collections.meshctl.headscale.plugins.module_utils import _nodes

    name: str = _nodes.host_name(str(node["given_name"] or node["name"]), taken=_GROUPS)
    return name


def _variables(node: Mapping[str, Any]) -> dict[str, Any]:
    named = str(node["given_name"] or node["name"])
    variables = {"mesh_node_name": named} if _name(node) != named else {}
    return {**variables, **({"ansible_host": node["ip_addresses"][0]} if node["ip_addresses"] else {})}


def _owners(node: Mapping[str, Any]) -> list[str]:
    """Return the groups of a node's user or tags, named as the inventory plugin names them."""
    if node["tags"]:
        return [_group(f"tag_{tag.split(':', 1)[-1]}") for tag in node["tags"]]
    return [_group(f"user_{node['user']['name']}")] if node["user"] else []


def _group(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _expected(nodes: Sequence[Mapping[str, Any]], policy: Mapping[str, Any] | None) -> tuple[list[dict[str, Any]], str]:
    """Return `mesh_expect` as the policy has it, or why it cannot be told."""
    from ansible_collections.meshctl.headscale.plugins.module_utils import _hujson
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory import expect
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory import policy as policies

    members = [policies.Member.read(_name(node), node) for node in nodes if node["online"] and not node["expired"]]
    try:
        text = str(policy["policy"]) if policy else ""
        rules = policies.Policy.read(_hujson.parse(text) if text.strip() else None)
        pairs = policies.forbidden(rules, members)
    except ValueError as error:
        return [], str(error)
    return expect.propose(pairs, [member.name for member in members]), ""
