# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hold what the control server answered, and what the clients saw."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ...module_utils import _hujson
from .._inventory.expect import Expectation
from .._judge.answer import Json, addresses, items, mapping, moment, text
from .._policy import Node, Policy
from . import urls
from .observed import Check, CheckContext, Iterator, Observed
from .view import ClientView

_LONGEST_CONFIG = 64 << 10

__all__ = [
    "Check",
    "CheckContext",
    "ClientView",
    "Iterator",
    "Record",
    "Server",
    "ServerContext",
    "given_name",
    "setting",
    "texts",
]

Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ServerContext:
    """What is known of the mesh before its server is examined."""

    url: str = ""
    clients: tuple[str, ...] = ()
    views: tuple[ClientView, ...] = ()
    warning_days: float = 7.0
    expect: Expectation = field(default_factory=Expectation)


class Server(Observed):
    """A control server, as its API and its configuration describe it."""

    def __init__(self, answer: Json, known: ServerContext) -> None:
        super().__init__(answer)
        self.known = known

    @cached_property
    def listed(self) -> bool:
        """Whether the API listed the nodes."""
        return bool(mapping(self.data("nodes")))

    @cached_property
    def nodes(self) -> list[Record]:
        """Return the nodes that the server lists."""
        return [mapping(node) for node in items(mapping(self.data("nodes")).get("nodes"))]

    @cached_property
    def users(self) -> list[Record]:
        """Return the users that the server lists."""
        return [mapping(user) for user in items(mapping(self.data("users")).get("users"))]

    @cached_property
    def keys(self) -> dict[str, int]:
        """Return how many preauthkeys there are in each state."""
        counts = {"usable": 0, "used": 0, "expired": 0}
        for key in items(mapping(self.data("preauthkeys")).get("preAuthKeys")):
            counts[_key_state(mapping(key), self.now)] += 1
        return counts

    @cached_property
    def policy(self) -> tuple[Policy | None, Json, str]:
        """Return the policy and its document, or why they cannot be read."""
        said = mapping(self.data("policy")).get("policy")
        if said is None and "policy not found" not in self.why("policy"):
            return None, None, self.why("policy")
        try:
            document = _hujson.parse(text(said)) if text(said).strip() else None
            return Policy.read(document), document, ""
        except ValueError as exc:
            return None, None, str(exc)

    @cached_property
    def config(self) -> tuple[Record | None, str]:
        """Return the server's configuration, or why it is not examined."""
        import yaml

        found = mapping(self.data("config"))
        if not found:
            return None, f"the server's configuration was not read: {self.why('config')}"
        path = text(found.get("path"))
        try:
            # A hostile host could send megabytes.
            config = yaml.safe_load(text(found.get("text"))[:_LONGEST_CONFIG])
        except (yaml.YAMLError, RecursionError) as exc:
            return None, f"{path} is not valid YAML: {' '.join(str(exc).split())}"
        if not isinstance(config, dict):
            return None, f"{path} has no settings"
        theirs = text(config.get("server_url"))
        if urls.normal(theirs) != urls.normal(self.known.url):
            return None, f"{path} on this host belongs to another server ({theirs})"
        return config, ""

    def view(self, node: Record) -> ClientView | None:
        """Return the view of the client that is a node, None if it was not examined."""
        return next((view for view in self.known.views if view.key and view.key == text(node.get("nodeKey"))), None)

    def members(self) -> list[Node]:
        """Return the clients as a policy names them."""
        return [_member(view.name, node) for node in self.nodes if (view := self.view(node))]


def given_name(node: Record) -> str:
    """Return the name of a node in the mesh."""
    return text(node.get("givenName")) or text(node.get("name"))


def texts(node: Record, key: str) -> list[str]:
    """Return a field of a node that is a list of texts."""
    return [text(entry) for entry in items(node.get(key))]


def setting(config: Record, path: str) -> Json:
    """Return a setting by its dotted name, None if it is not set."""
    found: Json = config
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _key_state(key: Record, now: float | None) -> str:
    expiry = moment(key.get("expiration"))
    if now is not None and expiry is not None and expiry <= now:
        return "expired"
    return "used" if key.get("used") is True and key.get("reusable") is not True else "usable"


def _member(name: str, node: Record) -> Node:
    user = mapping(node.get("user"))
    return Node.read(
        name,
        {
            "user": {"id": text(user.get("id")), "name": text(user.get("name")), "email": text(user.get("email"))},
            "tags": texts(node, "tags"),
            "ip_addresses": addresses(node.get("ipAddresses")),
        },
    )
