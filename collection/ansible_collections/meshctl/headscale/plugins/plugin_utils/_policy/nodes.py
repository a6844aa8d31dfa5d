# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes and users as a policy names them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from .addresses import Address, AddressSet

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXIT_ROUTES = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True)
class User:
    """A user of the server."""

    name: str
    email: str = ""
    provider: str = ""
    """The identifier at the identity provider."""
    number: str = ""
    """The server's id."""

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> User:
        """Return a user from its record of the API client."""
        return cls(*(str(record.get(key) or "") for key in ("name", "email", "provider_id", "id")))

    def is_same(self, other: User | None) -> bool:
        """Whether both are one user. A node's record keeps the user's former name until the server restarts."""
        if other is not None and self.number and other.number:
            return self.number == other.number
        return self == other


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node with everything that a policy can name it by."""

    name: str
    user: User | None = None
    """The owner; a tagged node has none."""
    tags: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    """Routes that the node advertises and the server approved."""

    @classmethod
    def read(cls, name: str, record: Mapping[str, Any]) -> Node:
        """Return a node from its record of the API client."""
        user, tags = record.get("user") or {}, tuple(record.get("tags") or ())
        approved = record.get("approved_routes") or ()
        return cls(
            name=name,
            user=User.read(user) if user and not tags else None,
            tags=tags,
            addresses=tuple(record.get("ip_addresses") or ()),
            routes=tuple(route for route in record.get("available_routes") or () if route in approved),
        )

    @cached_property
    def ips(self) -> tuple[Address, ...]:
        """Return the addresses in the mesh."""
        return tuple(ip_address(text) for text in self.addresses)

    @cached_property
    def owned(self) -> AddressSet:
        """Return the addresses in the mesh as a set."""
        return AddressSet.of(*self.addresses)

    @cached_property
    def subnets(self) -> tuple[AddressSet, ...]:
        """Return the subnets behind the node."""
        return tuple(AddressSet.of(route) for route in self.routes if route not in _EXIT_ROUTES)

    @cached_property
    def is_exit(self) -> bool:
        """Whether the node is an exit node."""
        return any(route in _EXIT_ROUTES for route in self.routes)

    def address(self, family: str) -> Address | None:
        """Return the address of a family, `ipv4` or `ipv6`."""
        return next((ip for ip in self.ips if f"ipv{ip.version}" == family), None)
