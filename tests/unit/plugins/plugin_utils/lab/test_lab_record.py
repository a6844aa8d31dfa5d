# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept of a lab, and who its processes are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import lab as lab_module
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import supervisor
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.lab import Lab
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.record import (
    Record,
    difference,
    load_server,
    recorded,
    save_server,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.supervisor import LabError, Process
from lab_inventory import Inventory


def _record(inventory: Inventory, *, dead: tuple[str, ...] = ()) -> Record:
    topology = inventory.read()
    me = Process.of(os.getpid())
    assert me
    machines = {name: Process(me.pid, 1) if name in dead else me for name in topology.machines}
    return Record("2026-01-01T00:00:00+00:00", recorded(topology), {"headscale": "/x"}, machines)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = _record(Inventory())
    record.save(tmp_path / "record.json")
    assert Record.load(tmp_path / "record.json") == record
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


def test_a_change_that_has_not_ended_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record = replace(_record(Inventory()), unfinished=["client-node-1"])
    record.save(path)
    assert Record.load(path) == record
    data = json.loads(path.read_text(encoding="utf-8"))
    del data["unfinished"]  # as in the record of an older version
    path.write_text(json.dumps(data), encoding="utf-8")
    assert Record.load(path) == replace(record, unfinished=None)


def test_a_record_is_read_once_and_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    _record(Inventory()).save(path)
    first = Record.load(path)
    assert Record.load(path) is first
    _record(Inventory(), dead=("client-node-1",)).save(path)
    assert Record.load(path) not in (first, None)
    path.unlink()
    assert Record.load(path) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", "null", '"x"', "{}", '{"machines": {}}', '{"machines": {"a": 1}, "created": "", "topology": {}, "programs": {}}',
     '{"machines": {}, "created": "", "topology": {}, "programs": {}}',
     '{"machines": {}, "created": "", "topology": {"machines": [], "subnets": {}, "ports": {}, "facts": {}}, "programs": {}}',
     '{"machines": {"a": ["x", "y"]}, "created": "", "topology": {}, "programs": {}}', "\x00\xff"],
)  # fmt: skip
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(text.encode("latin-1"))
    assert Record.load(path) is None


def test_no_record_is_none(tmp_path: Path) -> None:
    assert Record.load(tmp_path / "record.json") is None
    assert Record.load(tmp_path) is None


def test_a_process_is_known_by_when_it_started() -> None:
    me = Process.of(os.getpid())
    assert me
    assert me.alive
    assert not Process(me.pid, me.started + 1).alive, "another process with the same id"


def test_a_zombie_and_a_process_that_is_gone_are_not_alive() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert Process.of(child.pid) is None
    child.wait()
    assert Process.of(child.pid) is None


@pytest.mark.parametrize("text", ["", "x", "0", "999999999", pytest.param(str(os.getpid()), id="this")])
def test_a_supervisor_file_that_names_no_supervisor_of_ours(tmp_path: Path, text: str) -> None:
    (tmp_path / "supervisor.pid").write_text(text)
    assert supervisor.supervisor(tmp_path) is None
    assert supervisor.stop(tmp_path) is False, "and nothing of anybody else's is killed"


def test_a_lab_is_not_another_one_whose_name_begins_with_its_own(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()", "meshctl-lab:ab"], stdin=subprocess.PIPE)
    try:
        for name in ("a", "ab"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "supervisor.pid").write_text(str(child.pid))
        assert supervisor.supervisor(tmp_path / "a") is None
        assert supervisor.supervisor(tmp_path / "ab") == Process.of(child.pid)
    finally:
        child.communicate(b"\n")


def test_the_lock_leaves_no_file_where_there_is_no_lab(tmp_path: Path) -> None:
    with supervisor.lock(tmp_path / "labs" / "x"):
        assert (tmp_path / "labs" / ".x.lock").exists()
        with (
            pytest.raises(LabError, match="another meshctl has been working on the lab 'x'"),
            supervisor.lock(tmp_path / "labs" / "x", seconds=0),
        ):
            pass
    assert list((tmp_path / "labs").iterdir()) == []


def test_the_variables_of_the_server_are_recorded(tmp_path: Path) -> None:
    assert load_server(tmp_path) == {}
    variables = {"mesh_server_url": "https://other.lab.test"}
    save_server(tmp_path, variables)
    assert load_server(tmp_path) == variables


def test_a_lab_that_is_not_up_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path))
    with pytest.raises(LabError, match="the lab 'x' is not up; start it with `meshctl up --lab x`"):
        Lab("x").machine("client-node-1")
    assert Lab("x").down() is None
    assert lab_module.names() == []


@pytest.mark.parametrize("text", ["", "{", "{}"])
def test_a_lab_that_stands_and_whose_record_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(supervisor, "first_process", lambda _directory: Process.of(os.getpid()))
    lab = Lab("x")
    lab.directory.mkdir(parents=True)
    with pytest.raises(LabError, match="is not up"):  # it is being built
        lab.machine("client-node-1")
    (lab.directory / "record.json").write_text(text)
    assert lab.record is None
    with pytest.raises(LabError) as caught:
        lab.machine("client-node-1")
    assert str(caught.value) == ("the record of the lab 'x' cannot be read; run `meshctl down`, then `meshctl up`")


def test_what_differs_between_a_lab_and_an_inventory() -> None:
    inventory = Inventory()
    record = _record(inventory, dead=("client-node-1",))
    inventory.groups["clients"]["newcomer"] = {"mesh_subnet": "subnet-a"}
    del inventory.groups["spare"]["client-node-4"]
    inventory.subnets["subnet-b"]["nat"] = "hard"
    inventory.host("client-node-3")["mesh_link"] = {"loss": "1%"}
    differs = difference(record, inventory.read())
    assert differs.sentences() == [
        "machine newcomer added",
        "machine client-node-1 started again",
        "machine client-node-4 removed",
        "subnet subnet-b: nat changed",
        "client-node-3: link changed",
    ]
    assert differs.renat == ["subnet-b"]


