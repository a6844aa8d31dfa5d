# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Examines a mesh for the ways in which meshes fail; see the module of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..module_utils import _hujson
from ..plugin_utils._action.assertion import COMMON, MEMBERS, Assertion, BadInput, Request
from ..plugin_utils._action.expected_paths import expected_paths
from ..plugin_utils._action.peers import expectation
from ..plugin_utils._action.server import server, server_url
from ..plugin_utils._inventory.policy import Member, Policy, forbidden, unknown_names
from ..plugin_utils._judge import control
from ..plugin_utils._judge import doctor_client as client
from ..plugin_utils._judge.answer import Answer, addresses, items, mapping, text
from ..plugin_utils._judge.check import Check
from ..plugin_utils._judge.doctor_server import ClientView, Server, judge_server, listed
from ..plugin_utils._judge.query import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOOK_S = 12.0
_API = {"nodes": "node", "users": "user", "preauthkeys": "preauthkey", "policy": "policy"}


class ActionModule(Assertion):
    """Looks twice at a client, once at the server, and changes nothing on either."""

    ASSERTION = "diagnose"
    ARGUMENTS = {  # noqa: RUF012
        **COMMON,
        **MEMBERS,
        "part": {"type": "str", "choices": ["client", "server"], "required": True},
        "config": {"type": "path", "default": "/etc/headscale/config.yaml"},
        "url": {"type": "str"},
        "api_key": {"type": "str", "no_log": True},
        "api_key_file": {"type": "path"},
        "ca_path": {"type": "path", "aliases": ["ca_file"]},
        "warning_days": {"type": "float"},
    }

    _diagnosis: dict[str, Any]

    def prepare(self) -> None:
        """Check the options."""
        self._diagnosis = {}
        self._url = text(self.options.get("url") or self.variable("mesh_server_url"))
        self._outside = [text(name) for name in items(self.variable("mesh_outside_names"))]
        if self.options["part"] == "server":
            self._server = {**server(self), "url": server_url(self)}

    def _converge(self) -> list[Check]:
        """Examine once: what is wrong now is to be told, not waited for."""
        return self._examine_client() if self.options["part"] == "client" else self._examine_server()

    def facts(self, checks: Sequence[Check]) -> dict[str, Any]:
        """Return what the examination of the server needs of a client."""
        return {"ansible_facts": {"mesh_diagnosis": self._diagnosis}} if self._diagnosis else {}

    # -- a client

    def _examine_client(self) -> list[Check]:
        first = self.probe(_first(), seconds=_LOOK_S)
        seen = Answer(first)
        more = self.probe(self._second(seen), seconds=_LOOK_S) if mapping(seen.data("status")) else {}
        together = {
            **first,
            "observations": {**mapping(first.get("observations")), **mapping(more.get("observations"))},
        }
        self._diagnosis = _diagnosis(Answer(together))
        patient = client.ClientContext(
            expected_paths=self._expected_paths(), server_url=self._url, outside=tuple(self._outside)
        )
        return client.judge_client(together, self.context, patient)

    def _expected_paths(self) -> tuple[Any, ...]:
        try:
            peers = self.peers()
        except BadInput:
            # Nobody else is known: there is no path to tell of.
            return ()
        expect = expectation(self)
        return expected_paths(
            self, [peer for peer in peers if expect.sees(self.host, peer.name)], kind="auto", deep=True
        )

    def _second(self, seen: Answer) -> list[Request]:
        url, relays = client.control_url(seen), client.relays(seen)
        web: list[Request] = [
            *control.asked(url),
            {"url": f"{url}/key?v={client.KEY_VERSION}"},
        ]
        web = web if url else []
        web += [
            {**asked, **({"connect": relay.address} if relay.address else {})}
            for relay in relays
            if relay.derp_port > 0
            for asked in ({"url": relay.url}, {"url": relay.derp_url, "upgrade": "DERP"})
        ]
        names = [
            name
            for name in (
                client.own_name(seen),
                *client.outside_names(seen, client.ClientContext(outside=tuple(self._outside))),
            )
            if name
        ]
        peers = [mapping(peer) for peer in mapping(mapping(seen.data("status")).get("Peer")).values()]
        mesh = [known for peer in peers for known in addresses(peer.get("TailscaleIPs"))[:1]]
        return [
            {"id": "web", "kind": "http", "targets": web, "try_timeout_s": 5.0},
            {
                "id": "stun",
                "kind": "stun",
                "targets": [{"host": r.where, "port": r.stun_port} for r in relays if r.stun_port > 0],
            },
            {"id": "getaddrinfo", "kind": "getaddrinfo", "names": names},
            {
                "id": "dns",
                "kind": "dns",
                "server": "100.100.100.100",
                "queries": [{"name": name, "type": "A"} for name in names[:1]],
            },
            {"id": "disco", "kind": "disco", "targets": mesh, "tries": 8, "interval_s": 0.4, "until_direct": True},
            # A first handshake that is lost is tried again after five seconds, and what waited for it goes out then.
            {"id": "icmp", "kind": "icmp", "targets": mesh, "count": 3, "try_timeout_s": 7.0},
        ]

    # -- the server

    def _examine_server(self) -> list[Check]:
        requests: list[Request] = [
            {"id": name, "kind": "headscale", "path": f"/api/v1/{path}", **self._server} for name, path in _API.items()
        ]
        extra = {"ca_file": self._server["ca_file"]} if "ca_file" in self._server else {}
        web = [{"url": f"{self._server['url'].rstrip('/')}/{path}", **extra} for path in ("version", "health")]
        requests += [
            {"id": "web", "kind": "http", "targets": web},
            {"id": "config", "kind": "config", "path": self.options["config"]},
        ]
        answer = self.probe(requests, seconds=_LOOK_S)
        return judge_server(answer, self.context, self._known(Answer(answer)))

    def _known(self, seen: Answer) -> Server:
        clients = [str(name) for name in mapping(plain(self.known.get("groups") or {})).get("clients") or []]
        seers = tuple(
            ClientView.read(name, found) for name in clients if (found := mapping(self.of_host(name, "mesh_diagnosis")))
        )
        config, problem = _config(seen, self._server["url"])
        return Server(
            url=self._server["url"].rstrip("/"),
            clients=tuple(clients),
            seers=seers,
            warning_days=self.setting("expiry_warning_days", self.options.get("warning_days")),
            config=config,
            config_problem=problem,
            **self._policy(seen, seers),
        )

    def _policy(self, seen: Answer, seers: Sequence[ClientView]) -> dict[str, Any]:
        """Return what the policy says of these clients."""
        said = mapping(seen.data("policy")).get("policy")
        if said is None and "policy not found" not in seen.why("policy"):
            return {"policy_problem": f"the policy cannot be read: {seen.why('policy')}"}
        users = [mapping(user) for user in items(mapping(seen.data("users")).get("users"))]
        nodes = {text(node.get("nodeKey")): node for node in listed(seen) or []}
        try:
            document = _hujson.parse(text(said)) if text(said).strip() else None
            policy = Policy.read(document)
            members = [_member(seer.name, nodes[seer.key]) for seer in seers if seer.key in nodes]
            kept = frozenset(forbidden(policy, members))
        except ValueError as exc:
            return {"policy_problem": f"the policy cannot be read: {exc}"}
        expect = expectation(self)
        names = [member.name for member in members]
        pairs = {(one, other) for one in names for other in names if one != other}
        tags = {text(tag) for node in nodes.values() for tag in items(node.get("tags"))}
        return {
            "unknown_names": tuple(unknown_names(document, users=users, tags=tags)),
            "forbidden": kept,
            "unexpected": frozenset(pair for pair in pairs if expect.reaches(*pair) == (pair in kept)),
        }


