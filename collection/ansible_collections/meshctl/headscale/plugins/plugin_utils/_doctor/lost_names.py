# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Say why names outside the mesh do not resolve through tailscaled, from what it answered when it was asked through its socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .._judge.answer import addresses, mapping, text
from .._judge.quoting import quoted
from . import urls
from .observed import Client

# What DNS answers have as their code (RFC 1035).
_CODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
NOERROR, SERVFAIL = "NOERROR", "SERVFAIL"
SILENT, UNSEEN, OURS = "silent", "unseen", "ours"
"""No answer in time, no observation, and NXDOMAIN from tailscaled itself."""
_GLOBAL, _SPLIT = "dns.nameservers.global", "dns.nameservers.split"


def answer_of(client: Client, name: str) -> str:
    """Return what tailscaled answered for a name: a code of DNS, or one of the words above."""
    asked = mapping(client.data("own_dns"))
    row = mapping(asked.get(name))
    if row.get("answered") is False or (name in asked and asked[name] is None):
        return SILENT
    code = row.get("rcode")
    if row.get("answered") is not True or not isinstance(code, int):
        return UNSEEN
    said = _CODES[code] if 0 <= code < len(_CODES) else f"the code {code}"
    return OURS if said == "NXDOMAIN" and _is_ours(client, _domain(client, name)) else said


def _domain(client: Client, name: str) -> str:
    """Return the longest domain that contains a name and is not resolved as all others are, empty if there is none."""
    own = [client.domain] if client.domain and not client.magic_dns_off else []
    return max((domain for domain in (*client.dns_routes, *own) if urls.within(name, domain)), key=len, default="")


def _is_ours(client: Client, domain: str) -> bool:
    """Whether tailscaled asks no resolver for a domain."""
    return bool(domain) and not client.dns_routes.get(domain)


@dataclass(frozen=True, kw_only=True)
class LostNames:
    """Names that do not resolve, with the same answer and the same resolvers."""

    client: Client
    names: Sequence[str]
    answer: str
    domain: str
    """The domain that has separate resolvers; empty if the resolvers are those of all other names."""

    @classmethod
    def grouped(cls, client: Client, names: Sequence[str]) -> list[LostNames]:
        """Return the names in groups."""
        groups: dict[tuple[str, str], list[str]] = {}
        for name in names:
            groups.setdefault((answer_of(client, name), _domain(client, name)), []).append(name)
        return [cls(client=client, names=group, answer=key[0], domain=key[1]) for key, group in groups.items()]

    def hint(self) -> str:
        """Return why they do not resolve, and the remedy."""
        return f"{', '.join(self.names)} {'does' if len(self.names) == 1 else 'do'} not resolve{self._why()}"

    def _why(self) -> str:
        if self.answer == NOERROR:
            return (
                f" for programs on this host, although tailscaled resolves {'it' if len(self.names) == 1 else 'them'}: their lookup does not "
                "get to tailscaled in time; see the hosts line of /etc/nsswitch.conf, and a cache such as nscd or systemd-resolved"
            )
        if self.answer == OURS:
            return f": tailscaled itself answers NXDOMAIN for what the mesh does not have below {self.domain}, and asks no other resolver"
        if self.answer == "NXDOMAIN":
            remedy = (
                f"correct {self._setting}"
                if self.domain
                else f"name resolvers that know its domain in {_SPLIT} on the server"
            )
            return f": the answer through tailscaled is NXDOMAIN, so {self._resolvers} know no such name; correct the name, or {remedy}"
        if self.answer not in (SERVFAIL, SILENT, UNSEEN):
            return (
                f": the answer through tailscaled is {self.answer}, which {self._resolvers} gave; let them answer this host, or correct "
                f"{self._setting}"
            )
        return self._inside_the_mesh() or self._unanswered()

    def _inside_the_mesh(self) -> str:
        """Return that a resolver is a node of the mesh, empty if none is."""
        for node in (self.client.me, *self.client.peers):
            if inside := sorted(set(addresses(node.get("TailscaleIPs"))) & set(self._upstream)):
                name = text(node.get("HostName"))
                return (
                    f": {_SPLIT if self.domain else _GLOBAL} is {inside[0]}, which is {name} in this mesh; if {name} uses the mesh's DNS "
                    f"settings, it queries itself: run `tailscale set --accept-dns=false` on {name}, and check that it runs a name server"
                )
        return ""

    def _unanswered(self) -> str:
        first = quoted(self.names[0])
        known = addresses(self._upstream)
        ask = f"`dig @{quoted(known[0])} {first}`" if known else f"`tailscale dns query {first}`"
        if self.answer == UNSEEN:
            asked = self.client.data("own_dns") is not None or not self.client.running
            why = "" if asked else f" ({self.client.why('own_dns')})"
            return f": what tailscaled answers was not seen{why}; see whether {self._resolvers} answer ({ask})"
        if self.answer == SERVFAIL:
            return (
                f": the answer through tailscaled is SERVFAIL, so {self._resolvers} gave that answer, or were not reached; ask one ({ask}), and "
                f"correct {self._setting} if it fails"
            )
        if answered := [name for name in self.client.outside_names if self._is_answered(name)]:
            return f": tailscaled gets no answer in time from {self._resolvers}, although it answers for {', '.join(answered)}; ask one ({ask})"
        if not self._upstream and self.client.data("dns_map") is not None and not self.client.prefs.get("ExitNodeID"):
            return (
                ": the server gives no resolvers in place of those that this host had before, so tailscaled asks these, and they do not answer; "
                "correct them (`tailscale dns status`), or set dns.nameservers.global with dns.override_local_dns on the server"
            )
        remedy = "" if self.domain else ", or set dns.override_local_dns to false"
        return f": tailscaled answers all queries, and {self._resolvers} do not answer; correct {self._setting}{remedy}"

    def _is_answered(self, name: str) -> bool:
        """Whether tailscaled has an answer for another name from the same resolvers."""
        return (
            answer_of(self.client, name) not in (SERVFAIL, SILENT, UNSEEN, OURS)
            and _domain(self.client, name) == self.domain
        )

    @property
    def _upstream(self) -> list[str]:
        return self.client.dns_routes.get(self.domain, self.client.upstream)

    @property
    def _resolvers(self) -> str:
        # An exit node may resolve names in place of those that the server gave.
        listed = "" if self.client.prefs.get("ExitNodeID") else ", ".join(self._upstream)
        return f"its upstream resolvers{listed and f' ({listed})'}"

    @property
    def _setting(self) -> str:
        return f"{f'{_SPLIT} ({self.domain})' if self.domain else _GLOBAL} on the server"
