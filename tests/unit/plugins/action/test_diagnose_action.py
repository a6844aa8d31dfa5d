# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long the doctor waits for hosts that do not answer."""

from __future__ import annotations

from typing import Any

import pytest
from acting import tell
from ansible_collections.meshctl.headscale.plugins.action import diagnose
from ansible_collections.meshctl.headscale.plugins.action.diagnose import ActionModule
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.assertion import Assertion
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import CheckContext
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.saturation import load_of

# A broken mesh is examined within 20 seconds; Ansible starts and ends in three.
_BUDGET_S = 17
_CONFIG = "server_url: https://h\ndatabase: {type: sqlite, sqlite: {path: /db}}\ntls_key_path: /key\n"
_STATUS = {"BackendState": "Running", "Self": {"HostName": "one", "TailscaleIPs": ["100.64.0.1"]}}


class Slow(ActionModule):
    """Examines a host that needs all the time that it is given."""

    def __init__(self, host: str, part: str, answers: list[dict[str, Any]], **known: Any) -> None:
        """Take what the host answers, look after look."""
        self.answers, self.asked = answers, list[float]()
        options = {"part": part, "config": "/etc/headscale/config.yaml", "url": "https://h"}
        groups = {"clients": ["one"], "headscale": ["h"]}
        tell(self, host, options, {"groups": groups, "mesh_server_url": "https://h", **known})
        self.context = CheckContext(story="doctor", assertion="diagnose", source=host)

    def probe(self, requests: Any, *, seconds: float) -> dict[str, Any]:
        """Return the next answer."""
        self.asked.append(seconds)
        return self.answers.pop(0)


class Asking(Slow):
    """Examines a host as the action does."""

    probe = ActionModule.probe


def _answer(**data: Any) -> dict[str, Any]:
    seen = {name: {"ok": True, "data": value} for name, value in data.items()}
    return {"host": {"now": 1_800_000_000.0}, "observations": seen}


@pytest.fixture
def looks() -> list[Slow]:
    """Return the examinations of a server and a client, as the playbook makes them: both look together."""
    silent = _answer(config={"path": "config.yaml", "text": _CONFIG})
    server = Slow("h", "look", [silent, _answer()])
    first = Slow("one", "look", [_answer(status=_STATUS, prefs={"ControlURL": "https://h"}), _answer()])
    for look in (server, first):
        look._converge()
    then = Slow("one", "client", [], **first.facts([])["ansible_facts"])
    then._converge()
    return [server, first, then]


def test_a_mesh_of_which_nothing_answers_is_examined_in_time(looks: list[Slow]) -> None:
    server, first, then = (sum(look.asked) for look in looks)
    assert max(server, first) + then <= _BUDGET_S - 5


def test_the_client_is_asked_once_for_what_it_says_of_itself(looks: list[Slow]) -> None:
    assert [len(look.asked) for look in looks] == [2, 2, 0]
    assert looks[1].facts([])["ansible_facts"]["mesh_client"]["addresses"] == ["100.64.0.1"]


@pytest.mark.parametrize(
    ("variables", "domain", "accepts"),
    [
        ({"mesh_backend": "hosts"}, "", True),
        ({"mesh_backend": "lab"}, "mesh.internal", True),
        ({"mesh_backend": "hosts", "mesh_domain": "mesh.example.net", "tailscale_client_accept_dns": "no"}, "mesh.example.net", False),
        ({"mesh_backend": "hosts", "tailscale_client_accept_dns": True}, "", True),
    ],
)  # fmt: skip
def test_what_the_inventory_states_of_names_is_known(variables: dict[str, Any], domain: str, accepts: bool) -> None:
    known = Slow("one", "look", [], **variables)._known_before
    assert (known.domain, known.accepts_dns) == (domain, accepts)


class Clock:
    """A clock that only sleep moves."""

    now = 0.0

    def monotonic(self) -> float:
        """Return the seconds that passed."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let seconds pass."""
        self.now += seconds


_OFFLINE = {**_STATUS, "Self": {**_STATUS["Self"], "Online": False}}
_UNSERVED = [{"url": "https://h/health", "outcome": "refused"}]


class Client(Slow):
    """Examines a client, and counts how often it asks for everything."""

    whole = 0

    def probe(self, requests: Any, *, seconds: float) -> dict[str, Any]:
        """Return the client's next state, or what its server answers."""
        if any(request["kind"] == "status" for request in requests):
            return super().probe(requests, seconds=seconds)
        self.whole += 1
        return _answer(server=self.known["server"])


@pytest.mark.parametrize(
    ("states", "server", "looks", "whole"),
    [
        ([{**_STATUS, "BackendState": "NoState"}, {**_STATUS, "BackendState": "Starting"}, _STATUS], [], 3, 2),
        ([_OFFLINE, _STATUS], [], 2, 2),
        ([{**_STATUS, "Self": {**_STATUS["Self"], "Online": True, "Relay": ""}}, _STATUS], [], 2, 2),
        ([{**_STATUS, "BackendState": "NeedsLogin"}], [], 1, 1),
        ([{**_STATUS, "Self": {"Online": False, "Expired": True}}], [], 1, 1),
        ([{}], [], 1, 1),
        ([_OFFLINE] * 20, [], 7, 1),
        ([_OFFLINE] * 20, _UNSERVED, 3, 1),
        ([_OFFLINE, _STATUS], _UNSERVED, 2, 2),
    ],
)
def test_a_client_on_its_way_into_the_mesh_gets_the_time_to_settle(
    states: list[dict[str, Any]], server: list[Any], looks: int, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose, "time", Clock())
    prefs = {"ControlURL": "https://h"}
    look = Client("one", "look", [_answer(status=status, prefs=prefs) for status in states], server=server)
    seen = look._observed()
    assert (len(look.asked), look.whole) == (looks, whole)
    assert seen["observations"]["status"]["data"] == states[looks - 1]
    assert seen["observations"]["server"]["data"] == server


