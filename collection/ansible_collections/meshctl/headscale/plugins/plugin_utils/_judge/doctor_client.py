# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a client's examination tells: relays, names, its way to the control server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import causes, control
from .answer import Answer, Json, address, addresses, endpoint, items, mapping, number, text
from .names import QUAD_100
from .path import observed_path

if TYPE_CHECKING:
    from .check import Check
    from .context import CheckContext
    from .path import ExpectedPath

_FORWARDING = {4: "/proc/sys/net/ipv4/ip_forward", 6: "/proc/sys/net/ipv6/conf/all/forwarding"}
# A map of many regions is the public one: only the home region of the node matters then.
_FEW_REGIONS = 4
_STUN_PORT, _DERP_PORT = 3478, 443
KEY_VERSION = 113
"""A capability version that every supported server answers for."""


@dataclass(frozen=True, kw_only=True)
class ClientContext:
    """What is known of a client before it is examined."""

    expected_paths: tuple[ExpectedPath, ...] = ()
    server_url: str = ""
    outside: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Relay:
    """A node of the DERP map."""

    region: str
    host: str
    address: str
    derp_port: int
    stun_port: int

    @property
    def url(self) -> str:
        """Return what a relay answers to anybody."""
        return f"{self.derp_url}/probe"

    @property
    def derp_url(self) -> str:
        """Return where clients leave HTTP for the relay's own protocol."""
        port = "" if self.derp_port == _DERP_PORT else f":{self.derp_port}"
        return f"https://{self.host}{port}/derp"

    @property
    def where(self) -> str:
        """Return where its UDP port is asked."""
        return self.address or self.host


def control_url(seen: Answer) -> str:
    """Return the control server that the client itself talks to."""
    return text(mapping(seen.data("prefs")).get("ControlURL")).rstrip("/")


def control_host(seen: Answer) -> str:
    """Return the name, or address, of that server."""
    try:
        return urlsplit(control_url(seen)).hostname or ""
    except ValueError:
        return ""


def relays(seen: Answer) -> list[Relay]:
    """Return the relays that matter to this client."""
    regions = [mapping(region) for region in mapping(mapping(seen.data("derpmap")).get("Regions")).values()]
    home = text(mapping(mapping(seen.data("status")).get("Self")).get("Relay"))
    if len(regions) > _FEW_REGIONS:
        regions = [region for region in regions if text(region.get("RegionCode")) == home]
    return [
        Relay(
            region=text(region.get("RegionCode")) or text(region.get("RegionID")),
            host=text(node.get("HostName")),
            address=address(node.get("IPv4")),
            derp_port=-1 if node.get("STUNOnly") else int(number(node.get("DERPPort")) or _DERP_PORT),
            stun_port=int(number(node.get("STUNPort")) or _STUN_PORT),
        )
        for region in regions
        for node in map(mapping, items(region.get("Nodes")))
    ]


def suffix(seen: Answer) -> str:
    """Return the domain of MagicDNS."""
    status = mapping(seen.data("status"))
    return (
        text(mapping(status.get("CurrentTailnet")).get("MagicDNSSuffix") or status.get("MagicDNSSuffix"))
        .strip(".")
        .lower()
    )


def own_name(seen: Answer) -> str:
    """Return the client's own name in the mesh."""
    return text(mapping(mapping(seen.data("status")).get("Self")).get("DNSName")).rstrip(".").lower()


def judge_client(answer: Json, context: CheckContext, patient: ClientContext) -> list[Check]:
    """Return what the examination of a client found."""
    seen = Answer(answer)
    if not mapping(seen.data("status")):
        why = f"{seen.why('status')}: start tailscaled on this host"
        return [_named(context, "client").check(None, expected="tailscaled answers", observed=None, hint=why)]
    return [
        _client(seen, context),
        *_paths(seen, context, patient),
        _server_url(seen, context, patient),
        _server(seen, context),
        _upgrade(seen, context),
        _derp_map(seen, context),
        *_relays(seen, context),
        _magic_dns(seen, context),
        _domain(seen, context, patient),
        _upstream_dns(seen, context, patient),
        *_routes(seen, context),
    ]


def _named(context: CheckContext, name: str) -> CheckContext:
    return replace(context, assertion=name)


