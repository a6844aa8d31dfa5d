# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the control server's records tell, held against what the clients saw."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .answer import Answer, Json, addresses, items, mapping, moment, text
from .context import CheckContext
from .doctor_client import url_problem, within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .check import Check

_SUPPORTED = (0, 29)
# What each minor version of the server still talks to, the newest first.
_OLDEST_CLIENT = (((0, 29), (1, 80)), ((0, 28), (1, 74)), ((0, 25), (1, 62)))
_NEVER = ("0001-", "1970-")
# Settings that make a newer headscale refuse to start, and what became of them.
REMOVED = {
    "acl_policy_path": "policy.path",
    "ip_prefixes": "prefixes.v4 and prefixes.v6",
    "dns_config": "dns",
    "db_type": "database.type",
    "db_path": "database.sqlite.path",
    "db_host": "database.postgres.host",
    "private_key_path": "noise.private_key_path",
    "randomize_client_port": "randomizeClientPort in the policy",
    "oidc.expiry": "node.expiry",
    "ephemeral_node_inactivity_timeout": "node.ephemeral.inactivity_timeout",
    "use_username_in_magic_dns": "nothing: users are no part of names any more",
    "dns.use_username_in_magic_dns": "nothing: users are no part of names any more",
    "oidc.strip_email_domain": "nothing: names come from the provider",
    "oidc.map_legacy_users": "nothing",
}


@dataclass(frozen=True, kw_only=True)
class ClientView:
    """What a client's examination left for the server's."""

    name: str
    key: str = ""
    dns_name: str = ""
    state: str = ""
    online: bool = False
    version: str = ""
    health: tuple[str, ...] = ()
    server_key: str = ""
    server_answers: bool = False
    """Whether the server is well as seen from there, up to the point where it has to prove who it is."""
    regions: tuple[str, ...] = ()
    answered: Mapping[str, bool] = field(default_factory=dict)
    """For each mesh address that was pinged through the mesh, whether it answered."""
    echoed: Mapping[str, bool] = field(default_factory=dict)
    """For each mesh address that was pinged by the kernel, whether it answered."""

    @classmethod
    def read(cls, name: str, record: Json) -> ClientView:
        """Return what a client left as a fact."""
        known = mapping(record)
        return cls(
            name=name,
            key=text(known.get("key")),
            dns_name=text(known.get("dns_name")),
            state=text(known.get("state")),
            online=known.get("online") is True,
            version=text(known.get("version")),
            health=tuple(text(line) for line in items(known.get("health"))),
            server_key=text(known.get("server_key")),
            server_answers=known.get("server_answers") is True,
            regions=tuple(text(region) for region in items(known.get("regions"))),
            answered={key: value is True for key, value in mapping(known.get("answered")).items()},
            echoed={key: value is True for key, value in mapping(known.get("echoed")).items()},
        )


@dataclass(frozen=True, kw_only=True)
class Server:
    """What is known beside the server's own answers."""

    url: str = ""
    clients: tuple[str, ...] = ()
    seers: tuple[ClientView, ...] = ()
    warning_days: float = 7.0
    unknown_names: tuple[str, ...] | None = None
    """Users and tags that the policy names and that do not exist; None when the policy could not be read."""
    policy_problem: str = ""
    forbidden: frozenset[tuple[str, str]] = frozenset()
    """Pairs of clients of which the policy lets the first not reach the second."""
    unexpected: frozenset[tuple[str, str]] = frozenset()
    """Pairs of which policy and mesh_expect say different things."""
    config: Mapping[str, Any] | None = None
    config_problem: str = ""


def judge_server(answer: Json, context: CheckContext, server: Server) -> list[Check]:
    """Return what the examination of the server found."""
    seen = Answer(answer)
    nodes = listed(seen)
    if nodes is None:
        hint = f"{seen.why('nodes')}: what the server knows is not looked at"
        api = _named(context, "api").check(None, expected="the API answers", observed=None, hint=hint)
        return [api, *_config(context, server), *_derp_maps(context, server)]
    return [
        *_names(context, server, nodes),
        *(check for node in nodes for check in _online(context, server, node)),
        *(_registered(seen, context, server, nodes, name) for name in server.clients),
        *(_expiry(seen, context, server, node) for node in nodes),
        *_policy(context, server, nodes),
        *_versions(seen, context, server),
        _identity(context, server),
        *(check for node in nodes for check in _routes(context, node, nodes)),
        *_config(context, server),
        *_derp_maps(context, server),
    ]


