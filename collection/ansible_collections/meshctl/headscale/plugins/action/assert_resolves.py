# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert what names lead to; see the module of the same name."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ..plugin_utils._action.assertion import Assertion
from ..plugin_utils._action.names import gives_aaaa, name_of, own_resolver
from ..plugin_utils._action.options import COMMON, FAMILIES, MEMBERS, families, unpacked, wanted
from ..plugin_utils._action.peers import seen
from ..plugin_utils._action.probing import Request
from ..plugin_utils._expectations.view import mesh_domain
from ..plugin_utils._judge.answer import Json, address, items, mapping
from ..plugin_utils._judge.names import HOSTS, NSSWITCH
from ..plugin_utils._judge.observations import (
    ADDRESSES,
    DNS,
    DNS_TCP,
    FILES,
    GETADDRINFO,
    LOOKUPS,
    OUTSIDE,
    RESOLV_CONF,
    RESOLVER,
    STATUS,
    STEPS,
)
from ..plugin_utils._judge.resolves import Names, judge_resolves, wire_marker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..plugin_utils._judge.check import Check


_CAPTURE: Final[Request] = {"id": LOOKUPS, "kind": "capture"}
_MADE: Final = (ADDRESSES, DNS, DNS_TCP, FILES, GETADDRINFO, LOOKUPS, OUTSIDE, RESOLV_CONF)
_LOOKUP_S: Final = 3.5


class ActionModule(Assertion):
    """Ask the system's resolver and tailscaled's, and capture which server the system's resolver asks."""

    ASSERTION = "resolves"
    DEADLINE_S = 30.0
    LOOK_S = 12.0
    SHORTEST_LOOK_S = 9.0
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {
        **COMMON,
        **MEMBERS,
        "domain": {"type": "str"},
        "families": FAMILIES,
        "absent": {"type": "list", "elements": "str", "default": []},
        "outside": {"type": "list", "elements": "str"},
        "budget_ms": {"type": "float"},
        "wire": {"type": "bool", "default": True},
    }

    def prepare(self) -> None:
        """Work out which names must resolve to which addresses."""
        self._peers = seen(self, self.peers())
        domain = self.options.get("domain") or mesh_domain(self)
        asked = families(self.setting("resolved_families", self.options.get("families")))
        # Such a client gives no AAAA records; IPv6 can be left out only if IPv4 remains to be asked for.
        self._too_old = {4, 6} <= set(asked) and not gives_aaaa(self)
        asked = (4,) if self._too_old else asked
        self._expect = Names(
            # Where IPv4 is taken away, every client gives AAAA records.
            present=tuple(name_of(peer, domain, peer.usable(asked) or (6,)) for peer in self._peers),
            absent=tuple(self.options["absent"]),
            outside=tuple(self.setting("outside_names", self.options.get("outside"))),
            led=self._led(),
            budget_ms=self.setting("resolution_budget_ms", self.options.get("budget_ms")),
            wire=self.options["wire"],
            resolver=own_resolver(self),
        )

    def _led(self) -> dict[str, str]:
        """Return the public address of each name that the inventory gives a host outside the mesh."""
        places = [mapping(place) for place in self.topology().values()]
        return {
            str(name): known
            for place in places
            if (known := address(place.get("public_address")))
            for name in items(place.get("names"))
        }

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Look the names up, one kind after another: each is timed and captured separately."""
        nodes = {peer.name for peer in wanted(self._peers, pending)} or {peer.name for peer in self._peers}
        present = [name for name in self._expect.present if name.node in nodes]
        queries = [{"name": name.fqdn, "type": kind} for name in present for kind in ("A", "AAAA")]
        queries += [{"name": known, "type": "PTR"} for name in present for known in name.addresses]
        queries += [{"name": name, "type": "A"} for name in self._expect.absent]
        steps: list[Request] = [
            {"id": RESOLV_CONF, "kind": "resolv_conf"},
            {"id": FILES, "kind": "files", "paths": [HOSTS, NSSWITCH]},
            {"id": ADDRESSES, "kind": "addresses"},
            {"id": DNS, "kind": "dns", "server": self._expect.resolver, "queries": queries},
            {
                "id": DNS_TCP,
                "kind": "dns",
                "server": self._expect.resolver,
                "tcp": True,
                "queries": [{"name": name.fqdn, "type": name.kind} for name in present],
            },
        ]
        # Each kind gets a part of the time: a resolver that hangs must not take that of the others.
        lookups: Request = {
            "timeout_s": _LOOKUP_S * self.patience,
            "id": GETADDRINFO,
            "kind": "getaddrinfo",
            "names": [asked for name in present for asked in (name.fqdn, name.short)],
        }
        if self._expect.wire:
            marker = wire_marker(present[0].fqdn)
            # A name that is new each time cannot be in a cache. The final dot keeps it out of the search domain.
            unknown = f"meshctl-{token_hex(8)}.{present[0].fqdn.partition('.')[2]}."
            lookups["names"].append(unknown)
            captured = {**lookups, "timeout_s": _LOOKUP_S * self.patience - 0.5}
            fresh = unknown.partition(".")[0]
            capture = {**_CAPTURE, "marker": marker, "fresh": fresh, "during": [captured]}
            steps.append({**capture, "timeout_s": _LOOKUP_S * self.patience})
            lookups = {**lookups, "names": [], "timeout_s": lookups["timeout_s"] + 1}
        backwards = [known for name in present for known in name.addresses]
        lookups = {**lookups, "names": [*lookups["names"], *backwards, *self._expect.absent]}
        steps += [
            # A slow resolver takes long here: it looks absent names up in the search domain as well.
            lookups,
            # Last: if the upstream resolver is dead, these take all the time that is left.
            {"id": OUTSIDE, "kind": "getaddrinfo", "names": list(self._expect.outside)},
        ]
        return [{"id": STEPS, "kind": "sequence", "steps": steps}]

    def judge(self, answer: Json) -> list[Check]:
        """Judge the answers."""
        return judge_resolves(unpacked(answer, STEPS, _MADE), self.context, self._expect)

    def follow_up(self, checks: Sequence[Check]) -> list[Check]:
        """Add a skipped check for each family that this client cannot resolve."""
        if not self._too_old:
            return list(checks)
        reason = "clients older than 1.84 give no AAAA records of their peers: only IPv4 addresses were looked up"
        return [*checks, self.context.skipped(reason, aspect="ipv6", family=6)]

    def diagnose(self, failing: frozenset[str | None]) -> list[Request]:
        """Ask the client for its status, and the system's first name server directly."""
        name = self._expect.present[0]
        queries = [{"name": name.fqdn, "type": name.kind}]
        return [{"id": STATUS, "kind": "status"}, {"id": RESOLVER, "kind": "dns", "queries": queries}]