def _client(seen: Answer, context: CheckContext) -> Check:
    status = mapping(seen.data("status"))
    me = mapping(status.get("Self"))
    health = [text(line) for line in items(status.get("Health"))]
    return _named(context, "client").check(
        not causes.client(seen),
        expected={"state": "Running", "online": True},
        observed={"state": text(status.get("BackendState")), "online": me.get("Online"), "health": health},
        hint=causes.client(seen),
        command="tailscale status",
    )


def _paths(seen: Answer, context: CheckContext, patient: ClientContext) -> list[Check]:
    """Tell for each peer whether traffic to it takes a relay (1)."""
    return [_path(seen, _named(context, "path"), way) for way in patient.expected_paths]


def _path(seen: Answer, context: CheckContext, way: ExpectedPath) -> Check:
    peer = causes.find_peer(seen.data("status"), way.peer)
    expected = {"path": "relay" if way.kind == "relay" else "direct"}
    if not peer or peer.get("Online") is False:
        return context.skipped(
            "the server does not show it, or shows it offline: see the other findings", target=way.peer.name
        )
    pinged = mapping(mapping(seen.data("disco")).get(way.address))
    if not pinged:
        return context.check(None, target=way.peer.name, expected=expected, observed=None, hint=seen.why("disco"))
    found = observed_path(pinged)
    endpoints = mapping(mapping(seen.data("status")).get("Self")).get("Addrs")
    hosts = [endpoint(entry)[0] for entry in items(endpoints)]
    local = [host for host in hosts if host and ip_address(host).is_private]
    theirs = (list(way.underlay.endpoints), list(way.underlay.local))
    hint = causes.relayed({"this node": (endpoints, local), way.peer.name: theirs})
    if found["path"] == "none":
        hint = f"{way.peer.name} answers neither directly nor through a relay: see doctor.relay of both"
    if found["path"] == "direct":
        hint = f"it is direct, where the topology expects a relay ({way.reason}): the topology is not what it says"
    return context.check(
        found["path"] == expected["path"], target=way.peer.name, expected=expected, observed=found, hint=hint,
        evidence={"reason": way.reason}, command=f"tailscale ping --c 5 {way.address}",
    )  # fmt: skip


def _server_url(seen: Answer, context: CheckContext, patient: ClientContext) -> Check:
    """Look for an address of the server from which a client never recovers (3)."""
    context, url = _named(context, "server_url"), control_url(seen)
    if not url:
        return context.check(None, expected="a control server", observed=None, hint=seen.why("prefs"))
    problem = url_problem(url)
    wanted = patient.server_url.rstrip("/")
    if not problem and wanted and wanted.lower() != url.lower():
        problem = (
            f"the inventory says {wanted}: join with `tailscale up --login-server={wanted} --force-reauth`, or "
            "correct it"
        )
    return context.check(
        not problem,
        expected={"url": wanted or "https://…"},
        observed={"url": url},
        hint=problem,
        command="tailscale debug prefs",
    )


