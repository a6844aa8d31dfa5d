# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long `client` waits for a client that does not know its state, and where it looks for tailscaled and tailscale."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.meshctl.headscale.plugins.action import client
from ansible_collections.meshctl.headscale.plugins.action.client import ActionModule

URL = "https://headscale.lab.test"
PREFS = {"ControlURL": URL}
STARTING = {"BackendState": "Starting", "HaveNodeKey": True, "Health": ["no relay"]}
NEW = {"BackendState": "NoState"}


class _Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1790000000.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class _Run:
    """One task of `client` on a host whose tailscaled reports states one after another, the last of them for good."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = _Clock()
        self.sent: list[dict[str, Any]] = []
        self.sockets: set[str] = set()
        self.answers: dict[str, Any] = {}
        self.patch = monkeypatch

    def __call__(
        self, *states: dict[str, Any], check: bool = False, variables: dict[str, Any] | None = None, **args: Any
    ) -> dict[str, Any]:
        left = itertools.chain(states, itertools.repeat(states[-1]))

        def answer(_action: object, _script: object, request: dict[str, Any], **_named: float) -> dict[str, Any]:
            if "commands" in request:
                self.sent.append(request)
                return self.answers.get("commands", {"ok": True})
            if request["observe"][0]["kind"] == "http":
                return self.answers.get("http", {"observations": {"web": {"ok": True, "data": []}}})
            self.sockets |= {one["socket"] for one in request["observe"]}
            found = {"status": next(left), "prefs": PREFS}
            told = {"observations": {name: {"ok": True, "data": data} for name, data in found.items()}}
            return self.answers.get("observe", told)

        self.patch.setattr(client, "run_script", answer)
        self.patch.setattr(client, "time", self.clock)
        self.patch.setattr(ActionBase, "run", lambda *_args: {})
        action: Any = object.__new__(ActionModule)
        action._task = SimpleNamespace(args={"login_server": URL, **args}, check_mode=check)
        action._templar = SimpleNamespace(template=lambda value: value)
        action.validate_argument_spec = lambda argument_spec: (
            None,
            {name: action._task.args.get(name, option.get("default")) for name, option in argument_spec.items()},
        )
        found: dict[str, Any] = action.run(task_vars={"inventory_hostname": "a", **(variables or {})})
        return found


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> _Run:
    return _Run(monkeypatch)


@pytest.mark.parametrize("check", [False, True])
def test_a_registered_client_that_has_just_started_is_waited_for(run: _Run, check: bool) -> None:
    found = run(*[STARTING] * 200, STARTING | {"BackendState": "Running"}, check=check)
    assert (found.get("failed"), found["changed"], found["needs_key"]) == (None, False, False)
    assert 10 < run.clock.now < 30


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("key", [None, "k"])
def test_a_registered_client_that_never_connects_fails_and_keeps_its_registration(
    run: _Run, check: bool, key: str | None
) -> None:
    found = run(STARTING, check=check, auth_key=key, require=False)
    assert found["failed"] is True
    assert "the node is registered, but still connecting: no relay" in found["msg"]
    assert run.sent == []
    assert 30 < run.clock.now < 31


def test_a_new_client_registers_at_once_when_it_knows_that_it_must(run: _Run) -> None:
    found = run(NEW, {"BackendState": "NeedsLogin"}, {"BackendState": "Running"}, auth_key="k")
    assert found["changed"] is True
    assert run.clock.now < 1
    assert run.sent[0]["commands"][0][:2] == ["tailscale", "up"]


@pytest.mark.parametrize("states", [(NEW,), (STARTING,)])
def test_a_client_that_must_register_is_not_waited_for_longer_than_before(run: _Run, states: Any) -> None:
    found = run(*states, require=False, force=states[0] is STARTING)
    assert found["needs_key"] is True
    assert run.clock.now < 11


@pytest.mark.parametrize(
    ("args", "variables", "socket"),
    [
        ({}, {}, "/var/run/tailscale/tailscaled.sock"),
        ({}, {"mesh_tailscaled_socket": "/run/b.sock"}, "/run/b.sock"),
        ({"socket": "/run/a.sock"}, {"mesh_tailscaled_socket": "/run/b.sock"}, "/run/a.sock"),
    ],
)
def test_the_socket_is_the_options_or_the_inventorys(
    run: _Run, args: dict[str, Any], variables: dict[str, Any], socket: str
) -> None:
    run({"BackendState": "Running"}, {"BackendState": "Stopped"}, state="down", variables=variables, **args)
    assert run.sockets == {socket}
    assert run.sent[0]["commands"] == [["tailscale", *([] if "/var" in socket else [f"--socket={socket}"]), "down"]]


def test_tailscale_is_looked_for_next_to_tailscaled(run: _Run) -> None:
    for variables, directories in (({}, []), ({"tailscale_client_program": "/srv/x/tailscaled"}, ["/srv/x"])):
        run({"BackendState": "Running"}, {"BackendState": "Stopped"}, state="down", variables=variables)
        assert run.sent[-1]["directories"] == directories


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({}, "a command failed: the host gives no reason"),
        ({"ok": False}, "a command failed: the host gives no reason"),
        (
            {"ok": "yes", "command": [5, {}, "--x", "tailscale", "down"], "said": ["x"]},
            "5 tailscale failed: the host gives",
        ),
        ({"ok": False, "command": ["tailscale", "down"], "said": "\x1b[31mno"}, "tailscale down failed: \\x1b[31mno"),
        ({"ok": False, "command": ["x" * 300_000], "said": "x" * 300_000}, "(296000 more characters) failed: xxx"),
    ],
)
@pytest.mark.parametrize("http", [{}, {"observations": []}, {"observations": {"web": {"ok": True, "data": "x"}}}])
def test_whatever_a_host_says_of_a_command_is_a_short_message(run: _Run, answer: Any, message: str, http: Any) -> None:
    run.answers = {"commands": answer, "http": http}
    found = run({"BackendState": "Running"}, state="down")
    assert (found["failed"], found["meshctl_error"]) == (True, "could_not_run")
    assert message in found["msg"]
    assert len(found["msg"]) < 9000


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({}, "the host did not report this observation"),
        ({"observations": {"status": {"ok": True, "data": ["x"]}}}, "the host did not report this observation"),
        (
            {"observations": {"status": {"ok": False, "error": {"message": "x" * 300_000}}}},
            "xxx… (296000 more characters)",
        ),
    ],
)
def test_a_client_that_does_not_tell_its_state_is_an_error(run: _Run, answer: Any, message: str) -> None:
    run.answers = {"observe": answer}
    found = run({"BackendState": "Running"}, state="down")
    assert (found["failed"], found["meshctl_error"]) == (True, "could_not_run")
    assert message in found["msg"]
    assert len(found["msg"]) < 5000


def test_what_a_client_says_of_itself_has_its_documented_form(run: _Run) -> None:
    own = {"PublicKey": ["nodekey:1"], "ID": {"a": 1}}
    found = run({"BackendState": "Running", "Self": own, "TailscaleIPs": ["100.64.0.1", {"a": 1}, "x"]})
    told = {name: found[name] for name in ("backend_state", "node_key", "node_id", "addresses")}
    assert told == {"backend_state": "Running", "node_key": "", "node_id": "", "addresses": ["100.64.0.1"]}
    found = run({"BackendState": "Stopped\x1b" + "x" * 300_000, "Self": "x"})
    assert len(repr(found)) < 20_000
