# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Findings about the way to a server and to a relay, from observations."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor import client_log, control, log_lines
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.client import relay
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.observed import Client, ClientContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.records import Server, ServerContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.relate import relate
from doctor import answer, examine_client, problems

_URL = "https://headscale.example.com"
_SSL = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {} (_ssl.c:1006)"


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Hostname mismatch, certificate is not valid for 'headscale.example.com'.", "give it one for this name"),
        ("IP address mismatch, certificate is not valid for '203.0.113.2'.", "give it one for this name"),
        ("unable to get local issuer certificate", "let it send its whole chain"),
        ("self-signed certificate", "add its CA to the host's trust store"),
        ("certificate has expired", "renew it"),
        ("certificate is not yet valid", "renew it"),
    ],
)
def test_what_is_wrong_with_a_certificate(said: str, remedy: str) -> None:
    hint = control.no_answer({"outcome": "tls", "error": _SSL.format(said)})
    assert remedy in hint
    assert said.strip(".") in hint
    assert "_ssl.c" not in hint
    assert ("does not trust" in hint) is ("mismatch" not in said)


def _server(*, listens: list[str], starts: int | None = None, span: float | None = None) -> Server:
    server = Server({}, ServerContext(url=_URL))
    server.serves_at, server.starts, server.log_span_s = listens, starts, span
    return server


def _refused(listens: list[str]) -> str:
    row = {"url": f"{_URL}/health", "outcome": "refused", "address": "203.0.113.2"}
    seen = {"status": {"Self": {}}, "prefs": {"ControlURL": _URL}, "server": [row]}
    return problems(examine_client(seen, server_url=_URL, server=_server(listens=listens)))["doctor.server"]


def test_a_refused_connection_is_compared_with_where_headscale_listens() -> None:
    assert "nothing listens there (203.0.113.2:443)" in _refused([])
    assert "headscale listens at 127.0.0.1:443 alone" in _refused(["127.0.0.1:443"])
    assert "headscale listens at [::1]:8080 alone" in _refused(["[::1]:8080"])
    forwarded = _refused(["0.0.0.0:443"])
    assert "headscale listens at 0.0.0.0:443 on its own host, but 203.0.113.2 refuses" in forwarded
    assert "port forwarding" in forwarded


def test_where_headscale_listens() -> None:
    rows = [
        {"proto": "tcp", "address": "::", "port": 8080, "process": {"name": "headscale"}},
        {"proto": "tcp", "address": "127.0.0.1", "port": 9090, "process": {"name": "headscale"}},
        {"proto": "tcp", "address": "0.0.0.0", "port": 8080, "process": {"name": "nginx"}},
        {"proto": "tcp", "address": "0.0.0.0", "port": 8080, "process": None},
    ]
    config = {"path": "c", "text": f"server_url: {_URL}\nlisten_addr: 0.0.0.0:8080\n"}
    seen = Server(answer(listening=rows, config=config), ServerContext(url=_URL))
    assert seen.listeners == ["[::]:8080"]
    again = Server.read(seen.as_fact(), ServerContext(url=_URL))
    assert (again.serves_at, again.starts) == (["[::]:8080"], None), (
        "without its log, nobody knows how often it started"
    )


def _relay(
    page: dict[str, Any], stun: dict[str, Any], *, seen: dict[str, Any] | None = None, **more: Any
) -> dict[str, str]:
    one = {"HostName": "relay.example.com", "IPv4": "203.0.113.9", **more}
    port = f":{more['DERPPort']}" if "DERPPort" in more else ""
    data = {
        "status": {"BackendState": "Running", "Self": {"Relay": "home"}},
        "derpmap": {"Regions": {"1": {"RegionCode": "home", "Nodes": [one]}}},
        "relays": [{"url": f"https://relay.example.com{port}/derp{path}", **page} for path in ("/probe", "")],
        "stun": [{"host": "203.0.113.9", "port": more.get("STUNPort", 3478), **stun}],
        **(seen or {}),
    }
    return {name: hint for name, hint in problems(examine_client(data)).items() if name.startswith("doctor.relay")}


_WELL: dict[str, Any] = {"outcome": "answered", "status": 200, "connected": True}


