# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Generate policies about the users, tags and addresses of a small mesh."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

USERS = ("alice", "bob", "carol")
TAGS = ("tag:web", "tag:db", "tag:router", "tag:exit")
SUBNET = "10.1.0.0/16"

DEFINITIONS = {
    "groups": {"group:staff": ["alice@", "gone@"], "group:ops": ["bob@", "carol@example.com"], "group:none": ["gone@"]},
    "hosts": {"first": "100.64.0.1", "first6": "fd7a:115c:a1e0::1", "lan": SUBNET, "half": "100.64.0.0/30",
              "half6": "fd7a:115c:a1e0::4/126", "any": "0.0.0.0/0"},
    "tagOwners": {"tag:web": ["group:ops"], "tag:db": ["tag:web"], "tag:router": ["alice@"], "tag:exit": [], "tag:idle": []},
}  # fmt: skip

_NAMES = (
    "*", "alice@", "bob@", "carol@", "carol@example.com", "gone@", "group:staff", "group:ops", "group:none", *TAGS, "tag:idle",
    "first", "first6", "lan", "half", "100.64.0.2", "100.64.0.4/30", "fd7a:115c:a1e0::2", "fd7a:115c:a1e0::/125", "10.1.2.0/24",
    "10.0.0.0/8", "198.51.100.7", "autogroup:member", "autogroup:tagged",
    "half6", "any", "100.64.0.0/10", "fd7a:115c:a1e0::/48", "100.64.0.3/32", "10.1.0.0/16",
)  # fmt: skip
_SOURCES = ("autogroup:danger-all", "0.0.0.0/0", "::/0")
_OWN = ("alice@", "group:staff", "group:ops", "autogroup:member")
# What is behind the router and the exit node, and a name that is not.
_BEHIND = st.lists(
    st.sampled_from(["lan", "10.1.2.0/24", "10.0.0.0/8", "autogroup:internet", "bob@"]), min_size=1, max_size=2
)
_PORTS = st.sampled_from(
    [
        "*",
        "22",
        "80-90",
        "22,443",
        "80-85,86-90,8080",
        "0-65535",
        "1-1023",
        "1-65535",
        "23-80",
        "22,22",
        "443-443",
        "24-79,87-442,8081-65534",
    ]
)
# Now and then, what the server refuses.
_WRONG_NAMES = (
    "tag:none", "group:absent", "autogroup:shared", "autogroup:self", "nowhere", "a:b:c", "autogroup:admin", "autogroup:nonroot", "user:alice",
    "alice", "100.64.0.300", "100.64.0.0/33", "100.64.0.1/10", "fe80::1%eth0", "group:", "tag:", "*@example.com", " alice@ ", "GROUP:staff", "",
    "::/0", "0.0.0.0/0",
)  # fmt: skip
_WRONG_PORTS = (
    "0",
    "90-80",
    "70000",
    "ssh",
    "-1",
    "",
    "22, 443",
    "22-",
    "1-2-3",
    "*,22",
    "+22",
    "022",
    "65536",
    "22,",
    "0-0",
)
_PORTLESS = (
    "icmp",
    "ipv6-icmp",
    "gre",
    "47",
    "89",
    "igmp",
    "igp",
    "egp",
    "esp",
    "ah",
    "fc",
    "ipv4",
    "ip-in-ip",
    "1",
    "58",
    "255",
)
_WRONG_PROTOCOLS = ("0", "256", "icmpv6", "ICMP", "06", "tcp ", "-1", "*")


def _names(*more: str, wrong: bool) -> st.SearchStrategy[list[str]]:
    pool = (*_NAMES, *more, *(_WRONG_NAMES if wrong else ()))
    return st.lists(st.sampled_from(pool), min_size=1, max_size=3, unique=True)


def _with_port(name: str, ports: str) -> str:
    return f"[{name}]:{ports}" if name == "fd7a:115c:a1e0::2" else f"{name}:{ports}"


@st.composite
def _acl(draw: st.DrawFn, *, wrong: bool) -> dict[str, Any]:
    own = draw(st.integers(0, 5)) == 0
    named = [None, None, "tcp", "UDP", "6", "17", "sctp", "132", *_PORTLESS]
    proto = draw(st.sampled_from([*named, *(_WRONG_PROTOCOLS if wrong else ())]))
    portless = proto in _PORTLESS and not wrong
    ports = st.just("*") if portless else (_PORTS | st.sampled_from(_WRONG_PORTS)) if wrong else _PORTS
    targets = draw(_names("autogroup:internet", *(["autogroup:self"] if own else []), wrong=wrong))
    sources = st.lists(st.sampled_from(_OWN), min_size=1, max_size=2) if own else _names(*_SOURCES, wrong=wrong)
    return {
        "action": "accept",
        "src": draw(sources),
        "dst": [_with_port(name, draw(ports)) for name in targets],
        **({"proto": proto} if proto else {}),
    }


@st.composite
def _grant(draw: st.DrawFn, *, wrong: bool) -> dict[str, Any]:
    own = draw(st.integers(0, 5)) == 0
    more = [f"{name}:" for name in ("TCP", "*", "0", "256", "icmpv6", "", "tcp:udp", " tcp")] if wrong else []
    protocols = [
        "",
        "tcp:",
        "udp:",
        "icmp:",
        "6:",
        "17:",
        "gre:",
        "sctp:",
        "ipv6-icmp:",
        "58:",
        "esp:",
        "89:",
        "132:",
        *more,
    ]
    service = st.just("*") | st.builds(lambda protocol, ports: protocol + ports, st.sampled_from(protocols), _PORTS)
    services = draw(st.lists(service, min_size=0 if wrong else 1, max_size=2))
    capability = draw(
        st.sampled_from([None, None, None, "example.com/cap", "tailscale.com/cap/relay", "tailscale.com/cap/drive"])
    )
    internet = ["autogroup:internet"] if capability is None or wrong else []
    sources = st.lists(st.sampled_from(_OWN), min_size=1, max_size=2) if own else _names(*_SOURCES, wrong=wrong)
    via = draw(st.just(None) | st.lists(st.sampled_from(TAGS), min_size=1, max_size=2)) if not capability else None
    return {
        "src": draw(sources),
        "dst": draw(_BEHIND if via else _names(*internet, *(["autogroup:self"] if own else []), wrong=wrong)),
        # A grant of capabilities may come without packets.
        **({} if capability and draw(st.booleans()) else {"ip": services}),
        **({"app": {capability: [{}]}} if capability else {}),
        **({"via": via} if via else {}),
    }


@st.composite
def policies(draw: st.DrawFn, *, wrong: bool = False) -> dict[str, Any]:
    """Return policies that headscale accepts; with `wrong`, also such that it refuses."""
    return {
        **DEFINITIONS,
        "acls": draw(st.lists(_acl(wrong=wrong), max_size=4)),
        "grants": draw(st.lists(_grant(wrong=wrong), max_size=3)),
    }