def listed(seen: Answer) -> list[dict[str, Any]] | None:
    """Return the nodes that the server lists, None when it does not."""
    data = seen.data("nodes")
    return [mapping(node) for node in items(mapping(data).get("nodes"))] if mapping(data) else None


def _named(context: CheckContext, name: str) -> CheckContext:
    return replace(context, assertion=name)


def _given(node: dict[str, Any]) -> str:
    return text(node.get("givenName")) or text(node.get("name"))


def _seer(server: Server, node: dict[str, Any]) -> ClientView | None:
    return next((seer for seer in server.seers if seer.key and seer.key == text(node.get("nodeKey"))), None)


def _names(context: CheckContext, server: Server, nodes: list[dict[str, Any]]) -> list[Check]:
    """Look for names that are not what their machines are called (9)."""
    return [_name(_named(context, "names"), server, node, nodes) for node in nodes]


def _name(context: CheckContext, server: Server, node: dict[str, Any], nodes: list[dict[str, Any]]) -> Check:
    given, own = _given(node), text(node.get("name")).lower()
    alike = [other for other in nodes if text(other.get("name")).lower() == own]
    same = [text(other.get("id")) for other in alike]
    # Once each has been given a name of its own, there is nothing wrong with what they call themselves.
    unresolved = any(_is_numbered(_given(other), own) for other in alike)
    seer = _seer(server, node)
    says = seer.dns_name.partition(".")[0] if seer else ""
    hint = ""
    if len(same) == 1 and unresolved and all(_given(other).lower() != own for other in nodes):
        reason = (
            f"it calls itself {own}, and has a number from when another node had that name, which is free now: "
            f"`headscale nodes rename -i {text(node.get('id'))} {own}`, unless it is meant"
        )
        return context.skipped(reason, target=given, expected={"name": own})
    if len(same) > 1 and unresolved:
        hint = (
            f"the nodes {', '.join(same)} all call themselves {own}, so only one has that name: delete the stale ones "
            f"(`headscale nodes delete -i ID`), or rename one"
        )
    elif says and says != given:
        hint = f"its own client still believes that it is {says}: it has an old network map; restart tailscaled there"
    return context.check(
        not hint,
        target=given,
        expected={"name": given, "nodes_of_that_name": 1},
        observed={"name": says or given, "calls_itself": own, "nodes_of_that_name": len(same)},
        hint=hint,
        command="headscale nodes list",
    )


def _is_numbered(given: str, own: str) -> bool:
    """Whether Headscale made a node's name from what the node calls itself, because that was taken."""
    return bool(own) and re.fullmatch(re.escape(own) + r"-[0-9]+", given.lower()) is not None


def _online(context: CheckContext, server: Server, node: dict[str, Any]) -> list[Check]:
    """Hold what the server says of a node against who reaches it (10)."""
    known = addresses(node.get("ipAddresses"))
    own = _seer(server, node)
    tried = {seer.name: any(seer.answered.get(entry, False) for entry in known) for seer in server.seers
             if seer is not own and any(entry in seer.answered for entry in known)}  # fmt: skip
    online, reached = node.get("online") is True, [name for name, answered in tried.items() if answered]
    if not tried:
        return []
    hint = (
        f"the server has it online, and none of {', '.join(tried)} reaches it: it has lost its network; the "
        "server notices late"
    )
    if not online:
        hint = (
            f"the server has it offline (last seen {text(node.get('lastSeen'))}), and {', '.join(reached)} reach "
            "it: its connection "
            "to the server is broken; look at doctor.server and doctor.proxy of it, and at the idle timeout of a proxy"
        )
    return [
        _named(context, "online").check(
            online == bool(reached),
            target=_given(node),
            expected={"online": bool(reached)},
            observed={"online": online, "reached_by": reached},
            evidence={"tried": sorted(tried)},
            hint=hint,
            command="headscale nodes list",
        )
    ]


