# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long the doctor waits for hosts that do not answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.action import diagnose
from ansible_collections.meshctl.headscale.plugins.action.diagnose import ActionModule
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.assertion import Assertion
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import CheckContext

# A broken mesh is examined within 20 seconds; Ansible starts and ends in three.
_BUDGET_S = 17
_CONFIG = "server_url: https://h\ndatabase: {type: sqlite, sqlite: {path: /db}}\ntls_key_path: /key\n"
_STATUS = {"BackendState": "Running", "Self": {"HostName": "one", "TailscaleIPs": ["100.64.0.1"]}}


class Slow(ActionModule):
    """Examines a host that needs all the time that it is given."""

    def __init__(self, host: str, part: str, answers: list[dict[str, Any]], **known: Any) -> None:
        """Take what the host answers, look after look."""
        self.host, self.answers, self.asked = host, answers, list[float]()
        self.options = {"part": part, "config": "/etc/headscale/config.yaml", "url": "https://h"}
        self.known = {"groups": {"clients": ["one"], "headscale": ["h"]}, "mesh_server_url": "https://h", **known}
        self._templar = SimpleNamespace(template=lambda value: value)
        self._task = SimpleNamespace(args={})
        self.context = CheckContext(story="doctor", assertion="diagnose", source=host)

    def probe(self, requests: Any, *, seconds: float) -> dict[str, Any]:
        """Return the next answer."""
        self.asked.append(seconds)
        return self.answers.pop(0)


def _answer(**data: Any) -> dict[str, Any]:
    seen = {name: {"ok": True, "data": value} for name, value in data.items()}
    return {"host": {"now": 1_800_000_000.0}, "observations": seen}


@pytest.fixture
def looks() -> list[Slow]:
    """Return the examinations of a server and a client, as the playbook makes them: two look together, then the client."""
    silent = _answer(config={"path": "config.yaml", "text": _CONFIG})
    server = Slow("h", "look", [silent, _answer()])
    first = Slow("one", "look", [_answer(status=_STATUS, prefs={"ControlURL": "https://h"})])
    for look in (server, first):
        look._converge()
    then = Slow("one", "client", [_answer()], **first.facts([])["ansible_facts"])
    then._converge()
    return [server, first, then]


def test_a_mesh_of_which_nothing_answers_is_examined_in_time(looks: list[Slow]) -> None:
    server, first, then = (sum(look.asked) for look in looks)
    assert max(server, first) + then <= _BUDGET_S


def test_the_client_is_asked_once_for_what_it_says_of_itself(looks: list[Slow]) -> None:
    assert [len(look.asked) for look in looks] == [2, 1, 1]
    assert looks[1].facts([])["ansible_facts"]["mesh_client"]["addresses"] == ["100.64.0.1"]


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


@pytest.mark.parametrize(
    ("states", "looks"),
    [
        ([{**_STATUS, "BackendState": "NoState"}, {**_STATUS, "BackendState": "Starting"}, _STATUS], 3),
        ([_OFFLINE, _STATUS], 2),
        ([{**_STATUS, "Self": {**_STATUS["Self"], "Online": True, "Relay": ""}}, _STATUS], 2),
        ([{**_STATUS, "BackendState": "NeedsLogin"}], 1),
        ([{**_STATUS, "Self": {"Online": False, "Expired": True}}], 1),
        ([{}], 1),
        ([_OFFLINE] * 20, 13),
    ],
)
def test_a_client_on_its_way_into_the_mesh_gets_the_time_to_settle(
    states: list[dict[str, Any]], looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose, "time", Clock())
    look = Slow("one", "look", [_answer(status=status) for status in states])
    first = look._first_look()
    assert len(look.asked) == looks
    assert first == _answer(status=states[looks - 1])


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
    ("load", "backend", "patience"), [(4.0, "lab", 1.0), (16.0, "lab", 2.0), (99.0, "lab", 3.0), (99.0, "hosts", 1.0)]
)
def test_the_hosts_of_a_lab_get_more_time_on_a_busy_machine(
    load: float, backend: str, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose.os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(diagnose.os, "cpu_count", lambda: 4)
    given: dict[str, Any] = {}
    monkeypatch.setattr(
        Assertion, "probe", lambda self, requests, *, seconds: given.update(asked=requests, seconds=seconds)
    )
    look = Slow("one", "look", [], mesh_backend=backend)
    look._be_patient()
    ActionModule.probe(look, [{"kind": "http", "try_timeout_s": 5.0}, {"kind": "status"}], seconds=7.5)
    assert given == {
        "asked": [{"kind": "http", "try_timeout_s": 5.0 * patience, "timeout_s": 5.5 * patience}, {"kind": "status"}],
        "seconds": 7.5 * patience,
    }