@pytest.mark.parametrize(
    ("tcp", "udp", "one"),
    [
        ("refused", "refused", True),
        ("timeout", "timeout", True),
        ("host-unreachable", "timeout", True),
        ("refused", "timeout", False),
        ("prohibited", "prohibited", False),
    ],
)
def test_a_relay_that_is_down_is_one_cause(tcp: str, udp: str, one: bool) -> None:
    found = _relay({"outcome": tcp, "address": "203.0.113.9"}, {"outcome": udp})
    assert (found["doctor.relay.stun"] == "because of doctor.relay.https") is one


def test_a_relay_that_hangs_is_one_cause() -> None:
    hung = {"outcome": "timeout", "connected": True, "address": "203.0.113.9"}
    found = _relay(hung, {"outcome": "timeout"})
    assert "accepts the connection, and does not answer in time: derper hangs" in found["doctor.relay.https"]
    assert found["doctor.relay.stun"] == "because of doctor.relay.https"
    assert "because" not in _relay(hung, {"outcome": "refused"})["doctor.relay.stun"]


def test_a_wrong_port_of_stun() -> None:
    refused = {"outcome": "refused"}
    usual = {"usual_stun": [{"host": "203.0.113.9", "port": 3478, "outcome": "answered"}]}
    found = _relay(_WELL, refused, STUNPort=3479, seen=usual)
    assert "but port 3478 does" in found["doctor.relay.stun"]
    assert "correct stunport" in found["doctor.relay.stun"]
    assert "derper's -stun" in _relay(_WELL, refused)["doctor.relay.stun"]


def test_a_wrong_port_or_address_of_a_relay() -> None:
    refused, stun = {"outcome": "refused", "address": "203.0.113.9"}, {"outcome": "answered"}
    usual = {"usual_relays": [{"url": "https://relay.example.com/derp", "status": 101}]}
    found = _relay(refused, stun, DERPPort=8443, seen=usual)["doctor.relay.https"]
    assert "nothing listens there (203.0.113.9:8443), but a relay answers at port 443: correct derpport" in found
    names = {"relay_names": [{"name": "relay.example.com", "addresses": ["203.0.113.7"]}]}
    assert (
        "leads to 203.0.113.7, and the map has the address 203.0.113.9"
        in _relay(refused, stun, seen=names)["doctor.relay.https"]
    )
    same = {"relay_names": [{"name": "relay.example.com", "addresses": ["203.0.113.9"]}]}
    assert "check that derper runs" in _relay(refused, stun, seen=same)["doctor.relay.https"]


def test_a_name_is_compared_with_the_map_within_one_family() -> None:
    refused = {"outcome": "refused", "address": "203.0.113.9"}
    names = {"relay_names": [{"name": "relay.example.com", "addresses": ["2001:db8::9"]}]}
    assert (
        "and the map has the address" not in _relay(refused, {"outcome": "answered"}, seen=names)["doctor.relay.https"]
    )


_ROUTELESS = {"outcome": "net-unreachable", "from": "local"}
_BOTH = [{"name": "eth0", "addresses": ["192.0.2.7/24", "2001:db8:7::7/64"]}]


@pytest.mark.parametrize(
    ("given", "own", "asked"),
    [
        ({"IPv4": "203.0.113.9", "IPv6": "2001:db8::9"}, [], [(4, "203.0.113.9"), (6, "2001:db8::9")]),
        ({"IPv4": "203.0.113.9", "IPv6": "2001:db8::9"}, ["192.0.2.7/24", "fe80::7/64"], [(4, "203.0.113.9")]),
        ({"IPv4": "203.0.113.9", "IPv6": "2001:db8::9"}, ["2001:db8:7::7/128"], [(6, "2001:db8::9")]),
        ({"IPv4": "203.0.113.9"}, ["192.0.2.7/24", "2001:db8:7::7/64"], [(4, "203.0.113.9"), (6, "relay")]),
        ({"IPv4": "203.0.113.9", "IPv6": "none"}, ["2001:db8:7::7/64"], [(4, "203.0.113.9")]),
        ({"IPv6": "2001:db8::9"}, [], [(4, "relay"), (6, "2001:db8::9")]),
        ({"IPv4": "none"}, [], [(6, "relay")]),
        ({"IPv4": "2001:db8::9", "IPv6": "unknown"}, [], []),
        ({"HostName": "203.0.113.9"}, [], [(4, "203.0.113.9")]),
        ({}, ["192.0.2.7/24"], [(0, "relay")]),
    ],
)
def test_a_relay_is_asked_in_the_families_of_the_host(
    given: dict[str, str], own: list[str], asked: list[tuple[int, str]]
) -> None:
    regions = {"1": {"RegionCode": "home", "Nodes": [{"HostName": "relay", **given}]}}
    links = [{"name": "eth0", "addresses": own}, {"name": "tailscale0", "addresses": ["100.64.0.1/32", "fd7a::1/128"]}]
    status = {"BackendState": "Running", "Self": {"TailscaleIPs": ["100.64.0.1"]}}
    seen = Client(answer(status=status, derpmap={"Regions": regions}, addresses=links), ClientContext())
    by_id = {
        request["id"]: request["targets"] for request in relay.requests(seen) if request["id"] in ("relays", "stun")
    }
    assert [(page["family"], page["connect"]) for page in by_id["relays"]] == [*asked, *asked]
    assert [(one["family"], one["host"]) for one in by_id["stun"]] == asked