def _registered(seen: Answer, context: CheckContext, server: Server, nodes: list[dict[str, Any]], name: str) -> Check:
    """Tell why a client is no node of this server (11)."""
    seer = next((known for known in server.seers if known.name == name), None)
    context = _named(context, "registration")
    if seer is None:
        return context.skipped(f"{name} was not examined", target=name, expected={"registered": True})
    found = bool(seer.key) and any(text(node.get("nodeKey")) == seer.key for node in nodes)
    return context.check(
        found and seer.state in ("Running", "Stopped"),
        target=name,
        expected={"registered": True, "state": "Running"},
        observed={"registered": found, "state": seer.state},
        evidence={"health": list(seer.health), "preauthkeys": _keys(seen)},
        hint=_not_registered(seen, seer, found=found),
        command="tailscale status",
    )


def _keys(seen: Answer) -> dict[str, int]:
    """Return how many preauthkeys there are in each state."""
    keys = [mapping(key) for key in items(mapping(seen.data("preauthkeys")).get("preAuthKeys"))]
    counts = {"usable": 0, "used": 0, "expired": 0}
    for key in keys:
        counts[_key_state(key, seen.now)] += 1
    return counts


def _key_state(key: dict[str, Any], now: float | None) -> str:
    expiry = moment(key.get("expiration"))
    if now is not None and expiry is not None and expiry <= now:
        return "expired"
    return "used" if key.get("used") is True and key.get("reusable") is not True else "usable"


def _not_registered(seen: Answer, seer: ClientView, *, found: bool) -> str:
    keys = _keys(seen)
    left = "" if keys["usable"] else f"; there is no usable preauthkey ({keys['used']} used, {keys['expired']} expired)"
    join = (
        "join it again: `tailscale up --login-server=… --auth-key=file:…` with a key of `headscale preauthkeys create`"
    )
    if found:
        return (
            f"the server knows it, and its client is {seer.state}: it was logged out or its key expired; {join}{left}"
        )
    if seer.key:
        return (
            "its client has a key that this server does not know: it was deleted here, or belongs to another "
            f"server; {join}{left}"
        )
    return f"it is not registered ({seer.state or 'no tailscaled'}): {join}{left}"


def _expiry(seen: Answer, context: CheckContext, server: Server, node: dict[str, Any]) -> Check:
    """Look for keys that have expired, soon do, or have a date that nobody meant (12)."""
    said = text(node.get("expiry"))
    at = moment(said)
    hint, ident = "", text(node.get("id"))
    days = (at - seen.now) / 86400 if at is not None and seen.now is not None else None
    if said.startswith(_NEVER):
        hint = (
            f"{said} is no date that anybody meant, and its client may log out: `headscale nodes expire --disable "
            f"-i {ident}`"
        )
    elif days is not None and days <= 0:
        hint = f"its key has expired: join it again, or `headscale nodes expire --disable -i {ident}`"
    elif days is not None and days < server.warning_days:
        hint = (
            f"its key expires in {days:.1f} days: join it again before, or `headscale nodes expire --disable -i "
            f"{ident}`"
        )
    return _named(context, "expiry").check(
        not hint,
        target=_given(node),
        expected={"expires": f"never, or in more than {server.warning_days:g} days"},
        observed={"expires": said or "never"},
        hint=hint,
        command="headscale nodes list",
    )


def _policy(context: CheckContext, server: Server, nodes: list[dict[str, Any]]) -> list[Check]:
    """Look for names that mean nobody, and hold what the policy says against what passes (13)."""
    context = _named(context, "policy")
    if server.unknown_names is None:
        return [
            context.check(
                None, aspect="names", expected="a policy that can be read", observed=None, hint=server.policy_problem
            )
        ]
    unknown = list(server.unknown_names)
    names = context.check(
        not unknown, aspect="names", expected={"unknown": []}, observed={"unknown": unknown},
        hint=(
            f"headscale accepts {', '.join(unknown)}, whom it does not know, and the rules with them match nobody: "
            "correct the names "
            "(`headscale users list`; users end with @)"
        ),
        command="headscale policy get",
    )  # fmt: skip
    found = {text(node.get("nodeKey")): addresses(node.get("ipAddresses")) for node in nodes}
    return [names, *(_passes(context, server, seer, found) for seer in server.seers if seer.echoed)]