def url_problem(url: str) -> str:
    """Return why clients have trouble with such a server_url, empty when they have none."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return f"{url!r} is no URL: correct server_url"
    if parts.scheme == "https" and host:
        return ""
    if parts.scheme != "http" or not host:
        return f"{url!r} is no http or https URL: correct server_url"
    known = address(host)
    if host == "localhost" or (known and (ip_address(known).is_loopback or _rfc1918(known))):
        return ""
    return (
        "after an interruption a client tries only https on port 443 of such a server, for ever: give the "
        "server a certificate "
        f"and make server_url https://{host}"
    )


def _rfc1918(known: str) -> bool:
    # As tailscaled decides: test networks, which Python calls private, are not.
    return known.startswith(("10.", "192.168.")) or (known.startswith("172.") and 16 <= int(known.split(".")[1]) < 32)  # noqa: PLR2004


def _web(seen: Answer, path: str) -> dict[str, Any]:
    rows = [mapping(row) for row in items(seen.data("web"))]
    return next((row for row in rows if text(row.get("url")).endswith(path)), {})


def _server(seen: Answer, context: CheckContext) -> Check:
    """Tell whether the control server answers and is well."""
    row, url = _web(seen, control.HEALTH), control_url(seen)
    if not row:
        rows = seen.data("web")
        hint = seen.why("web") if rows is None else control.trouble(items(rows), url)
        return _named(context, "server").check(None, expected={"status": 200}, observed=None, hint=hint)
    return _named(context, "server").check(
        not control.unwell(row),
        expected={"url": f"{url}/health", "status": 200},
        observed={"outcome": text(row.get("outcome")), "status": row.get("status")},
        hint=control.unwell(row),
        command=f"curl -sS {url}/health",
    )


def _upgrade(seen: Answer, context: CheckContext) -> Check:
    """Tell whether something between client and server breaks the upgrade that clients need (2)."""
    context, row = _named(context, "proxy"), _web(seen, control.UPGRADE)
    if not row:
        return context.check(None, expected={"status": 101}, observed=None, hint=seen.why("web"))
    if text(row.get("outcome")) != "answered":
        return context.skipped(f"the server cannot be asked: {control.no_answer(row)}", expected={"status": 101})
    server = text(mapping(row.get("headers")).get("server"))
    return context.check(
        not control.not_upgraded(row),
        expected={"status": 101},
        observed={"status": row.get("status"), "server": server},
        hint=control.not_upgraded(row),
        command=(
            "curl -sSi --http1.1 -X POST -H 'Upgrade: tailscale-control-protocol' -H 'Connection: upgrade' "
            f"{text(row.get('url'))}"
        ),
    )


def _derp_map(seen: Answer, context: CheckContext) -> Check:
    """Tell whether the node knows relays, and has chosen one (5)."""
    context = _named(context, "derp_map")
    if seen.data("derpmap") is None:
        return context.check(None, expected="regions", observed=None, hint=seen.why("derpmap"))
    regions = mapping(mapping(seen.data("derpmap")).get("Regions"))
    named = {
        text(mapping(region).get("RegionCode")): len(items(mapping(region).get("Nodes"))) for region in regions.values()
    }
    home = text(mapping(mapping(seen.data("status")).get("Self")).get("Relay"))
    hint = f"no home relay was found among {', '.join(named)}: see doctor.relay"
    if not any(named.values()):
        hint = (
            "the server gave no relay: look at derp.urls (does it reach them?), derp.paths and derp.server in its "
            "configuration"
        )
    return context.check(
        bool(any(named.values()) and home),
        expected={"regions": "at least one", "home": "one of them"},
        observed={"regions": named, "home": home},
        hint=hint,
        command="tailscale debug derp-map",
    )


def _relays(seen: Answer, context: CheckContext) -> list[Check]:
    """Tell of each relay whether it relays, and whether its STUN answers (4)."""
    context = _named(context, "relay")
    checks = []
    for relay in relays(seen):
        target = f"{relay.region}/{relay.host}"
        if relay.derp_port > 0:
            checks += [_relaying(seen, context, relay, target), _relay_upgrade(seen, context, relay, target)]
        if relay.stun_port > 0:
            checks.append(_stun(seen, context, relay, target))
    return checks


def _fetched(seen: Answer, url: str) -> dict[str, Any]:
    return next((row for row in map(mapping, items(seen.data("web"))) if row.get("url") == url), {})


def _relaying(seen: Answer, context: CheckContext, relay: Relay, target: str) -> Check:
    row = _fetched(seen, relay.url)
    return context.check(
        (row.get("outcome") == "answered" and row.get("status") == 200) if row else None,  # noqa: PLR2004
        aspect="https",
        target=target,
        expected={"url": relay.url, "status": 200},
        observed={"outcome": text(row.get("outcome")), "status": row.get("status")} if row else None,
        hint=f"nodes without a direct path cannot reach each other through it: {control.no_answer(row)}"
        if row
        else seen.why("web"),
        command=f"curl -sSi {relay.url}",
    )


def _relay_upgrade(seen: Answer, context: CheckContext, relay: Relay, target: str) -> Check:
    """Tell whether a proxy before the relay passes on what clients need: without, its pages answer and nothing is relayed."""
    row, expected = _fetched(seen, relay.derp_url), {"url": relay.derp_url, "status": 101}
    if row and text(row.get("outcome")) != "answered":
        reason = f"the relay cannot be asked: {control.no_answer(row)}"
        return context.skipped(reason, aspect="upgrade", target=target, expected=expected)
    server = text(mapping(row.get("headers")).get("server"))
    return context.check(
        row.get("status") == 101 if row else None,  # noqa: PLR2004
        aspect="upgrade",
        target=target,
        expected=expected,
        observed={"status": row.get("status"), "server": server} if row else None,
        hint=(
            f"{server or 'something'} before the relay does not pass the upgrade to DERP on, so that nothing is relayed: "
            "have the proxy pass `Upgrade` and `Connection` on for /derp as for /ts2021, or leave it out"
        ) if row else seen.why("web"),
        command=f"curl -sSi --http1.1 -H 'Upgrade: DERP' -H 'Connection: upgrade' {relay.derp_url}",
    )  # fmt: skip


def _stun(seen: Answer, context: CheckContext, relay: Relay, target: str) -> Check:
    rows = [mapping(row) for row in items(seen.data("stun"))]
    row = next((row for row in rows if row.get("host") == relay.where and row.get("port") == relay.stun_port), {})
    return context.check(
        row.get("outcome") == "answered" if row else None,
        aspect="stun",
        target=target,
        expected={"udp": f"{relay.where}:{relay.stun_port}", "outcome": "answered"},
        observed={"outcome": text(row.get("outcome")), "mapped": text(row.get("mapped"))} if row else None,
        hint=(
            f"UDP port {relay.stun_port} of {relay.where} does not answer ({text(row.get('outcome'))}): without it "
            "no node learns its "
            "public address, and paths stay relayed; open the port, also in the server's own firewall and the "
            "container's ports"
        ) if row else seen.why("stun"),
        command="tailscale netcheck",
    )  # fmt: skip


def _looked_up(seen: Answer, name: str) -> dict[str, Any]:
    rows = [mapping(row) for row in items(seen.data("getaddrinfo"))]
    return next((row for row in rows if row.get("name") == name), {})


def _magic_dns(seen: Answer, context: CheckContext) -> Check:
    """Ask tailscaled, then the host, for the node's own name: the level that fails is the cause (6)."""
    context, name = _named(context, "magic_dns"), own_name(seen)
    tailnet = mapping(mapping(seen.data("status")).get("CurrentTailnet"))
    known = addresses(mapping(mapping(seen.data("status")).get("Self")).get("TailscaleIPs"))
    asked = next((mapping(row) for row in items(seen.data("dns")) if mapping(row).get("name") == name), {})
    system = _looked_up(seen, name)
    servers = addresses(mapping(seen.data("resolv_conf")).get("nameservers"))
    levels = {
        "server": tailnet.get("MagicDNSEnabled") is True,
        "accepted": mapping(seen.data("prefs")).get("CorpDNS") is True,
        "tailscaled": bool(
            set(addresses([mapping(entry).get("value") for entry in items(asked.get("answers"))])) & set(known)
        ),
        "host": bool(set(addresses(system.get("addresses"))) & set(known)),
    }
    return context.check(
        all(levels.values()) if name else None,
        expected=dict.fromkeys(levels, True),
        observed=levels if name else None,
        evidence={"name": name, "resolv_conf": servers, "error": text(system.get("error"))},
        hint=_magic_hint(levels, servers) if name else "the node has no name: it is not in the mesh",
        command=f"getent ahosts {name}",
    )


