# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that packets pass where the policy lets them, and only there."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from ..._judge.answer import addresses
from ..._policy import Evaluation, Policy, unmatched_tags
from ..._policy.ports import opened
from ..records import Cause, Check, CheckContext, ClientView, Iterator, Server, because, given_name

AFTER = ("keys",)
_FAMILIES = {"ipv4": False, "ipv6": True}
# What keeps the packets of a host out of the mesh, although tailscaled is well.
_LOCAL = ("interface.up", "interface.taken", "kernel_route", "firewall")
_MOST_CHAINS = 3
_Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class _Allowed:
    """What the policy lets pass between clients."""

    denied: dict[str, frozenset[_Pair]]
    """The pairs of each family whose first client does not reach the second."""
    ports: dict[_Pair, tuple[str, ...]]
    hopeless: frozenset[_Pair]
    """The pairs that the policy would deny even if its unknown names meant every node."""
    withheld: frozenset[str]
    """The IPv4 addresses that the policy takes away."""

    def has_ports(self, pair: _Pair, expected: tuple[str, ...] | None) -> bool:
        """Whether the policy opens exactly the expected ports, or none are expected."""
        return expected is None or opened(expected) == opened(self.ports.get(pair, ("*",)))


def _hopeless(server: Server) -> frozenset[_Pair]:
    said = json.dumps(server.policy[1])
    for name in server.unknown_names:
        said = said.replace(f'"{name}', '"*')
    try:
        policy = Policy.read(json.loads(said))
        # A user that nodeAttrs name would otherwise become every node as well, without an IPv4 address.
        policy = replace(policy, without_ipv4=server.policy[0].without_ipv4 if server.policy[0] else ())
        return frozenset(Evaluation(policy, server.members(), server.owners()).forbidden())
    except ValueError:  # a group cannot contain every node
        return frozenset()


def _denied(evaluation: Evaluation, family: str) -> frozenset[_Pair]:
    return frozenset(
        (source.name, target.name)
        for source in evaluation.nodes
        for target in evaluation.nodes
        if source.name != target.name and not evaluation.joining(source, target, family)
    )


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return a check for each client that is in the mesh."""
    policy = server.policy[0]
    if not server.names_are_known or policy is None:
        return
    members = server.members()
    try:
        evaluation = Evaluation(policy, members, server.owners())
        allowed = _Allowed(
            denied={family: _denied(evaluation, family) for family in _FAMILIES},
            ports=evaluation.restricted(),
            hopeless=_hopeless(server),
            withheld=frozenset(map(str, evaluation.withheld)),
        )
    except ValueError as exc:
        hint = f"the policy cannot be read: {exc}"
        yield context.check(None, aspect="reach", expected="a policy that can be read", observed=None, hint=hint)
        return
    names = {member.name for member in members}
    views = [view for view in server.known.views if view.name in names]
    found = {view.name: _compare(server, view, _others(view, views), allowed) for view in views}
    shared = _shared(found)
    for view in views:
        check = _reach(server, context, view, views, found[view.name], shared)
        cause = _cause(server, view, _others(view, views), found[view.name], allowed, context.story)
        if (
            cause is None
            and shared not in ("", view.name)
            and found[shared]["blocked"]
            and _only_blocked(found[view.name])
        ):
            cause = Cause(id=check.id, source=check.source, about=shared)
        yield because(check, cause)
    yield from _unknown(server, context)


def _unknown(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return that nothing is known of clients that state the key of another one as well."""
    for view in server.known.views:
        if len(server.stating(view.key)) > 1 and server.node_of(view.key):
            hint = f"{given_name(server.node_of(view.key))} may be this host or another one that states the same key"
            check = context.check(
                None,
                aspect="reach",
                target=view.name,
                expected="a key that no other host states",
                observed=None,
                hint=hint,
            )
            yield because(check, server.cause("keys"))


def _others(view: ClientView, views: list[ClientView]) -> list[ClientView]:
    return [other for other in views if other.name != view.name]


def _only_blocked(found: dict[str, list[str]]) -> bool:
    return bool(found["blocked"]) and not found["open"] and not found["not_as_expected"]


def _shared(found: dict[str, dict[str, list[str]]]) -> str:
    """Return the one client that all blocked pairs share, if there are several; empty if there is none."""
    pairs = {frozenset((name, _name(entry))) for name, one in found.items() for entry in one["blocked"]}
    common = frozenset.intersection(*pairs) if len(pairs) > 1 else frozenset()
    return next(iter(common), "")