def test_after_an_unfinished_change_everything_is_applied_again() -> None:
    inventory = Inventory()
    record = replace(_record(inventory), unfinished=["newcomer"])
    differs = difference(record, inventory.read())
    assert differs.sentences() == [
        "machine newcomer removed",
        "links and NAT applied again after an unfinished change",
    ]
    assert differs.renat == ["subnet-a", "subnet-b"]
    inventory.groups["clients"]["newcomer"] = {"mesh_subnet": "subnet-a"}
    assert difference(record, inventory.read()).sentences() == [
        "machine newcomer added",
        "links and NAT applied again after an unfinished change",
    ]


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Return a lab that is recorded as up; its cables are plugged in, and its scripts do nothing."""
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(supervisor, "first_process", lambda _directory: Process.of(os.getpid()))
    monkeypatch.setattr(supervisor, "PROGRAMS", str(tmp_path / "copies"))
    monkeypatch.setattr(Lab, "_fabric", lambda *_arguments, **_options: "[]")
    monkeypatch.setattr(supervisor, "share", lambda _directory: None)
    lab = Lab("seed")
    lab.directory.mkdir(parents=True)
    own = tmp_path / "headscale"
    own.write_text("first")
    (tmp_path / "copies").mkdir()
    shutil.copy2(own, tmp_path / "copies" / "headscale")
    replace(_record(Inventory()), programs={"headscale": str(own)}).save(lab.directory / "record.json")
    return lab


def _fail(*_arguments: object) -> None:
    raise LabError("no")


def test_a_change_that_failed_is_repeated_even_if_the_inventory_is_as_before(
    up: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Inventory()
    other = Inventory()
    other.subnets["subnet-b"]["nat"] = "hard"
    other.groups["clients"]["newcomer"] = {"mesh_subnet": "subnet-a"}
    assert up.record
    programs = up.record.programs
    assert up.unchanged(recorded(before.read()), programs)
    with monkeypatch.context() as patch:
        patch.setattr(Lab, "_run", lambda *_: dict.fromkeys(["newcomer"], Process.of(os.getpid())))
        patch.setattr(Lab, "_shell", lambda _lab, script: _fail() if "tc qdisc del" in script else "")
        with pytest.raises(LabError, match=r"^no$"):
            up.up(other.read(), programs)
    assert not up.unchanged(recorded(before.read()), programs)
    said = up.up(before.read(), programs)
    assert said == ["machine newcomer removed", "links and NAT applied again after an unfinished change"]
    assert up.unchanged(recorded(before.read()), programs)
    assert up.changes(before.read(), programs) == []


def test_a_change_that_is_refused_changes_nothing(up: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Inventory()
    other.subnets["subnet-b"]["nat"] = "hard"
    assert up.record
    monkeypatch.setattr(lab_module.preflight, "require_lines", _fail)
    with pytest.raises(LabError, match=r"^no$"):
        up.up(other.read(), up.record.programs)
    assert up.changes(Inventory().read(), up.record.programs) == []


@pytest.mark.parametrize(
    ("content", "seconds", "same"),
    [
        pytest.param(b"other", 1, False, id="another program of the same size"),
        pytest.param(b"longer", 0, False, id="another program of the same time"),
        pytest.param(b"first", 1, True, id="the same program, installed again"),
        pytest.param(None, 0, True, id="a program that cannot be read"),
    ],
)
def test_a_program_that_was_replaced_is_noticed(up: Lab, content: bytes | None, seconds: int, same: bool) -> None:
    assert up.record
    programs, topology = up.record.programs, Inventory().read()
    path = Path(programs["headscale"])
    assert up.unchanged(recorded(topology), programs)
    now = path.stat().st_mtime_ns + seconds * 10**9
    path.unlink()
    if content is not None:
        path.write_bytes(content)
        os.utime(path, ns=(now, now))
    assert up.unchanged(recorded(topology), programs) is same
    if same:
        assert up.changes(topology, programs) == []
    else:
        with pytest.raises(LabError, match="runs another headscale; take it down with `meshctl down --lab seed` first"):
            up.changes(topology, programs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i.shared.update(mesh_wan={"cidr": "203.0.112.0/23"}), "is up with wan_cidr 203.0.113.0/24, but the inventory says 203.0.112.0/23"),
        (lambda i: i.host("relay").update(mesh_address="203.0.113.11"), "is up with resolver 203.0.113.10"),
        (lambda i: i.subnets["subnet-a"].update(gateway="192.168.1.254"), "is up with subnet subnet-a: gateway 192.168.1.1"),
        (lambda i: i.subnets["subnet-a"].update(cidr6="2001:db8:a::/64"), "is up without subnet subnet-a: cidr6, but"),
        (lambda i: i.host("client-node-1").update(mesh_address="192.168.1.9"), "is up with client-node-1: address 192.168.1.10"),
    ],
)  # fmt: skip
def test_what_needs_another_lab_is_refused_with_the_remedy(change: object, message: str) -> None:
    inventory = Inventory()
    record = _record(inventory)
    change(inventory)  # type: ignore[operator]
    with pytest.raises(LabError, match="take it down with `meshctl down --lab seed` first") as caught:
        difference(record, inventory.read())
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["", ".", "..", "../..", "../../victim", "/etc", "a/b", "BAD", "x" * 33, "a\n"])
def test_a_name_that_no_lab_can_have_names_no_directory_to_remove(name: str) -> None:
    with pytest.raises(BadInput, match="lab_name"):
        Lab(name)