def _passes(context: CheckContext, server: Server, seer: ClientView, nodes: dict[str, list[str]]) -> Check:
    blocked, open_, stated = [], [], []
    for other in server.seers:
        known = [entry for entry in nodes.get(other.key, []) if entry in seer.echoed]
        if other is seer or not known:
            continue
        pair = (seer.name, other.name)
        passed, answers = any(seer.echoed[entry] for entry in known), any(seer.answered.get(entry) for entry in known)
        if pair in server.unexpected:
            stated.append(other.name)
        if pair in server.forbidden and passed:
            open_.append(other.name)
        elif pair not in server.forbidden and answers and not passed:
            blocked.append(other.name)
    hints = [
        f"the policy lets it reach {', '.join(blocked)}, whose client answers, but echo requests do not "
        "arrive: a firewall on "
        f"{', '.join(blocked)} drops what comes in from tailscale0, or it has shields up" if blocked else "",
        (
            f"the policy keeps it from {', '.join(open_)}, but packets pass: the node has an old network map; "
            "restart its tailscaled"
        ) if open_ else "",
        (
            f"the policy and mesh_expect do not agree on {', '.join(stated)}: correct the policy, or what is "
            "expected"
        ) if stated else "",
    ]  # fmt: skip
    return context.check(
        not any(hints),
        aspect="reach",
        target=seer.name,
        expected={"blocked": [], "open": [], "not_as_expected": []},
        observed={"blocked": blocked, "open": open_, "not_as_expected": stated},
        hint="; ".join(filter(None, hints)),
        command="headscale policy get",
    )


def version_of(said: str) -> tuple[int, ...]:
    """Return a version's numbers, none when there are none."""
    match = re.match(r"v?(\d+)\.(\d+)", said)
    return tuple(int(part) for part in match.groups()) if match else ()


def _versions(seen: Answer, context: CheckContext, server: Server) -> list[Check]:
    """Hold the clients' versions against the server's (14)."""
    context = _named(context, "upgrade")
    rows = [mapping(row) for row in items(seen.data("web"))]
    body = next((text(row.get("body")) for row in rows if text(row.get("url")).endswith("/version")), "")
    said = next(iter(re.findall(r'"version":\s*"([^"]+)"', body)), "")
    number = version_of(said)
    oldest = next((client for minor, client in _OLDEST_CLIENT if number >= minor), ()) if number else ()
    checks = [
        context.check(
            number >= _SUPPORTED if number else None,
            aspect="server",
            expected={"at_least": ".".join(map(str, _SUPPORTED))},
            observed={"version": said or None},
            hint=(
                "upgrade it one minor version after the other (headscale refuses to skip one), with a copy of its "
                "database and keys before each"
            )
            if number
            else "the server does not tell its version: something else answers for it, or it is a development build",
            command="headscale version",
        )
    ]
    for seer in server.seers:
        client = version_of(seer.version)
        if client and oldest:
            checks.append(
                context.check(
                    client >= oldest,
                    aspect="client",
                    target=seer.name,
                    expected={"at_least": ".".join(map(str, oldest))},
                    observed={"version": seer.version},
                    command="tailscale version",
                    hint=(
                        f"headscale {said} refuses clients before {'.'.join(map(str, oldest))}: upgrade tailscale on "
                        f"{seer.name}"
                    ),
                )
            )
    return checks


def _identity(context: CheckContext, server: Server) -> Check:
    """Look for clients that hold the server for another one than it is (14)."""
    context = _named(context, "identity")
    keys = {seer.name: seer.server_key for seer in server.seers if seer.server_key}
    if not keys:
        return context.skipped("no client could ask the server for its key", expected="one key")
    strangers = [
        seer.name for seer in server.seers if seer.state == "Running" and not seer.online and seer.server_answers
    ]
    hint = (
        "the clients see different servers under one URL: a name that leads to two machines, or a proxy that "
        "balances between two"
    )
    if strangers:
        hint = (
            f"{', '.join(strangers)} has no connection to a server that answers it well: it does not accept who "
            "the server is; "
            "its noise key (noise.private_key_path) was lost or replaced: restore it from a backup, or restart "
            "tailscaled "
            "on every client"
        )
    return context.check(
        len(set(keys.values())) == 1 and not strangers,
        expected={"keys": 1, "cannot_authenticate": []},
        observed={"keys": len(set(keys.values())), "cannot_authenticate": strangers},
        evidence={"keys": keys},
        hint=hint,
        command=f"curl -sS '{server.url}/key?v=113'",
    )