def _magic_hint(levels: dict[str, bool], servers: list[str]) -> str:
    if not levels["server"]:
        return "MagicDNS is off on the server: set dns.magic_dns and dns.base_domain in its configuration"
    if not levels["accepted"]:
        return "this client does not take the server's DNS: `tailscale set --accept-dns=true`"
    if not levels["tailscaled"]:
        return f"tailscaled's own resolver {QUAD_100} does not answer: look at its log, and restart it"
    if QUAD_100 not in servers and not any(ip_address(server).is_loopback for server in servers):
        return (
            f"the host asks {', '.join(servers) or 'no server'}, not tailscaled: another program rewrites "
            "/etc/resolv.conf; let "
            "systemd-resolved or NetworkManager own it, or stop that program, and restart tailscaled"
        )
    return (
        "the host's own resolver does not pass names of the mesh on to tailscaled: `resolvectl status`, or "
        "look at its cache"
    )


def _domain(seen: Answer, context: CheckContext, patient: ClientContext) -> Check:
    """Look for real names that the mesh's domain hides (7)."""
    context, domain = _named(context, "domain"), suffix(seen)
    if not domain:
        return context.skipped("MagicDNS gives no domain", expected="a domain of its own")
    names = [control_host(seen), *(relay.host for relay in relays(seen)), *patient.outside]
    real = [name for name in dict.fromkeys(names) if name and not address(name)]
    hidden = [name for name in real if within(name, domain)]
    return context.check(
        not hidden,
        expected={"domain": domain, "hides": []},
        observed={"domain": domain, "hides": hidden},
        evidence={"names": real},
        hint=(
            f"a joined node asks the mesh for everything below {domain}, and the mesh does not know "
            f"{', '.join(hidden)}: set "
            "dns.base_domain to a domain that nothing else uses, or dns.extra_records for these names"
        ),
        command=f"getent ahosts {hidden[0]}" if hidden else "",
    )