def _dual(tcp: tuple[Any, Any], udp: tuple[str, str]) -> dict[str, str]:
    """Return what is wrong with a relay of two addresses that are asked with these outcomes."""
    pages = [
        {"url": f"https://relay.example.com/derp{path}", "address": address, **row, **more}
        for path, more in (("/probe", {}), ("", {"status": 101}))
        for address, row in zip(("203.0.113.9", "2001:db8::9"), tcp, strict=True)
    ]
    stun = [
        {"host": host, "port": 3478, "outcome": outcome}
        for host, outcome in zip(("203.0.113.9", "2001:db8::9"), udp, strict=True)
    ]
    return _relay({}, {}, IPv6="2001:db8::9", seen={"relays": pages, "stun": stun, "addresses": _BOTH})


@pytest.mark.parametrize(
    ("tcp", "udp"),
    [
        ((_ROUTELESS, _WELL), ("net-unreachable", "answered")),
        (({"outcome": "timeout"}, _WELL), ("timeout", "answered")),
        ((_WELL, _ROUTELESS), ("answered", "net-unreachable")),
        ((_WELL, {"outcome": "timeout"}), ("answered", "timeout")),
        ((_WELL, _WELL), ("answered", "timeout")),
    ],
)
def test_a_relay_that_answers_in_one_family_is_well(tcp: tuple[Any, Any], udp: tuple[str, str]) -> None:
    assert not _dual(tcp, udp)


def test_a_relay_that_answers_in_no_family_is_not() -> None:
    found = _dual(({"outcome": "refused"}, _ROUTELESS), ("refused", "net-unreachable"))
    assert "nothing listens there (203.0.113.9:443)" in found["doctor.relay.https"]
    assert found["doctor.relay.stun"] == "because of doctor.relay.https"
    found = _dual((_ROUTELESS, {"outcome": "refused"}), ("net-unreachable", "timeout"))
    assert "nothing listens there ([2001:db8::9]:443)" in found["doctor.relay.https"]
    assert "UDP port 3478 of 2001:db8::9 does not answer (timeout)" in found["doctor.relay.stun"]


def test_stun_is_judged_in_the_family_in_which_the_relay_is_used() -> None:
    found = _dual((_WELL, _WELL), ("timeout", "answered"))
    assert "UDP port 3478 of 203.0.113.9 does not answer (timeout)" in found["doctor.relay.stun"]
    found = _dual((_ROUTELESS, _WELL), ("net-unreachable", "timeout"))
    assert "UDP port 3478 of 2001:db8::9 does not answer (timeout)" in found["doctor.relay.stun"]


def test_a_relay_without_an_address_for_the_host() -> None:
    found = _relay({"outcome": "no-name"}, {"outcome": "no-name"}, seen={"addresses": _BOTH}, IPv4="", IPv6="none")
    assert "can use only the relay's IPv4 address, but the DERP map has none" in found["doctor.relay.https"]
    nameless = {"stun": [{"host": "relay.example.com", "port": 3478, "outcome": "no-name"}]}
    found = _relay({"outcome": "no-name"}, {}, seen=nameless, IPv4="none")
    assert "remove `ipv4: none`, or add ipv6" in found["doctor.relay.https"]
    assert found["doctor.relay.stun"] == "because of doctor.relay.https"
    found = _relay({}, {}, IPv4="none", IPv6="none")
    assert "the map has no address of this relay at which clients connect" in found["doctor.relay.https"]


