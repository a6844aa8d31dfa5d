# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of the mesh and names outside, from observations of a client."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.client import split_dns
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.observed import Client, ClientContext
from doctor import answer, examine_client, problems

_SERVER, _CORP = "headscale.lab.test", "git.corp.lan"
_ME = {"TailscaleIPs": ["100.64.0.1"], "DNSName": "a.mesh.example.net.", "Online": True, "PublicKey": "nodekey:1"}
_FOUND, _SILENT, _SERVFAIL, _NXDOMAIN, _REFUSED = (
    {"answered": True, "rcode": 0}, {"answered": False, "rcode": None}, *({"answered": True, "rcode": code} for code in (2, 3, 5)),
)  # fmt: skip


def _client(*, magic: bool = True, accepts: bool = True, **data: Any) -> dict[str, Any]:
    """Return the observations of a client whose host and tailscaled resolve its own name."""
    own = {"name": "a.mesh.example.net", "outcome": "found", "addresses": ["100.64.0.1"]}
    tailnet = {"MagicDNSEnabled": magic, "MagicDNSSuffix": "mesh.example.net"}
    return {
        "status": {"BackendState": "Running", "TUN": True, "Self": _ME, "Peer": {}, "CurrentTailnet": tailnet},
        "prefs": {"ControlURL": f"https://{_SERVER}", "CorpDNS": accepts},
        "addresses": [{"name": "tailscale0", "addresses": ["100.64.0.1/32"]}],
        "resolv_conf": {"nameservers": ["100.100.100.100"]},
        "dns_map": {"Resolvers": [{"Addr": "1.1.1.1"}]},
        "dns": [{"name": own["name"], "outcome": "answered", "answers": [{"value": "100.64.0.1"}]}],
        "own_name": [own],
        **data,
    }


def _lost(answers: dict[str, Any], **data: Any) -> str:
    """Return the hint about names outside, of which tailscaled gave these answers and the host found the server alone."""
    rows = [{"name": name, "outcome": "found" if row == _FOUND else "not-found"} for name, row in answers.items()]
    found = examine_client(_client(own_dns=answers, outside=rows, **data), outside=(_CORP,))
    return problems(found)["doctor.upstream_dns"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (_NXDOMAIN, "the answer through tailscaled is NXDOMAIN, so its upstream resolvers (1.1.1.1) know no such name; correct the name, or name "
         "resolvers that know its domain in dns.nameservers.split"),
        (_REFUSED, "the answer through tailscaled is REFUSED, which its upstream resolvers (1.1.1.1) gave"),
        (_SERVFAIL, "the answer through tailscaled is SERVFAIL, so its upstream resolvers (1.1.1.1) gave that answer, or were not reached; ask one "
         "(`dig @1.1.1.1 git.corp.lan`)"),
        (_SILENT, "tailscaled gets no answer in time from its upstream resolvers (1.1.1.1), although it answers for headscale.lab.test"),
        (None, "tailscaled gets no answer in time from its upstream resolvers (1.1.1.1), although it answers for headscale.lab.test"),
        ({"outcome": "broken", "error": "404"}, "what tailscaled answers was not seen; see whether its upstream resolvers (1.1.1.1) answer"),
        ({"answered": True, "rcode": 11}, "the answer through tailscaled is the code 11"),
    ],
)  # fmt: skip
def test_a_resolver_that_answers_is_quoted_and_not_said_to_be_silent(answer: Any, said: str) -> None:
    hint = _lost({_SERVER: _FOUND, _CORP: answer})
    assert hint.startswith("git.corp.lan does not resolve: ")
    assert said in hint
    assert "do not answer" not in hint


def test_resolvers_that_answer_for_no_name_are_silent() -> None:
    hint = _lost({_SERVER: _SILENT, _CORP: _SILENT})
    assert hint == (
        "headscale.lab.test, git.corp.lan do not resolve: tailscaled answers all queries, and its upstream resolvers (1.1.1.1) do not answer; "
        "correct dns.nameservers.global on the server, or set dns.override_local_dns to false"
    )


def test_each_name_has_its_own_reason() -> None:
    hint = _lost({_SERVER: _SILENT, _CORP: _NXDOMAIN})
    assert (
        "headscale.lab.test does not resolve: tailscaled gets no answer in time from its upstream resolvers (1.1.1.1)"
        in hint
    )
    assert "; git.corp.lan does not resolve: the answer through tailscaled is NXDOMAIN" in hint


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (_NXDOMAIN, "upstream resolvers (10.0.0.53) know no such name; correct the name, or correct dns.nameservers.split (corp.lan) on the server"),
        (_SILENT, "upstream resolvers (10.0.0.53) do not answer; correct dns.nameservers.split (corp.lan) on the server"),
    ],
)  # fmt: skip
def test_a_name_of_a_domain_with_its_own_resolver(answer: Any, said: str) -> None:
    routes = {"lan.": [{"Addr": "10.0.0.1"}], "corp.lan.": [{"Addr": "10.0.0.53"}]}
    hint = _lost({_SERVER: _FOUND, _CORP: answer}, dns_map={"Resolvers": [{"Addr": "1.1.1.1"}], "Routes": routes})
    assert hint.endswith(said)


