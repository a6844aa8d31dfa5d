# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `up` and `down` do about guests that are there, or partly there; true guests run in test_libvirt.py."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _backend
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.places import Topology
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import supervisor
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.lab import Lab
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.record import Record, recorded
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.supervisor import LabError
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt import guests as guests_module
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt.boot import Boot, Work
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt.guests import Guests, Made
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt.image import Image
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt.model import (
    Settings,
    plan_guests,
    with_guests,
)

URI = "qemu:///system"
FIRST, SECOND = "meshctl-seed-vm-client-node-1", "meshctl-seed-vm-client-node-2"


@dataclass
class _Libvirt:
    """What libvirt has, in place of virsh and of the modules."""

    states: dict[str, str] = field(default_factory=dict)
    """Of each domain: running, paused or off."""
    out: set[str] = field(default_factory=set)
    """Domains whose cable is unplugged."""
    uuids: dict[str, str] = field(default_factory=dict)
    """Of this lab's domains."""
    present: dict[str, str] = field(default_factory=dict)
    """The UUID of each network."""

    def __call__(self, command: str, domain: str, *words: str) -> str:
        if command == "domiflist":
            return "vnet0  network  n  virtio  52:54:00:00:00:01\n"
        assert self.states[domain] != "off", "virsh: domain is not running"
        if command == "domif-setlink":
            (self.out.discard if words[1] == "up" else self.out.add)(domain)
        return f"52:54:00:00:00:01 {'down' if domain in self.out else 'up'}\n"

    def domains(self) -> dict[str, str]:
        return {name: self.uuids.get(name, "x") for name in self.states}

    def networks(self) -> dict[str, str]:
        return dict(self.present)

    def running(self) -> set[str]:
        return {name for name, state in self.states.items() if state == "running"}

    def active(self) -> set[str]:
        return {name for name, state in self.states.items() if state != "off"}

    def domain_absent(self, name: str, *, active: bool) -> None:
        del self.states[name]

    def network_absent(self, name: str) -> None:
        del self.present[name]


@dataclass
class _Scene:
    """A lab whose namespaces and boot are feigned."""

    guests: Guests
    libvirt: _Libvirt
    topology: Topology
    image: Image
    programs: dict[str, str] = field(default_factory=dict)
    key: str = "the key"

    @property
    def work(self) -> Work:
        settings = self.guests._settings
        plan = plan_guests(self.topology, settings, directory=str(self.guests.directory))
        virsh: Any = self.libvirt
        return Work(
            plan=plan, virsh=virsh, modules=virsh, image=self.image, programs=Path("p"), accelerated=False,
            key=self.key, progress=print, owner=self.guests._owner_mark,
        )  # fmt: skip

    def is_up(self, monkeypatch: pytest.MonkeyPatch, *, image: str = "") -> None:
        record = Record("now", recorded(with_guests(self.topology)), {}, {})
        monkeypatch.setattr(Lab, "record", property(lambda _lab: record))
        self.guests.directory.mkdir(parents=True)
        Made(uri=URI, disk_dir=self.work.plan.disk_dir, key=self.key, image=image).save(self.guests.directory)

    def up(self) -> list[str]:
        return self.guests.up(self.topology, self.programs)


@pytest.fixture
def scene(tmp_path: Path, topology: Topology, monkeypatch: pytest.MonkeyPatch) -> _Scene:
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("MESHCTL_CACHE_DIR", str(tmp_path / "cache"))
    libvirt = _Libvirt()
    monkeypatch.setattr(guests_module, "Virsh", lambda _uri: libvirt)
    monkeypatch.setattr(guests_module, "Modules", lambda _uri, _run: libvirt)
    monkeypatch.setattr(Lab, "up", _up)
    monkeypatch.setattr(Lab, "changes", lambda _lab, *_: [])
    monkeypatch.setattr(Boot, "run", lambda _boot: ["booted"])
    guests = Guests("seed-vm", lambda _name, _arguments: {}, Settings(disks=str(tmp_path / "disks")))
    made = _Scene(guests, libvirt, topology, an_image(tmp_path / "image"))
    libvirt.uuids = {guest.domain: guest.uuid for guest in made.work.plan.guests}
    monkeypatch.setattr(Guests, "_prepare", lambda *_: made.work)
    return made


def _up(lab: Lab, _topology: Topology, _programs: Mapping[str, str]) -> list[str]:
    lab.directory.mkdir(parents=True, exist_ok=True)
    return ["lab"]


def an_image(directory: Path, *, disk: str = "disk", key: str = "ssh-ed25519 AAAA", mtime: int = 7) -> Image:
    directory.mkdir(exist_ok=True)
    (directory / "disk.qcow2").write_text(disk)
    (directory / "host_key.pub").write_text(key)
    os.utime(directory / "disk.qcow2", ns=(mtime, mtime))
    return Image(directory=directory)