def _first() -> list[Request]:
    return [
        {"id": "status", "kind": "status"},
        {"id": "prefs", "kind": "prefs"},
        {"id": "derpmap", "kind": "derpmap"},
        {"id": "dns_config", "kind": "dns_config"},
        {"id": "resolv_conf", "kind": "resolv_conf"},
        {"id": "files", "kind": "files", "paths": client.forwarding_files()},
    ]


def _diagnosis(seen: Answer) -> dict[str, Any]:
    """Return the fact that the server's examination reads."""
    status = mapping(seen.data("status"))
    me = mapping(status.get("Self"))
    answered = {known: mapping(result).get("answered") is True for known, result in mapping(seen.data("disco")).items()}
    echoed = {known: bool(mapping(result).get("received")) for known, result in mapping(seen.data("icmp")).items()}
    web = [mapping(row) for row in items(seen.data("web"))]
    key = next((row for row in web if "/key?v=" in text(row.get("url"))), {})
    answers = {text(row.get("url")).rpartition("/")[2]: row.get("status") for row in web}
    regions = mapping(mapping(seen.data("derpmap")).get("Regions"))
    return {
        "key": text(me.get("PublicKey")) if addresses(me.get("TailscaleIPs")) else "",
        "dns_name": text(me.get("DNSName")).rstrip("."),
        "state": text(status.get("BackendState")),
        "online": me.get("Online") is True,
        "version": text(status.get("Version")).partition("-")[0],
        "health": [text(line) for line in items(status.get("Health"))],
        "server_key": _public_key(text(key.get("body"))),
        "server_answers": answers.get("health") == 200 and answers.get("ts2021") == 101,  # noqa: PLR2004
        "regions": sorted(text(mapping(region).get("RegionCode")) for region in regions.values()),
        "answered": answered,
        "echoed": echoed,
    }


def _public_key(body: str) -> str:
    try:
        return text(mapping(_hujson.parse(body)).get("publicKey"))
    except ValueError:
        return ""


def _member(name: str, node: dict[str, Any]) -> Member:
    user = mapping(node.get("user"))
    return Member.read(
        name,
        {
            "user": {"name": text(user.get("name")), "email": text(user.get("email"))},
            "tags": [text(tag) for tag in items(node.get("tags"))],
            "ip_addresses": addresses(node.get("ipAddresses")),
        },
    )


def _config(seen: Answer, url: str) -> tuple[dict[str, Any] | None, str]:
    """Return the server's configuration, or why it is not looked at."""
    import yaml

    found = mapping(seen.data("config"))
    if not found:
        return None, f"the server's configuration is not read: {seen.why('config')}"
    try:
        config = yaml.safe_load(text(found.get("text")))
    except yaml.YAMLError as exc:
        return None, f"{text(found.get('path'))} is no YAML: {' '.join(str(exc).split())}"
    if not isinstance(config, dict):
        return None, f"{text(found.get('path'))} holds no settings"
    if text(config.get("server_url")).rstrip("/") != url.rstrip("/"):
        return (
            None,
            f"{text(found.get('path'))} on this host belongs to another server ({text(config.get('server_url'))})",
        )
    return config, ""
