# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of community.libvirt's modules, and what becomes of their answers; real ones run in test_libvirt.py."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.supervisor import LabError
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt import modules, preflight
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt.model import Settings
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt.modules import Modules, module_runner

URI = "qemu:///system"
AWAY = "Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory"


class Scripted:
    """Answers as modules do, in turn, and keeps what it was asked."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        """Take the answers; what is asked beyond them has changed something."""
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Answer."""
        self.asked.append((name, dict(arguments)))
        return self.answers.pop(0) if self.answers else {"changed": True}


def test_a_network_is_defined_and_started() -> None:
    said = Scripted({"changed": True, "created": "n"}, {"changed": True})

    assert Modules(URI, said).network_present("n", "<network/>") is True
    assert said.asked == [
        ("community.libvirt.virt_net", {"uri": URI, "name": "n", "state": "present", "xml": "<network/>"}),
        ("community.libvirt.virt_net", {"uri": URI, "name": "n", "state": "active"}),
    ]


def test_a_network_that_was_only_stopped_is_not_called_made() -> None:
    assert Modules(URI, Scripted({"changed": False}, {"changed": True})).network_present("n", "<network/>") is False


@pytest.mark.parametrize(("active", "first"), [(True, {"state": "destroyed"}), (False, {"command": "undefine"})])
def test_a_domain_is_ended_only_where_it_runs(active: bool, first: dict[str, str]) -> None:
    said = Scripted()

    Modules(URI, said).domain_absent("d", active=active)

    assert said.asked[0][1].items() >= first.items()
    assert said.asked[-1][1]["command"] == "undefine"
    assert said.asked[-1][1]["flags"] == ["managed_save", "snapshots_metadata"]


def test_a_restart_of_libvirtd_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules.time, "sleep", lambda _seconds: None)
    said = Scripted({"failed": True, "msg": AWAY}, {"failed": True, "msg": AWAY}, {"changed": True})

    Modules(URI, said).domain_running("d")

    assert len(said.asked) == 3


def test_a_libvirtd_that_ended_while_it_was_asked_has_maybe_done_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules.time, "sleep", lambda _seconds: None)
    lost = {"failed": True, "msg": "End of file while reading data: Input/output error"}
    said = Scripted({"changed": True}, lost, {"failed": True, "msg": "virtual machine d not found"})

    Modules(URI, said).domain_absent("d", active=True)

    assert [arguments.get("command") for _name, arguments in said.asked] == [None, "undefine", "undefine"]


def test_a_libvirtd_that_stays_away_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(modules.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(modules.time, "sleep", lambda _seconds: None)

    with pytest.raises(LabError, match=r"^libvirt \(qemu:///system\), virt running d: Failed to connect socket"):
        Modules(URI, Scripted(*[{"failed": True, "msg": AWAY}] * 9)).domain_running("d")


def test_what_libvirt_refuses_is_said_in_its_own_words_and_not_tried_again() -> None:
    said = Scripted({"failed": True, "msg": "operation failed: domain 'd' already exists"})

    with pytest.raises(LabError, match=r"virt define d: operation failed: domain 'd' already exists$"):
        Modules(URI, said).domain_defined("d", "<domain/>")
    assert len(said.asked) == 1


class Action:
    """An action whose modules end as it was told."""

    class _Task:
        delegate_to: str | None = None
        environment: tuple[dict[str, str], ...] | list[dict[str, str]] = ({"MINE": "1"},)

    def __init__(self, outcome: dict[str, Any] | Exception, *, transport: str = "local", seconds: float = 0) -> None:
        """Take what modules return or raise, where they run, and how long they take."""
        self.outcome = outcome
        self.seconds = seconds
        self._task = self._Task()
        self._connection = SimpleNamespace(transport=transport)
        self.variables: dict[str, Any] = {}

    def _execute_module(self, *, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        self.variables = task_vars
        time.sleep(self.seconds)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def binding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "python_with_binding", lambda: "/usr/bin/python3")


@pytest.mark.usefixtures("binding")
def test_modules_run_on_the_python_that_has_the_binding_whoever_the_task_is_for() -> None:
    action = Action({"changed": False})
    action._task.delegate_to = "localhost"
    own = {"ansible_python_interpreter": "/venv/python", "ansible_delegated_vars": {"localhost": {"kept": 1}}}

    module_runner(action, own)("community.libvirt.virt", {})

    assert action.variables["ansible_python_interpreter"] == "/usr/bin/python3"
    assert action.variables["ansible_delegated_vars"]["localhost"] == {
        "kept": 1, "ansible_python_interpreter": "/usr/bin/python3",
    }  # fmt: skip
    assert own["ansible_python_interpreter"] == "/venv/python"


@pytest.mark.usefixtures("binding")
def test_a_collection_that_is_missing_is_named_with_its_remedy() -> None:
    action = Action(AnsibleError("The module community.libvirt.virt was not found in configured module paths."))

    with pytest.raises(LabError, match=r"need the collection community\.libvirt: install it with `ansible-galaxy"):
        module_runner(action, {})("community.libvirt.virt", {})


def test_a_binding_that_is_missing_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "python_with_binding", lambda: "")

    with pytest.raises(LabError, match="install the packages python3-libvirt and python3-lxml"):
        module_runner(Action({}), {})("community.libvirt.virt", {})