def test_resolvers_that_the_server_did_not_give_are_not_those_of_its_configuration() -> None:
    own = {"dns_map": {"Resolvers": None}, "dns_config": {"Nameservers": ["100.100.100.100"]}}
    hint = _lost({_SERVER: _SILENT, _CORP: _SILENT}, **own)
    assert "those that this host had before, so tailscaled asks these, and they do not answer" in hint
    assert "override_local_dns to false" not in hint
    assert "100.100.100.100" not in hint


_DOH = "https://dns.nextdns.io/abc123"


@pytest.mark.parametrize("resolver", [_DOH, "10.1.1.1:5353"])
def test_a_resolver_that_is_no_address_is_one_that_the_server_gave(resolver: str) -> None:
    own = {"dns_map": {"Resolvers": [{"Addr": resolver}]}, "dns_config": {"Nameservers": ["192.168.1.1"]}}
    hint = _lost({_SERVER: _SILENT, _CORP: _SILENT}, **own)
    assert f"and its upstream resolvers ({resolver}) do not answer" in hint
    assert "the server gives no resolvers" not in hint
    asked = _lost({_SERVER: _SERVFAIL, _CORP: _SERVFAIL}, **own)
    assert "(`tailscale dns query headscale.lab.test`)" in asked


def test_a_domain_whose_resolver_is_a_url_is_not_tailscaleds_alone() -> None:
    routes = {"corp.lan.": [{"Addr": _DOH}], "lan.": []}
    hint = _lost({_SERVER: _FOUND, _CORP: _NXDOMAIN}, dns_map={"Resolvers": [{"Addr": "1.1.1.1"}], "Routes": routes})
    assert f"so its upstream resolvers ({_DOH}) know no such name" in hint
    known = Client(
        answer(dns_map={"Routes": {**routes, "b.": [{"Addr": "10.0.0.53"}, {"Addr": _DOH}]}}), ClientContext()
    )
    assert [request["server"] for request in split_dns.requests(known)] == ["10.0.0.53"]


def test_an_exit_node_may_answer_in_place_of_the_resolvers() -> None:
    hint = _lost({_SERVER: _FOUND, _CORP: _NXDOMAIN}, prefs={"ControlURL": f"https://{_SERVER}", "ExitNodeID": "2"})
    assert "1.1.1.1" not in hint


def test_a_silent_relay_explains_no_answer_of_a_resolver() -> None:
    relay = {"HostName": "relay.lab.test", "IPv4": "1.1.1.1"}
    more = {
        "derpmap": {"Regions": {"1": {"RegionCode": "lab", "Nodes": [relay]}}},
        "relays": [{"url": "https://relay.lab.test/derp/probe", "outcome": "timeout", "connected": False}],
        "stun": [{"host": "1.1.1.1", "port": 3478, "outcome": "answered"}],
    }
    assert "NXDOMAIN" in _lost({_SERVER: _FOUND, _CORP: _NXDOMAIN}, **more)
    assert _lost({_SERVER: _SILENT, _CORP: _SILENT}, **more) == "because of doctor.relay.https"


@pytest.mark.parametrize(("server", "because"), [(_FOUND, False), (_SILENT, True)])
def test_a_lost_name_explains_a_lost_server_only_if_it_is_the_servers(server: dict[str, Any], because: bool) -> None:
    rows = [
        {"name": _SERVER, "outcome": "found" if server == _FOUND else "failed"},
        {"name": _CORP, "outcome": "not-found"},
    ]
    data = _client(own_dns={_SERVER: server, _CORP: _NXDOMAIN}, outside=rows)
    data["status"]["Self"] = {**_ME, "Online": False}
    found = problems(examine_client(data, outside=(_CORP,)))
    assert "doctor.upstream_dns" in found
    for check in ("doctor.client", "doctor.server", "doctor.proxy"):
        assert (found[check] == "because of doctor.upstream_dns") is because


_WIKI, _DERP = "wiki.mesh.example.net", "derp.mesh.example.net"
_RELAY = {"Regions": {"1": {"RegionCode": "home", "Nodes": [{"HostName": _DERP, "IPv4": "203.0.113.9"}]}}}