def _reach(  # noqa: PLR0913, PLR0917
    server: Server,
    context: CheckContext,
    view: ClientView,
    views: list[ClientView],
    found: dict[str, list[str]],
    shared: str,
) -> Check:
    shields = [other.name for other in _shielded(_others(view, views), found)]
    return context.check(
        not any(found.values()),
        aspect="reach",
        target=view.name,
        expected={key: [] for key in found},
        observed=found,
        evidence={"shields_up": shields} if shields else {},
        hint="; ".join(filter(None, _hints(server, view, _others(view, views), found, shared))),
        command="headscale policy get",
    )


def _compare(server: Server, view: ClientView, others: list[ClientView], allowed: _Allowed) -> dict[str, list[str]]:
    """Return the clients whose packets are blocked, pass unexpectedly, or are not expected as the policy has it."""
    found: dict[str, list[str]] = {"blocked": [], "open": [], "not_as_expected": []}
    for other in others:
        shared = [
            family
            for family in _FAMILIES
            if all(set(_addresses(server, one, family)) - allowed.withheld for one in (view, other))
        ]
        wrong: dict[str, list[str]] = {key: [] for key in found}
        for family in shared:
            pair, passed = (view.name, other.name), _passed(server, view, other, family)
            shut = pair in allowed.denied[family]
            if server.known.expect.reaches(*pair) == shut or not allowed.has_ports(
                pair, server.known.expect.ports(*pair)
            ):
                wrong["not_as_expected"].append(family)
            if passed is shut:
                wrong["open" if shut else "blocked"].append(family)
        for key, families in wrong.items():
            if families:
                found[key].append(other.name if families == shared else f"{other.name} ({', '.join(families)})")
    return found


def _addresses(server: Server, view: ClientView, family: str) -> list[str]:
    known = addresses(server.node_of(view.key).get("ipAddresses"))
    return [entry for entry in known if (":" in entry) == _FAMILIES[family]]


def _blocked(others: list[ClientView], found: dict[str, list[str]]) -> list[ClientView]:
    names = set(map(_name, found["blocked"]))
    return [other for other in others if other.name in names]


def _name(entry: str) -> str:
    """Return the client of an entry, which may be about one address family of it."""
    return entry.partition(" ")[0]


def _shielded(others: list[ClientView], found: dict[str, list[str]]) -> list[ClientView]:
    return [other for other in _blocked(others, found) if other.shields_up]


def _stale(view: ClientView, others: list[ClientView], found: dict[str, list[str]]) -> list[str]:
    """Return the blocked clients whose own packet filter is older than the policy."""
    return [
        other.name for other in _blocked(others, found) if not other.shields_up and set(other.refuses) & set(view.own)
    ]


def _lost_in_part(view: ClientView, blocked: list[ClientView]) -> list[str]:
    """Return what was answered in part between a client and those that it does not reach."""
    looked = [(view, other) for other in blocked] + [(other, view) for other in blocked]
    return [f"{said} at {known}" for one, other in looked for known, said in one.partly.items() if known in other.own]


def _hints(
    server: Server, view: ClientView, others: list[ClientView], found: dict[str, list[str]], shared: str
) -> Iterator[str]:
    if blocked := ", ".join(found["blocked"]):
        shields = [other.name for other in _shielded(others, found)]
        if stale := _stale(view, others, found):
            yield (
                f"the policy lets it reach {blocked}, but the packet filter of tailscaled on {', '.join(stale)} does not, "
                f"{_older(server, ', '.join(stale))}"
            )
            return
        lost = [] if shields else _lost_in_part(view, _blocked(others, found))
        if lost:
            yield (
                f"the policy lets it reach {blocked}, and tailscaled there answers, but echo requests do not, and of others between these "
                f"hosts only some were answered ({', '.join(lost)}): packets are lost on the way, so look at the link of "
                f"{shared or 'both hosts'} and its errors (`ip -s link`)"
            )
            return
        looked = [view, *_blocked(others, found)]
        yield (
            f"the policy lets it reach {blocked}, and tailscaled there answers, but echo requests do not: "
            + (f"shields are up on {', '.join(shields)}: `tailscale set --shields-up=false` there" if shields
               else f"look for a rule that {'drops or rewrites' if _rewriting(looked, shared) else 'drops'} packets from or to "
               "tailscale0 (`nft list ruleset`) on "
               + (shared or "both hosts") + _chains(looked, shared))
        )  # fmt: skip
    if passing := ", ".join(found["open"]):
        yield (f"the policy denies it {passing}, but packets pass, {_older(server, passing)}")
    if (stated := found["not_as_expected"]) and stated != found["open"]:
        tagged = _tagged(server, [view.name, *map(_name, stated)])
        if set(stated) == {other.name for other in others} and not any(view.echoed.values()):
            yield f"the policy lets it reach no other node: add a rule to the policy, or state this in mesh_expect{tagged}"
        else:
            yield f"the policy and mesh_expect disagree on {', '.join(stated)}: correct one of them{tagged}"