@pytest.mark.parametrize("virsh", ["virsh", None])
def test_the_doctor_names_what_the_modules_lack_with_and_without_virsh(
    virsh: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight.shutil, "which", lambda name, **_path: virsh if name == "virsh" else name)
    monkeypatch.setattr(preflight.Virsh, "version", lambda _self: "QEMU 7.2.22")
    monkeypatch.setattr(modules, "_FOLDER", Path("ansible_collections/of/nobody"))

    found = {finding.id: finding for finding in preflight._libvirt(Settings())}

    assert found["libvirt-modules"].what == "the collection community.libvirt is missing"
    assert "ansible-galaxy collection install community.libvirt" in found["libvirt-modules"].remedy


def test_a_folder_of_the_name_is_no_binding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libvirt").mkdir()
    for name in ("lxml/etree.py", "lxml/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    python = tmp_path / "python"
    # Without what this machine may have of both.
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} -S "$@"\n', encoding="utf-8")
    python.chmod(0o700)
    monkeypatch.setattr(modules.sys, "executable", str(python))
    monkeypatch.setattr(modules, "_SYSTEM_PYTHON", str(python))
    modules.python_with_binding.cache_clear()

    try:
        assert modules.python_with_binding() == ""
        (tmp_path / "libvirt.py").write_text("openAuth = None\n", encoding="utf-8")
        modules.python_with_binding.cache_clear()
        assert modules.python_with_binding() == str(python)
    finally:
        modules.python_with_binding.cache_clear()


@pytest.mark.usefixtures("binding")
def test_libvirt_speaks_english_however_many_modules_run() -> None:
    action = Action({"changed": False})
    run = module_runner(action, {})

    run("community.libvirt.virt", {})
    run("community.libvirt.virt", {})

    assert action._task.environment == [{"MINE": "1"}, {"LC_ALL": "C.UTF-8"}]


@pytest.mark.usefixtures("binding")
def test_a_task_of_another_machine_is_told_where_to_run() -> None:
    with pytest.raises(LabError, match="run the task on localhost, or delegate it to localhost"):
        module_runner(Action({}, transport="ssh"), {})("community.libvirt.virt", {})


@pytest.mark.usefixtures("binding")
def test_a_libvirtd_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "SECONDS", 0.05)
    before = signal.getsignal(signal.SIGALRM)

    with pytest.raises(LabError, match="virt running d: no answer within 0 s"):
        Modules(URI, module_runner(Action({}, seconds=5), {})).domain_running("d")
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_module_that_could_not_begin_says_why() -> None:
    broken = {"failed": True, "msg": "MODULE FAILURE", "module_stderr": "Traceback:\nImportError: no\n"}

    with pytest.raises(LabError, match=r"virt running d: ImportError: no$"):
        Modules(URI, Scripted(broken)).domain_running("d")