@pytest.mark.parametrize("state", ["running", "paused"])
def test_an_unplugged_cable_is_plugged_in_before_the_guests_are_waited_for(
    scene: _Scene, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    scene.is_up(monkeypatch)
    scene.libvirt.states = {FIRST: state, SECOND: "running"}
    scene.libvirt.out = {FIRST}
    monkeypatch.setattr(Boot, "run", lambda _boot: [f"waited with {len(scene.libvirt.out)} unplugged"])

    assert "cable of client-node-1 plugged in" in scene.guests.changes(scene.topology, {})
    assert scene.libvirt.out == {FIRST}, "asking changes nothing"
    assert scene.up() == ["lab", "cable of client-node-1 plugged in", "waited with 0 unplugged"]
    assert scene.up() == ["lab", "waited with 0 unplugged"]


def test_a_guest_that_is_off_has_no_cable_to_plug_in(scene: _Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "guest client-node-1 started" in scene.guests.changes(scene.topology, {})
    scene.is_up(monkeypatch)
    scene.libvirt.states = {FIRST: "off"}

    assert scene.up() == ["lab", "booted"]


def test_a_lock_that_another_up_holds_is_of_the_lab_by_its_name(scene: _Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = supervisor.lock
    monkeypatch.setattr(supervisor, "lock", lambda directory, **more: lock(directory, seconds=0, **more))

    with scene.guests._lock(), pytest.raises(LabError, match="working on the lab 'seed-vm' for 0 s"):
        scene.up()


@pytest.mark.parametrize("rebuilt", [{"key": "ssh-ed25519 BBBB"}, {"disk": "larger disk"}, {"mtime": 8}])
def test_an_image_that_was_rebuilt_under_its_name_is_another(
    scene: _Scene, monkeypatch: pytest.MonkeyPatch, rebuilt: dict[str, Any]
) -> None:
    scene.is_up(monkeypatch, image=scene.image.mark)
    assert scene.up() == ["lab", "booted"]
    store = scene.work.store

    an_image(scene.image.directory, **rebuilt)

    with pytest.raises(LabError, match=r"with other guests \(image, .* `meshctl down --lab seed-vm` first"):
        scene.up()
    assert scene.work.store != store, "no guest is restored on another disk"
    an_image(scene.image.directory)
    assert scene.work.store == store


def test_a_lab_of_an_older_version_has_no_mark_of_its_image(scene: _Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.is_up(monkeypatch)
    path = scene.guests.directory / "libvirt.json"
    older = {name: value for name, value in json.loads(path.read_text()).items() if name != "image"}
    path.write_text(json.dumps(older))

    assert scene.guests.made == Made(uri=URI, disk_dir=scene.work.plan.disk_dir, key=scene.key)
    assert scene.up() == ["lab", "booted"]
    assert scene.guests.made == replace(Made(**older), image=scene.image.mark)
    scene.key = "another key"
    with pytest.raises(LabError, match="with other guests"):
        scene.up()


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"uri": "x"}'])
def test_a_record_of_guests_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "libvirt.json").write_text(text)

    assert Made.load(tmp_path) is None


def test_a_record_of_guests_is_replaced_at_once(tmp_path: Path) -> None:
    made = Made(uri=URI, disk_dir="/x", key="y", image="z")
    made.save(tmp_path)

    assert Made.load(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == ["libvirt.json"]


def test_what_was_created_in_libvirt_for_a_lab_that_is_gone_is_removed(
    scene: _Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = scene.work.plan.networks[0]

    def run(_boot: Boot) -> list[str]:
        scene.libvirt.present = {network.name: network.uuid, "of-somebody": "x"}
        for path in scene.guests.directory.iterdir():
            path.unlink()
        scene.guests.directory.rmdir()
        raise LabError("the lab 'seed-vm' is not up")

    monkeypatch.setattr(Boot, "run", run)
    with pytest.raises(LabError, match="the lab 'seed-vm' is not up"):
        scene.up()
    assert scene.libvirt.present == {"of-somebody": "x"}


def test_a_down_waits_for_an_up_that_has_not_recorded_its_guests(
    scene: _Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.guests.directory.mkdir(parents=True)
    lock, made = scene.guests._lock, Made(uri=URI, disk_dir=scene.work.plan.disk_dir, key="k")

    @contextlib.contextmanager
    def awaited() -> Iterator[None]:
        """Hold the lock as soon as the `up` has recorded and created."""
        made.save(scene.guests.directory)
        scene.libvirt.states = {FIRST: "running"}
        with lock():
            yield

    monkeypatch.setattr(scene.guests, "_lock", awaited)
    scene.guests.down()

    assert scene.libvirt.states == {}
    assert not scene.guests.directory.exists()


def test_whatever_is_removed_may_have_guests(scene: _Scene) -> None:
    unused: Any = None

    assert isinstance(_backend.removable(unused, {}, "seed"), Guests)


@pytest.mark.parametrize("owned", [True, False])
def test_remains_of_other_settings_are_removed_with_what_they_recorded(
    scene: _Scene, tmp_path: Path, owned: bool
) -> None:
    disks = tmp_path / "before" / "meshctl-seed-vm"
    disks.mkdir(parents=True)
    (disks / "owner").write_text(scene.guests._owner_mark if owned else "somebody")
    scene.guests.directory.mkdir(parents=True)
    Made(uri=URI, disk_dir=str(disks), key="k").save(scene.guests.directory)

    assert scene.up() == ["lab", "booted"]
    assert disks.exists() is not owned
    assert scene.guests.made == Made(
        uri=URI, disk_dir=str(tmp_path / "disks/meshctl-seed-vm"), key=scene.key, image=scene.image.mark
    )