@pytest.mark.parametrize(("waited", "since", "looks"), [(3.0, 0.0, 1), (3.0, -13.0, 1), (3.0, -14.0, 0), (0.9, 0.0, 0)])
def test_what_was_too_slow_is_asked_again_while_there_is_time_if_the_machine_was_busy_all_along(
    waited: float, since: float, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(diagnose, "time", clock)
    load = {"ran_s": 0.1, "waited_s": waited, "load": 9.0, "cores": 2}
    rows = [{"url": f"https://h{path}", "outcome": "timeout"} for path in ("/health", "/ts2021")]
    late = {**_answer(server=rows), "host": {"load": load}}

    def probed(_action: Assertion, requests: Any, *, seconds: float) -> dict[str, Any]:
        short = any(request["kind"] == "status" for request in requests)
        clock.sleep(0.2 if short else 7.0)
        answer = _answer(status=_STATUS, prefs={"ControlURL": "https://h"}) if short else late
        asked.append((seconds, short))
        look.load = load_of(answer)
        return answer

    asked: list[tuple[float, bool]] = []
    monkeypatch.setattr(Assertion, "probe", probed)
    look = Asking("one", "look", [])
    look._converge()
    facts = {**look.facts([])["ansible_facts"], "mesh_examined_since": since + clock.now}
    asked.clear()
    look = Asking("one", "client", [], **facts)
    look._converge()
    assert len(asked) == looks
    assert all(seconds <= 14.0 for seconds, _short in asked)


def test_nodes_are_listed_again_if_their_clients_connected_meanwhile() -> None:
    def listed(*, online: bool) -> dict[str, Any]:
        node = {"nodeKey": "nodekey:1", "name": "one", "givenName": "one", "online": online}
        return _answer(nodes={"nodes": [{**node, "ipAddresses": ["100.64.0.1"]}]})

    def mesh(*, online: bool, connected: bool) -> Slow:
        fact = {**listed(online=online), "url": "https://h"}
        view = {"key": "nodekey:1", "online": connected, "own": ["100.64.0.1"], "state": "Running"}
        known = {"mesh_diagnosis_server": fact, "hostvars": {"one": {"mesh_diagnosis": view}}}
        look = Slow("h", "mesh", [listed(online=True)], **known)
        look._converge()
        return look

    assert mesh(online=True, connected=True).asked == []
    assert mesh(online=False, connected=False).asked == []
    assert len(mesh(online=False, connected=True).asked) == 1


def test_a_large_mesh_gets_more_time_and_no_copies_of_each_status() -> None:
    peers = {str(number): {} for number in range(99)}
    look = Slow("one", "look", [_answer(status={**_STATUS, "Peer": peers})])
    look_of_few = look._seconds
    look.known["groups"]["clients"] = ["one", *map(str, range(99))]
    look._converge()
    assert "mesh_first_look" not in look.facts([])["ansible_facts"]
    assert look._seconds > 2 * look_of_few


@pytest.mark.parametrize(
    ("setting", "topology", "kind", "network"),
    [
        ({}, {}, "any", ""),
        ({"mesh_path": "direct"}, {}, "direct", ""),
        ({"mesh_path": "any"}, {"one": {"subnet": "a"}, "two": {"subnet": "a"}}, "any", "a"),
        ({}, {"one": {"subnet": "a"}, "two": {"subnet": "a"}}, "direct", "a"),
        ({}, {"one": {"subnet": "a", "nat": "hard"}, "two": {"subnet": "b", "nat": "hard"}}, "relay", ""),
    ],
)
def test_the_paths_of_a_client_are_those_that_the_stories_expect(
    setting: dict[str, Any], topology: dict[str, Any], kind: str, network: str
) -> None:
    nodes = {name: {"id": name, "addresses": [f"100.64.0.{number}"]} for number, name in enumerate(("one", "two"), 1)}
    look = Slow("one", "client", [], mesh_nodes=nodes, mesh_topology=topology, **setting)
    (path,) = look._expected_paths()
    assert (path.peer.name, path.kind, path.network) == ("two", kind, network)
    assert (path.reason == "mesh_path says so") is bool(setting)


def test_slow_hosts_get_more_time_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(Assertion, "probe", lambda self, requests, *, seconds: given.append((requests, seconds)))
    look = Slow("one", "look", [])
    look.patience = 2.0
    ActionModule.probe(look, [{"kind": "http", "try_timeout_s": 5.0}, {"kind": "status"}], seconds=7.5)
    assert given == [([{"kind": "http", "try_timeout_s": 10.0, "timeout_s": 11.0}, {"kind": "status"}], 15.0)]
