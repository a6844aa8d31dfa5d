# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the checks of a task, which share story, assertion and source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from .answer import Json, addresses, items, mapping, text
from .check import Check
from .quoting import on_host
from .reason import is_late

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .check import Family, Verdict

_FAMILIES: Final[dict[int, Family]] = {4: "ipv4", 6: "ipv6"}


@dataclass(frozen=True, kw_only=True)
class CheckContext:
    """What all checks of a task share, and how to run a command on its host."""

    story: str
    assertion: str
    source: str
    shell: str = ""

    def check(  # noqa: PLR0913
        self,
        ok: bool | None,
        *,
        aspect: str = "",
        family: int | None = None,
        target: str | None = None,
        expected: Json,
        observed: Json,
        evidence: Mapping[str, Any] | None = None,
        hint: str = "",
        command: str = "",
    ) -> Check:
        """Return a check that passed, failed or could not be judged (`ok` is None)."""
        verdict: Verdict = "error" if ok is None else "passed" if ok else "failed"
        return Check(
            id=joined(self.story, self.assertion, aspect),
            story=self.story,
            assertion=self.assertion,
            aspect=aspect,
            family=_FAMILIES[family] if family else None,
            source=self.source,
            target=target,
            verdict=verdict,
            expected=expected,
            observed=observed,
            evidence=dict(evidence or {}),
            hint="" if ok else str(hint),
            late=None if ok else is_late(hint),
            reproduce=on_host(self.shell, command) if command else "",
        )

    def skipped(
        self,
        reason: str,
        *,
        aspect: str = "",
        family: int | None = None,
        target: str | None = None,
        expected: Json = None,
    ) -> Check:
        """Return a check that was skipped, with the reason."""
        check = self.check(
            None, aspect=aspect, family=family, target=target, expected=expected, observed=None, hint=reason
        )
        check.verdict = "skipped"
        return check


def joined(*parts: str) -> str:
    """Return the parts of a name, without empty ones, joined by dots."""
    return ".".join(filter(None, parts))


def first_address(known: Sequence[str]) -> str:
    """Return the one of a node's mesh addresses at which it is asked if one is enough, empty if there is none."""
    return next(iter(known), "")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A member of the mesh, as the control server knows it."""

    name: str
    id: str = ""
    key: str = ""
    given_name: str = ""
    addresses: tuple[str, ...] = ()
    without: tuple[int, ...] = ()
    """The families whose address the policy takes away: by `disable-ipv4`, IPv4."""

    @classmethod
    def read(cls, name: str, record: Json) -> Node:
        """Return a node from its record in `mesh_nodes`."""
        known = mapping(record)
        return cls(
            name=name,
            id=text(known.get("id")),
            key=text(known.get("key")),
            given_name=text(known.get("given_name")),
            addresses=tuple(addresses(known.get("addresses"))),
            without=tuple(family for family in items(known.get("without")) if isinstance(family, int)),
        )

    def seen_without(self, families: Sequence[int]) -> Node:
        """Return what the node is to one that has no address of these families."""
        kept = tuple(known for known in self.addresses if (6 if ":" in known else 4) not in families)
        return replace(self, addresses=kept, without=(*self.without, *families))

    def usable(self, families: Sequence[int]) -> tuple[int, ...]:
        """Return those of the families that the policy lets the node use."""
        return tuple(family for family in families if family not in self.without)

    @property
    def first_address(self) -> str:
        """Return the mesh address at which the node is asked if one is enough, empty if it has none."""
        return first_address(self.addresses)

    def address(self, family: int) -> str:
        """Return the node's mesh address of a family (4 or 6), empty if it has none."""
        return next((known for known in self.addresses if (":" in known) == (family == 6)), "")  # noqa: PLR2004