def within(name: str, domain: str) -> bool:
    """Whether a name is a domain's own or below it."""
    low = name.lower().rstrip(".")
    return low == domain or low.endswith(f".{domain}")


def outside_names(seen: Answer, patient: ClientContext) -> list[str]:
    """Return names that have nothing to do with the mesh."""
    host = control_host(seen)
    return list(dict.fromkeys([*([host] if host and not address(host) else []), *patient.outside]))


def _upstream_dns(seen: Answer, context: CheckContext, patient: ClientContext) -> Check:
    """Tell whether names outside the mesh still resolve (8)."""
    context, names = _named(context, "upstream_dns"), outside_names(seen, patient)
    if not names:
        return context.skipped("no name outside the mesh is known: set mesh_outside_names", expected="names resolve")
    rows = {name: _looked_up(seen, name) for name in names}
    outcome = {name: text(row.get("outcome")) or "not asked" for name, row in rows.items()}
    servers = addresses(mapping(seen.data("resolv_conf")).get("nameservers"))
    bad = [name for name, found in outcome.items() if found != "found"]
    resolvers = addresses(mapping(seen.data("dns_config")).get("Nameservers"))
    hint = f"{', '.join(bad)} does not resolve: the host asks {', '.join(servers) or 'no server'}; is it right and up?"
    if QUAD_100 in servers:
        hint = (
            f"{', '.join(bad)} does not resolve: tailscaled answers for everything, and the resolvers behind it "
            f"({', '.join(resolvers) or 'none'}) do not answer; correct dns.nameservers.global on the server, or set "
            "dns.override_local_dns to false"
        )
    return context.check(
        not bad, expected=dict.fromkeys(names, "found"), observed=outcome, hint=hint,
        evidence={"resolv_conf": servers, "upstream": resolvers}, command=f"getent ahosts {(bad or names)[0]}",
    )  # fmt: skip


def _routes(seen: Answer, context: CheckContext) -> list[Check]:
    """Tell whether a router forwards, and whether a node takes the routes that others serve (15)."""
    context, prefs = _named(context, "routes"), mapping(seen.data("prefs"))
    checks = []
    if advertised := [text(route) for route in items(prefs.get("AdvertiseRoutes"))]:
        checks.append(_forwards(seen, context, advertised))
    served = {
        text(mapping(peer).get("HostName")): text(route)
        for peer in mapping(mapping(seen.data("status")).get("Peer")).values()
        for route in items(mapping(peer).get("PrimaryRoutes"))
        if text(route) not in ("0.0.0.0/0", "::/0")
    }
    if served and prefs.get("RouteAll") is not True:
        who = ", ".join(f"{route} ({name})" for name, route in served.items())
        reason = (
            f"this node does not take the routes that others serve, {who}, as Linux does not by default: "
            "`tailscale set --accept-routes`"
        )
        checks.append(context.skipped(reason, aspect="accepted", expected=sorted(served.values())))
    return checks


def _forwards(seen: Answer, context: CheckContext, advertised: list[str]) -> Check:
    families = {6 if ":" in route else 4 for route in advertised}
    files = mapping(seen.data("files"))
    observed = {
        f"ipv{family}": text(mapping(files.get(_FORWARDING[family])).get("text")).strip() for family in sorted(families)
    }
    return context.check(
        all(value == "1" for value in observed.values()),
        aspect="forwarding",
        expected=dict.fromkeys(observed, "1"),
        observed=observed,
        evidence={"advertised": advertised},
        hint=(
            f"it advertises {', '.join(advertised)} and does not forward: `sysctl -w net.ipv4.ip_forward=1 "
            "net.ipv6.conf.all.forwarding=1`"
        ),
        command="sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding",
    )


def forwarding_files() -> list[str]:
    """Return the files that tell whether a host forwards."""
    return list(_FORWARDING.values())