def test_a_region_without_nodes() -> None:
    regions = {"1": {"RegionCode": "home", "Nodes": []}}
    seen = {"status": {"BackendState": "Running", "Self": {}}, "derpmap": {"Regions": regions}}
    assert "because home of its map has no nodes" in problems(examine_client(seen))["doctor.derp_map"]


def _served(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a client sees of a server that answers like this, and whose name resolves."""
    pages = [
        {"url": f"{_URL}/health", "body": '{"status":"pass"}', **row},
        {"url": f"{_URL}/ts2021", **row, **({"status": 101} if row.get("status") else {})},
    ]
    return {"server": pages, "outside": [{"name": "headscale.example.com", "outcome": "found"}]}


def _cuts(
    gaps: list[float], *, starts: int | None = 0, span: float | None = None, then: float = 10.0, agent: str = "nginx"
) -> str:
    at, lines = 1_764_407_000.0, []
    for gap in gaps:
        at += gap
        lines.append(f"{at:.6f} host tailscaled[7]: Received error: PollNetMap: unexpected EOF")
    seen = {
        "status": {"BackendState": "Running", "Self": {"Online": True}},
        "prefs": {"ControlURL": _URL},
        **_served({**_WELL, "headers": {"server": agent}}),
        "tailscaled_log": {"lines": [*lines, f"{at + then:.6f} host tailscaled[7]: netcheck: nothing new"]},
    }
    return problems(examine_client(seen, server=_server(listens=[], starts=starts, span=span))).get(
        "doctor.connection", ""
    )


def test_a_connection_that_an_idle_timeout_cuts() -> None:
    found = _cuts([6, 7, 6, 5, 9, 6, 6])
    assert "is cut about every 6 s (7 times in" in found
    assert "and headscale was not started that often, as the idle timeout of nginx" in found
    assert "`proxy_read_timeout`" in found
    assert "unless headscale is restarted that often" in _cuts([6] * 7, starts=None)
    assert "a proxy or a firewall on the way" in _cuts([6] * 7, agent="")


@pytest.mark.parametrize(
    ("gaps", "known"),
    [
        ([6] * 3, {}),
        ([6] * 7, {"starts": 4}),
        ([6] * 7, {"starts": 2, "span": 40}),
        ([6] * 7, {"then": 30.0}),
        ([1, 40, 3, 90, 5, 70, 2], {}),
        ([6, 6, 6, 6, 6, 6, 6, 30], {}),
        ([6, 6, 6, 6, 6, 6, 6, 20, 25, 22], {}),
    ],
    ids=[
        "few",
        "the server restarts",
        "and its log is short",
        "long ago",
        "irregular",
        "over, and one more",
        "over, and restarts",
    ],
)
def test_connections_that_ended_for_other_reasons(gaps: list[float], known: dict[str, Any]) -> None:
    assert not _cuts(gaps, **known)


@pytest.mark.parametrize(
    ("line", "at"),
    [
        ("1764407000.500000 host tailscaled[7]: x", 1764407000.5),
        ("2025-11-29 09:03:20.123  2025/11/29 x", 1764407000.0),
        ("2025-11-29T09:03:20Z INF x", 1764407000.0),
        ("2025-99-99 09:03:20 x", None),
        ("no time", None),
    ],
)
def test_the_time_of_a_line(line: str, at: float | None) -> None:
    assert log_lines.time_of(line) == at


def _reports(health: str, row: dict[str, Any]) -> str:
    seen = {
        "status": {"BackendState": "Running", "Self": {"Online": False}, "Health": [health]},
        "prefs": {"ControlURL": _URL},
        **_served(row),
    }
    return problems(examine_client(seen))["doctor.client"]


def test_a_client_that_asks_differently_from_its_host() -> None:
    proxy = _reports("fetch control key: proxyconnect tcp: dial tcp 10.9.9.9:3128: i/o timeout", _WELL)
    assert "correct or remove HTTPS_PROXY there" in proxy
    trust = "fetch control key: x509: certificate signed by unknown authority"
    assert "restart tailscaled, which reads that store when it starts" in _reports(trust, _WELL)
    assert _reports(trust, {"outcome": "tls", "error": "self-signed certificate"}) == "because of doctor.server"


def _check(name: str, source: str, verdict: str = "failed", **more: Any) -> dict[str, Any]:
    return {"story": "doctor", "id": f"doctor.{name}", "source": source, "target": None, "verdict": verdict, "hint": "x",
            "observed": {}, "evidence": {}, **more}  # fmt: skip


@pytest.mark.parametrize(
    ("verdicts", "same"), [(("failed", "failed"), True), (("failed", "passed"), False), ((), False)]
)
def test_an_api_that_nobody_reaches_is_no_cause_of_its_own(verdicts: tuple[str, ...], same: bool) -> None:
    seen = [_check("server", f"client-{number}", verdict) for number, verdict in enumerate(verdicts)]
    (api, *_rest) = relate([_check("api", "server", "error"), *seen])
    assert (api["hint"] == "because of doctor.server on client-0") is same


_STARTED = '2025-11-29 09:36:54.1  2025/11/29 09:36:54 Program starting: v1.102.5, Go 1.26: []string{"tailscaled"}'
_LOST = "2025-11-29 09:36:54.2  2025/11/29 09:36:54 store.New failed: failed to unmarshal: invalid character 'b'"


def _logged(*lines: str, state: str = "") -> str:
    data: dict[str, Any] = {"tailscaled_log": {"lines": list(lines)}}
    if state:
        data["status"] = {"BackendState": state, "Self": {}}
    return problems(examine_client(data))["doctor.client"]


def test_a_state_that_tailscaled_cannot_read() -> None:
    said = _logged(_STARTED, _LOST, state="NoState")
    assert "could not read its state when it started, and has forgotten its node: failed to unmarshal" in said
    assert "could not read" not in _logged(_LOST, _STARTED, state="NoState"), "it has been started again since"


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (
            "1764407000.5 host tailscaled[7]: tailscaled got signal terminated; shutting down",
            "it was stopped, as its log says",
        ),
        (
            "2025-11-29 09:36:55 2025/11/29 09:36:55 getLocalBackend error: createEngine: tstun.New: operation not permitted",
            "the last error in its log: getLocalBackend error: createEngine: tstun.New: operation not permitted",
        ),
        (
            "2025-11-29 09:36:55 tailscaled got signal terminated; shutting down\n2025-11-29 09:36:56 flag provided but not defined: -x",
            "the last error in its log: flag provided but not defined: -x",
        ),
        ("1764407000.5 host tailscaled[7]: magicsock: closing", "the last line in its log: magicsock: closing"),
    ],
)
def test_how_tailscaled_ended(after: str, words: str) -> None:
    assert _logged(_LOST, _STARTED, *after.splitlines()).endswith(words)


def test_without_a_log_nothing_is_said_of_it() -> None:
    assert "log" not in _logged()
    assert "in its log" not in _logged(_STARTED)


def test_an_api_that_nobody_reaches_has_the_cause_of_the_clients() -> None:
    dns = {"because": {"id": "doctor.upstream_dns", "source": "client"}}
    (api, *_rest) = relate([_check("api", "server", "error"), _check("server", "client", evidence=dns)])
    assert api["hint"] == "because of doctor.upstream_dns on client"


@pytest.mark.parametrize(
    "less",
    [
        {"outcome": "no-name"},
        {"outcome": "net-unreachable"},
        {"outcome": "timeout", "from": "", "address": "2001:db8::1"},
        {"outcome": "host-unreachable", "from": "local", "address": "2001:db8::1"},
        {"outcome": "net-unreachable", "from": "2001:db8::ff", "address": "2001:db8::1"},
    ],
)
def test_what_the_other_side_says_in_one_family_tells_most(less: dict[str, Any]) -> None:
    refused = {"outcome": "refused", "from": "203.0.113.9", "address": "203.0.113.9"}
    for rows in ([less, refused], [refused, less]):
        assert control.most_telling(rows) == refused
        assert control.most_telling([*rows, _WELL]) == _WELL


@pytest.mark.parametrize(("upstream", "one"), [("203.0.113.9", True), ("203.0.113.8", False)])
def test_a_machine_that_is_down_and_is_relay_and_resolver(upstream: str, one: bool) -> None:
    seen = {
        "status": {"BackendState": "Running", "Self": {"Relay": "home"}},
        "prefs": {"ControlURL": _URL, "CorpDNS": True},
        "dns_map": {"Resolvers": [{"Addr": upstream}]},
        "resolv_conf": {"nameservers": ["100.100.100.100"]},
        "outside": [{"name": "headscale.example.com", "outcome": "timeout"}],
        "derpmap": {"Regions": {"1": {"RegionCode": "home", "Nodes": [{"HostName": "relay", "IPv4": "203.0.113.9"}]}}},
        "relays": [{"url": "https://relay/derp/probe", "outcome": "host-unreachable"}],
        "disco": {"100.64.0.2": {"answered": True, "last": {"endpoint": "198.51.100.7:41641"}}},
    }
    found = problems(examine_client(seen))
    assert (found["doctor.upstream_dns"] == "because of doctor.relay.https") is one


@pytest.mark.parametrize(
    ("lines", "starts"),
    [
        (["2025-11-29T09:03:20Z INF Opening database", "2025-11-29T09:03:29Z INF x"], 1),
        (["2025-11-29T09:03:29Z INF x"], 0),
        (['{"level":"info","message":"Opening database"}'], None),
        ([], None),
    ],
)
def test_how_often_the_server_started(lines: list[str], starts: int | None) -> None:
    assert Server(answer(log={"lines": lines}), ServerContext(url=_URL)).recent_starts == starts


@pytest.mark.parametrize(
    ("since", "span"),
    [("2025-11-29T09:03:20Z DBG x", 9.0), ("a panic: no time", None), ("", None)],
)
def test_how_far_back_the_servers_log_reaches(since: str, span: float | None) -> None:
    server = Server(answer(log={"since": since, "lines": ["2025-11-29T09:03:29Z INF x"]}), ServerContext(url=_URL))
    assert server.log_seconds == span
    assert Server.read(server.as_fact(), ServerContext(url=_URL)).log_span_s == span


@pytest.mark.parametrize(
    ("state", "log", "because"),
    [
        ("NoState", [], True),
        ("Starting", [], True),
        ("Stopped", [], False),
        ("NeedsLogin", [], False),
        ("NoState", [_STARTED, _LOST], False),
    ],
)
def test_a_client_that_waits_for_a_server_that_does_not_answer(state: str, log: list[str], because: bool) -> None:
    seen = {
        "status": {"BackendState": state, "Self": {}},
        "prefs": {"ControlURL": _URL},
        **_served({"outcome": "timeout"}),
        "tailscaled_log": {"lines": log},
    }
    assert (problems(examine_client(seen))["doctor.client"] == "because of doctor.server") is because


def test_a_client_that_was_cut_a_moment_ago_is_no_cause_of_its_own() -> None:
    lines = [f"{1_764_407_000 + 6 * number}.0 host tailscaled[7]: {client_log.CUT}" for number in range(8)]
    seen = {
        "status": {"BackendState": "Running", "Self": {"Online": False}},
        "prefs": {"ControlURL": _URL},
        **_served(_WELL),
        "tailscaled_log": {"lines": lines},
    }
    assert problems(examine_client(seen))["doctor.client"] == "because of doctor.connection"


def _asked(
    name: str, source: str, outcome: str, address: str = "203.0.113.10", *, url: str = "https://hs/health", **seen: Any
) -> dict[str, Any]:
    passed = outcome == "answered"
    return {
        "id": f"doctor.{name}", "story": "doctor", "assertion": name.split(".", maxsplit=1)[0], "source": source,
        "target": None if name == "server" else "lab/relay", "verdict": "passed" if passed else "failed",
        "expected": {"url": url, "udp": "203.0.113.10:3478"}, "observed": {"outcome": outcome},
        "evidence": {**({"address": address} if address else {}), **seen}, "hint": "" if passed else "check that it runs",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ([_asked("relay.https", "a", "answered"), _asked("relay.https", "b", "refused")],
         "the relay lab/relay does not answer this host at 203.0.113.10 (refused), but answers a: look at the firewall of this host, at "
         "those of its network and its router, and at that of the relay, which may ban the address that it sees"),
        ([_asked("server", "a", "answered"), _asked("server", "b", "timeout")],
         "the server https://hs does not answer this host at 203.0.113.10 (timeout), but answers a: look at the firewall of this host, at "
         "those of its network and its router, and at that of the server, which may ban the address that it sees"),
        ([_asked("relay.stun", "a", "answered", ""), _asked("relay.stun", "b", "timeout", "")],
         "UDP port 3478 of the relay lab/relay, which STUN needs, does not answer this host (timeout), but answers a"),
        ([_asked("server", "a", "answered"), _asked("server", "b", "refused", "10.0.0.20")],
         "this host resolves the server https://hs to 10.0.0.20, where nothing answers (refused); a resolves the same name to 203.0.113.10 "
         "and gets an answer: correct /etc/hosts or the resolver of this host"),
        ([_asked("server", "a", "answered", proxy="http://10.0.0.9:3128"), _asked("server", "b", "refused", "10.0.0.20")],
         "the server https://hs is at 10.0.0.20 for this host, where nothing answers (refused), and at 203.0.113.10 for a, which gets an "
         "answer there: correct /etc/hosts"),
        ([_asked("server", "a", "refused"), _asked("server", "b", "refused")], "check that it runs"),
        ([_asked("server", "a", "answered", url="https://other/health"), _asked("server", "b", "refused")], "check that it runs"),
        ([_asked("server", "a", "answered"), _asked("server", "b", "tls")], "check that it runs"),
        ([_asked("server", "a", "answered"), _asked("server", "b", "handshake", error="TLSV1_ALERT_PROTOCOL_VERSION")],
         "the server https://hs answers a, but the TLS handshake fails on this host at 203.0.113.10 (TLSV1_ALERT_PROTOCOL_VERSION); nothing "
         "else was seen of what answers here: compare the TLS versions"),
        ([_asked("server", "a", "answered"), _asked("server", "b", "handshake", "10.0.0.20")],
         "this host resolves the server https://hs to 10.0.0.20, where the TLS handshake fails; a resolves the same name to 203.0.113.10 and "
         "gets an answer: correct /etc/hosts"),
        ([_asked("server", "a", "answered"), _asked("server", "b", "timeout", addresses=["203.0.113.10", "2001:db8::1"])],
         "the server https://hs does not answer this host at 203.0.113.10 (timeout), but answers a: look at the firewall of this host"),
        ([_asked("server", "a", "answered"), _asked("server", "b", "refused", "203.0.113.5", addresses=["203.0.113.5", "203.0.113.10"])],
         "the server https://hs does not answer this host at 203.0.113.5 (refused), but answers a at 203.0.113.10: look at the firewall"),
        ([_asked("server", "a", "answered"), _asked("server", "b", "refused", "10.0.0.20", addresses=["10.0.0.20", "10.0.0.21", "fd00::1"])],
         "this host resolves the server https://hs to 10.0.0.20, 10.0.0.21, where nothing answers (refused); a resolves the same name to"),
        ([_asked("server", "a", "answered"), _asked("server", "b", "net-unreachable")],
         "the server https://hs does not answer this host at 203.0.113.10 (net-unreachable), but answers a: look at the routes and the "
         "firewall of this host"),
        ([_asked("server", "a", "answered"), _asked("server", "b", "net-unreachable", "2001:db8::1")],
         "check that it runs; it answers a at 203.0.113.10"),
        ([_asked("server", "a", "answered", "2001:db8::1"), _asked("server", "b", "refused", addresses=["203.0.113.10", "2001:db8::1"])],
         "check that it runs; it answers a at 2001:db8::1"),
        ([_asked("relay.https", "a", "answered"), _asked("relay.https", "b", "refused", "203.0.113.11")],
         "the relay lab/relay is at 203.0.113.11 for this host, where nothing answers (refused), and at 203.0.113.10 for a, which gets an "
         "answer there: correct its DERP map (doctor.derp_map.same), /etc/hosts or the resolver of this host"),
        ([_asked("server", "a", "answered"), _asked("server", "b", "refused", addresses=[["x"], None, "y", {}])],
         "the server https://hs does not answer this host at 203.0.113.10 (refused), but answers a: look at the firewall"),
    ],
)  # fmt: skip
def test_what_answers_others_is_not_said_to_be_down(checks: list[dict[str, Any]], said: str) -> None:
    assert relate(checks)[1]["hint"].startswith(said)