def _routes(context: CheckContext, node: dict[str, Any], nodes: list[dict[str, Any]]) -> list[Check]:
    """Tell whether the routes that a node offers are approved and served (15)."""
    offered, approved = set(_texts(node, "availableRoutes")), set(_texts(node, "approvedRoutes"))
    if not offered and not approved:
        return []
    served_by_others = {route for other in nodes if other is not node for route in _texts(other, "subnetRoutes")}
    serving = set(_texts(node, "subnetRoutes"))
    waiting, gone = offered - approved, approved - offered
    idle = (offered & approved) - serving - served_by_others
    ident = text(node.get("id"))
    # The command replaces what was approved before.
    wanted = ",".join(sorted(offered | approved))
    hints = [
        f"{', '.join(sorted(waiting))} is advertised and not approved: `headscale nodes approve-routes -i {ident} -r {wanted}`"
        if waiting
        else "",
        f"{', '.join(sorted(gone))} is approved and not advertised: `tailscale set --advertise-routes=…` on the node"
        if gone
        else "",
        f"{', '.join(sorted(idle))} is approved and nobody serves it: is the node online?" if idle else "",
    ]
    return [
        _named(context, "routes").check(
            not any(hints),
            target=_given(node),
            expected={"not_approved": [], "not_advertised": [], "not_served": []},
            observed={"not_approved": sorted(waiting), "not_advertised": sorted(gone), "not_served": sorted(idle)},
            hint="; ".join(filter(None, hints)),
            command="headscale nodes list-routes",
        )
    ]


def _texts(node: dict[str, Any], key: str) -> list[str]:
    return [text(entry) for entry in items(node.get(key))]


def _config(context: CheckContext, server: Server) -> list[Check]:
    """Read the server's configuration for what will go wrong."""
    context, config = _named(context, "config"), server.config
    if config is None:
        return [context.skipped(server.config_problem, expected="a configuration without known traps")]
    problems = [problem for problem in (*_removed(config), *_derp_problem(config), *_dns_problem(config)) if problem]
    return [
        context.check(
            not problems, expected={"problems": []}, observed={"problems": len(problems)}, hint="; ".join(problems),
            evidence={"problems": problems}, command="headscale configtest",
        )
    ]  # fmt: skip


def value_of(config: Mapping[str, Any], path: str) -> Json:
    """Return a setting by its dotted name, None when it is not there."""
    found: Json = config
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _removed(config: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} was removed, and headscale refuses to start with it: use {instead}"
        for name, instead in REMOVED.items()
        if value_of(config, name) is not None
    ]


def _derp_problem(config: Mapping[str, Any]) -> list[str]:
    embedded = value_of(config, "derp.server.enabled") is True
    if embedded or items(value_of(config, "derp.paths")):
        return []
    urls = [text(url) for url in items(value_of(config, "derp.urls"))]
    if not urls:
        return [
            (
                "there is no relay: set derp.server.enabled, derp.paths or derp.urls; headscale refuses to start "
                "without one"
            )
        ]
    if all(url == "https://controlplane.tailscale.com/derpmap/default" for url in urls):
        return []
    return [
        (
            f"the relays come from {', '.join(urls)} alone: headscale does not start while that cannot be reached; "
            "keep a copy in derp.paths"
        )
    ]


def _dns_problem(config: Mapping[str, Any]) -> list[str]:
    url, domain = text(config.get("server_url")), text(value_of(config, "dns.base_domain")).strip(".").lower()
    host = re.sub(r"^https?://|[:/].*$", "", url)
    found = [problem] if url and (problem := url_problem(url)) else []
    if domain and host and within(host, domain):
        found.append(
            f"dns.base_domain {domain} holds the server's own name {host}, which joined nodes then do not find: "
            "choose another domain"
        )
    if value_of(config, "dns.override_local_dns") is not False and not items(
        value_of(config, "dns.nameservers.global")
    ):
        found.append(
            "dns.override_local_dns is on without dns.nameservers.global: nodes would resolve nothing outside the mesh"
        )
    return found


def _derp_maps(context: CheckContext, server: Server) -> list[Check]:
    """Look for clients that were given different relays (5)."""
    maps = {seer.name: sorted(seer.regions) for seer in server.seers if seer.regions}
    if len(maps) < 2:  # noqa: PLR2004
        return []
    return [
        _named(context, "derp_map").check(
            len({tuple(regions) for regions in maps.values()}) == 1,
            aspect="same",
            expected="the same regions on every client",
            observed=maps,
            hint=(
                "some clients have an old map of relays: they do not meet on a relay; restart tailscaled where the "
                "map is the old one"
            ),
            command="tailscale debug derp-map",
        )
    ]