def _rewriting(views: list[ClientView], shared: str) -> list[ClientView]:
    """Return the hosts in question that rewrite addresses, and drop nothing."""
    return [view for view in views if view.rewriting and not view.dropping and shared in ("", view.name)]


def _chains(views: list[ClientView], shared: str) -> str:
    """Return which chains of the hosts in question drop or reject, which is where to look first."""
    seen = [
        f"{view.name}: {', '.join(view.dropping[:_MOST_CHAINS])}"
        for view in views
        if view.dropping and shared in ("", view.name)
    ]
    rewrites = [
        f"{view.name}: {', '.join(view.rewriting[:_MOST_CHAINS])}: exclude tailscale0 there"
        for view in _rewriting(views, shared)
    ]
    return (f" (chains that drop or reject, {'; '.join(seen)})" if seen else "") + (
        f" (chains that rewrite addresses, {'; '.join(rewrites)})" if rewrites else ""
    )


def _tagged(server: Server, names: list[str]) -> str:
    """Return which of these nodes have only tags that no rule names: rules for their users no longer match them."""
    said = unmatched_tags(server.policy[1], [member for member in server.members() if member.name in names])
    return f" ({said})" if said else ""


def _older(server: Server, names: str) -> str:
    """Return why a client may have an older policy than the server shows."""
    old = f"the network map there is outdated: look at the connection of {names} to the server, and restart tailscaled there"
    if server.policy_mode != "file":
        return f"because {old}"
    return (
        "as when headscale has not read its policy file since that changed (policy.mode: file): `kill -HUP $(pidof headscale)` on the "
        f"server lets it; if that does not help, {old}"
    )


def _cause(  # noqa: PLR0913, PLR0917
    server: Server,
    view: ClientView,
    others: list[ClientView],
    found: dict[str, list[str]],
    allowed: _Allowed,
    story: str,
) -> Cause | None:
    """Return the finding that explains the difference, if there is one."""
    if stated := found["not_as_expected"]:
        explained = all((view.name, _name(entry)) not in allowed.hopeless for entry in stated)
        return server.cause("policy.names") if explained else None
    if found["blocked"] and (cause := server.cause("addresses")):
        return cause
    # What concerns the whole path cannot stop one address family alone.
    whole = () if any("(" in entry for entry in found["blocked"]) else ("network", "client", "mtu", "relay")
    # Without a relay, a path takes longer than an echo request waits, of whichever family.
    whole = ("derp_map", *whole)
    if all("(ipv6)" in entry for entry in found["blocked"]):
        whole = ("interface.ipv6", *whole)
    if found["blocked"] and (cause := view.cause("tun", "exit_node", *_LOCAL, *whole)):
        return cause
    # A network map is old where the server is not reached.
    stale = _stale(view, others, found)
    causes = [
        other.cause("tun", *_LOCAL, *whole, *(("server", "proxy") if other.name in stale else ()))
        or server.expired(other.name, story)
        for other in _blocked(others, found)
    ]
    return causes[0] if causes and all(causes) else None


def _passed(server: Server, view: ClientView, other: ClientView, family: str) -> bool | None:
    """Return whether echo requests pass; None if tailscaled on the other side is silent too, or the kernel there answers none."""
    ours = [entry for entry in _addresses(server, other, family) if entry in view.echoed]
    if not ours:
        return None
    if any(view.echoed[entry] for entry in ours):
        return True
    if family in other.ignores_echo:
        return None
    alive = any(view.answered.get(entry) for every in _FAMILIES for entry in _addresses(server, other, every))
    return False if alive else None