@pytest.mark.parametrize(
    ("wiki", "relay", "hidden"),
    [
        (_FOUND, _FOUND, []),
        (_FOUND, None, []),  # the host alone was asked for the relay
        (_NXDOMAIN, _FOUND, [_WIKI]),
        (_FOUND, _NXDOMAIN, [_DERP]),
        (_NXDOMAIN, _NXDOMAIN, [_DERP, _WIKI]),
    ],
)
def test_a_name_below_the_domain_that_is_found_is_not_hidden(wiki: Any, relay: Any, hidden: list[str]) -> None:
    host = "found" if relay in (_FOUND, None) else "not-found"
    data = _client(
        derpmap=_RELAY,
        own_dns={_SERVER: _FOUND, _WIKI: wiki},
        relay_names=[{"name": _DERP, "outcome": host}],
        outside=[{"name": _SERVER, "outcome": "found"}, {"name": _WIKI, "outcome": "found" if wiki == _FOUND else "not-found"}],
        **({"below_domain": {_DERP: relay}} if relay else {}),
    )  # fmt: skip
    checks = examine_client(data, outside=(_WIKI,))
    (found,) = [check for check in checks if check.id == "doctor.domain"]
    assert (found.verdict, found.observed["hides"]) == ("failed" if hidden else "passed", hidden)
    assert not hidden or f"and {', '.join(hidden)} {'is' if len(hidden) == 1 else 'are'} not found" in found.hint
    if _WIKI in hidden:
        assert problems(checks)["doctor.upstream_dns"] == "because of doctor.domain"


def test_a_name_below_the_domain_that_nothing_asked_for_is_unknown() -> None:
    (found,) = [check for check in examine_client(_client(derpmap=_RELAY)) if check.id == "doctor.domain"]
    assert (found.verdict, found.observed["hides"]) == ("error", [])
    assert f"{_DERP} is neither found nor denied" in found.hint


def test_a_name_below_the_domain_whose_resolver_fails_is_not_denied() -> None:
    failing = {"answered": True, "rcode": 2}
    data = _client(
        derpmap=_RELAY, own_dns={_SERVER: _FOUND}, below_domain={_DERP: failing},
        relay_names=[{"name": _DERP, "outcome": "failed"}], outside=[{"name": _SERVER, "outcome": "found"}],
    )  # fmt: skip
    (found,) = [check for check in examine_client(data) if check.id == "doctor.domain"]
    assert (found.verdict, found.observed["hides"]) == ("error", [])
    assert "run the doctor again when their resolvers answer" in found.hint


@pytest.mark.parametrize("more", [{"accepts": False}, {"magic": False}])
def test_a_domain_that_is_not_in_use_hides_nothing(more: dict[str, Any]) -> None:
    missing = {"relay_names": [{"name": _DERP, "outcome": "not-found"}]}
    (found,) = [
        check for check in examine_client(_client(derpmap=_RELAY, **missing, **more)) if check.id == "doctor.domain"
    ]
    assert found.verdict == "skipped"


_OURS = [{"Addr": "100.64.0.1"}]


@pytest.mark.parametrize(
    ("more", "known", "reason"),
    [
        ({"dns_map": {"Resolvers": _OURS}}, {}, "this host is a resolver of the mesh (100.64.0.1)"),
        ({"dns_map": {"FallbackResolvers": _OURS}}, {}, "this host is a resolver of the mesh (100.64.0.1)"),
        ({"dns_map": {"Routes": {"corp.lan.": _OURS}}}, {}, "this host is a resolver of the mesh (100.64.0.1)"),
        ({}, {"accepts_dns": False}, "tailscale_client_accept_dns is false for this host"),
        ({}, {}, ""),
        ({"dns_map": {"Resolvers": [{"Addr": "100.64.0.2"}]}}, {}, ""),
    ],
)
def test_a_client_without_the_meshs_dns_has_a_reason_or_a_finding(
    more: dict[str, Any], known: dict[str, Any], reason: str
) -> None:
    checks = examine_client(_client(accepts=False, **more), **known)
    (found,) = [check for check in checks if check.id == "doctor.magic_dns"]
    assert found.verdict == ("skipped" if reason else "failed")
    assert found.hint.startswith(
        reason or "this client ignores the server's DNS settings: `tailscale set --accept-dns=true`"
    )


@pytest.mark.parametrize("known", [{}, {"accepts_dns": False}])
def test_a_resolver_of_the_mesh_that_uses_its_dns_is_examined_as_any_client(known: dict[str, Any]) -> None:
    data = _client(dns_map={"Resolvers": _OURS})
    assert "doctor.magic_dns" not in problems(examine_client(data, **known))
    data["own_name"] = [{"name": "a.mesh.example.net", "outcome": "not-found"}]
    assert "doctor.magic_dns" in problems(examine_client(data, **known))


@pytest.mark.parametrize(("domain", "verdict"), [("mesh.example.net", "failed"), ("", "skipped")])
def test_magic_dns_that_is_off_is_a_fault_only_where_the_inventory_states_a_domain(domain: str, verdict: str) -> None:
    (found,) = [
        check for check in examine_client(_client(magic=False), domain=domain) if check.id == "doctor.magic_dns"
    ]
    assert found.verdict == verdict
    assert found.hint.startswith("MagicDNS is off on the server")
