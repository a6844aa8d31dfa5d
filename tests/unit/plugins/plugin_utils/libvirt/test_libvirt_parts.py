# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What virtual machines are made with: the probe of KVM, ssh, the image's name, the systemd units of the guests."""

from __future__ import annotations

import io
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import apply
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.places import Topology
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.supervisor import LabError
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt import acceleration, apt, image, preflight, ssh
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt.model import Settings, plan_guests
from ansible_collections.meshctl.headscale.plugins.plugin_utils._libvirt.virsh import Virsh, run


def test_the_guest_of_one_sector_is_one_sector() -> None:
    sector = acceleration.boot_sector()

    assert len(sector) == 512
    assert sector[-2:] == b"\x55\xaa"
    assert acceleration.TURNS.to_bytes(4, "little") in sector


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="QEMU is not installed (Debian: qemu-system-x86)")
def test_the_guest_of_one_sector_counts_down_and_ends(tmp_path: Path) -> None:
    disk = tmp_path / "boot"
    disk.write_bytes(acceleration.boot_sector(1000))

    done = subprocess.run(
        ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-accel", "tcg", "-m", "16",
         "-device", "isa-debug-exit,iobase=0xf4", "-drive", f"file={disk},format=raw,if=ide,snapshot=on"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert done.returncode == 1, done.stderr


def test_kvm_that_does_not_run_guests_is_refused_only_where_it_must_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration, "probe", lambda: acceleration.Verdict(works=False, why="it is emulated"))

    assert acceleration.choose("auto") is False
    assert acceleration.choose("tcg") is False
    with pytest.raises(
        LabError, match=r"accelerator is kvm, and KVM does not run guests here: it is emulated; use auto"
    ):
        acceleration.choose("kvm")


@pytest.fixture
def written(tmp_path: Path, topology: Topology, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ssh.tempfile, "gettempdir", lambda: str(tmp_path))
    boot = tmp_path / "image"
    boot.mkdir()
    (boot / "key").write_text("the key", encoding="utf-8")
    (boot / "host_key.pub").write_text("ssh-ed25519 AAAA meshctl-guest\n", encoding="utf-8")
    lab = tmp_path / "lab"
    lab.mkdir()
    plan = plan_guests(topology, Settings(), directory=str(lab))
    ssh.write(lab, image.Image(directory=boot), plan.guests)
    return lab


def test_ssh_knows_every_guest_and_trusts_no_other_key(written: Path) -> None:
    known = (written / "ssh/known_hosts").read_text(encoding="utf-8").splitlines()

    assert "192.168.1.10,client-node-1 ssh-ed25519 AAAA" in known
    assert len(known) == 5
    assert stat.S_IMODE((written / "ssh/key").stat().st_mode) == 0o600
    said = subprocess.run(
        ["ssh", "-F", str(ssh.config_path(written)), "-G", "client-node-2"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "hostname 10.0.0.10" in said
    assert "user root" in said
    assert "stricthostkeychecking true" in said
    assert f"identityfile {written}/ssh/key" in said


def test_sockets_of_open_connections_fit_the_kernels_limit() -> None:
    short = ssh.control_dir(Path("/root/.local/state/meshctl/labs/seed"))
    long = ssh.control_dir(Path("/a/very/long/directory" * 5))

    assert short == Path("/root/.local/state/meshctl/labs/seed/ssh/mux")
    assert len(str(long)) < 80
    assert long != ssh.control_dir(Path("/another/very/long/directory" * 5))


def test_the_mark_of_a_guest_that_is_ready_is_written_last() -> None:
    packed = ssh._tar({"etc/meshctl/tls/key.pem": (b"secret", 0o600), "etc/meshctl/lab": (b"mark\n", 0o644)})

    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == ["etc/meshctl/tls/key.pem", "etc/meshctl/lab"]
    assert [member.mode for member in members] == [0o600, 0o644]


def test_an_image_has_the_name_of_what_it_is_made_of() -> None:
    assert image.debian_name(Settings()) == image.debian_name(Settings(memory_mb=999))
    assert image.debian_name(Settings()) != image.debian_name(Settings(suite="trixie"))


@pytest.fixture
def debian(tmp_path: Path) -> Path:
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text('ID=debian\nVERSION_CODENAME="bookworm"\n', encoding="utf-8")
    return tmp_path


def test_an_image_is_made_of_what_this_machines_apt_has_and_of_nobody_elses(debian: Path) -> None:
    apt_dir = debian / "etc/apt"
    (apt_dir / "sources.list").write_text(
        "# mirror\ndeb [ signed-by=/k.gpg arch=amd64 ] https://mirror.test/debian bookworm main contrib # ours\n"
        "deb-src https://mirror.test/debian bookworm main\n"
        "deb https://docker.test/linux/debian bookworm stable\n",
        encoding="utf-8",
    )
    (apt_dir / "sources.list.d/more.sources").write_text(
        "# a comment\nTypes: deb deb-src\nURIs: https://mirror.test/security\nSuites: bookworm-security bookworm-backports\n"
        "Components: main\nSigned-By:\n -----BEGIN-----\n .\n abc\n\n"
        "Types: deb\nURIs: https://off.test/\nSuites: bookworm\nComponents: main\nEnabled: no\n\n"
        "Types: deb\nURIs: https://node.test/\nSuites: nodistro\nComponents: main\n",
        encoding="utf-8",
    )
    (apt_dir / "sources.list.d/old.list.save").write_text("deb https://old.test bookworm main\n", encoding="utf-8")

    assert apt.debian_sources("bookworm", root=debian) == {
        "meshctl.list": "deb [ signed-by=/k.gpg arch=amd64 ] https://mirror.test/debian bookworm main contrib\n",
        "meshctl.sources": "Types: deb\nUris: https://mirror.test/security\nSuites: bookworm-security\n"
        "Components: main\nSigned-By: \n -----BEGIN-----\n .\n abc\n",
    }


def test_another_release_comes_from_the_same_mirror(debian: Path) -> None:
    (debian / "etc/apt/sources.list").write_text("deb http://mirror.test/debian bookworm main\n", encoding="utf-8")

    assert apt.debian_sources("trixie", root=debian) == {"meshctl.list": "deb http://mirror.test/debian trixie main\n"}


def test_another_distributions_sources_are_not_taken_for_an_image(debian: Path) -> None:
    (debian / "etc/os-release").write_text("ID=ubuntu\nVERSION_CODENAME=noble\n", encoding="utf-8")
    (debian / "etc/apt/sources.list").write_text("deb http://mirror.test/ubuntu noble main\n", encoding="utf-8")

    assert apt.debian_sources("bookworm", root=debian) == {}
    assert apt.debian_sources("bookworm", root=debian / "nothing") == {}


def test_the_image_is_fetched_through_the_proxy_of_this_machine() -> None:
    dump = ['Acquire::http::Proxy "http://proxy.test:3142";', 'Acquire::Check-Date "false";', 'Dpkg::Options "x";']

    assert [line.strip() for line in apt.fetching(dump) if line.startswith("Acquire")] == dump[:2]


def test_a_mirror_that_cannot_be_reached_is_one_sentence(tmp_path: Path) -> None:
    log = tmp_path / "image.log"
    log.write_text(
        "Err:1 http://mirror.test bookworm InRelease\n"
        "E: Failed to fetch http://mirror.test/InRelease  Could not resolve 'mirror.test'\n"
        "E: Some index files failed to download.\nE: apt-get update --error-on=any failed\n"
        "I: main() received signal PIPE\nE: mmdebstrap failed to run\n",
        encoding="utf-8",
    )

    assert image._reason(log) == (
        "http://mirror.test/InRelease could not be fetched (Could not resolve 'mirror.test'); "
        "check the network, and this machine's apt sources and proxy"
    )
    log.write_text("E: that was it\nE: mmdebstrap failed to run\n", encoding="utf-8")
    assert image._reason(log) == "E: that was it"
    log.write_text("cp: error writing 'x': No space left on device\nE: mmdebstrap failed to run\n", encoding="utf-8")
    assert "No space left" in image._reason(log)


def test_an_image_directory_that_lacks_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=rf"image_path {tmp_path} has no vmlinuz; it must hold"):
        image.ensure_image(Settings(image="nixos", image_path=str(tmp_path)), print)


def test_the_disk_of_programs_needs_them_all() -> None:
    with pytest.raises(LabError, match="no path of tailscale for the guests"):
        image.ensure_programs({"headscale": sys.executable}, print)


def test_a_program_that_fails_is_one_sentence() -> None:
    with pytest.raises(LabError, match=r"^it could not be done: nope$"):
        run(["sh", "-c", "echo error: nope >&2; exit 3"], what="it could not be done")
    with pytest.raises(LabError, match="no-such-program is not installed"):
        run(["no-such-program"], what="it could not be done")


@pytest.mark.skipif(not shutil.which("virsh"), reason="virsh is not installed (Debian: libvirt-clients)")
def test_a_libvirt_that_does_not_listen_is_said_at_once(tmp_path: Path) -> None:
    nobody = Virsh(f"qemu+unix:///system?socket={tmp_path}/nobody")

    with pytest.raises(LabError, match=r"libvirt does not answer: .*start it \(systemctl start libvirtd\)"):
        nobody.version()


def test_the_doctor_speaks_of_libvirt_kvm_disk_and_nix_and_none_of_it_is_a_failure() -> None:
    findings = preflight.examine()

    found = {finding.id for finding in findings}
    assert {"libvirt-programs", "kvm", "libvirt-guests", "libvirt-disks", "nix"} <= found
    assert not [finding for finding in findings if finding.verdict == "fail"]
    assert all(finding.remedy for finding in findings if finding.verdict == "warn")


def test_no_room_on_the_disk_is_said_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 2**20})())

    with pytest.raises(
        LabError, match=r"virtual machines need 3 GiB: free some space, or set MESHCTL_CACHE_DIR to another directory"
    ):
        preflight.require_disk(Settings())


def test_guests_that_do_not_fit_into_memory_are_refused() -> None:
    preflight.require_memory(Settings(memory_mb=1), 1, accelerated=True)
    with pytest.raises(LabError, match=r"^5 guests need 50001280 MiB of memory, 10000256 each, and this machine has "):
        preflight.require_memory(Settings(memory_mb=10_000_000), 5, accelerated=False)


def unit(**request: object) -> str:
    work = apply.Work({"name": "thing", "manager": "systemd", "state": "started", "command": ["/bin/true"], **request})
    return str(work.manager._text())


def test_a_unit_says_words_as_they_are_meant() -> None:
    text = unit(command=["/bin/sh", "-c", 'echo "$1" 50%'], environment={"PRICE": "5$ or 10%"})

    assert 'ExecStart="/bin/sh" "-c" "echo \\"$$1\\" 50%%"' in text
    # Not a command: systemd leaves a dollar sign alone there.
    assert 'Environment="PRICE=5$ or 10%%"' in text


def test_a_units_directories_in_run_come_back_after_a_reboot() -> None:
    text = unit(directories=[{"path": "/var/lib/thing", "mode": "0700"}, {"path": "/run/thing", "mode": "0750"}])

    assert "RuntimeDirectory=thing\nRuntimeDirectoryMode=0750\nRuntimeDirectoryPreserve=yes" in text
    assert "/var/lib/thing" not in text
    assert "RuntimeDirectory" not in unit()


def test_a_unit_is_tried_again_for_ever() -> None:
    text = unit()

    assert "Restart=always" in text
    assert "StartLimitIntervalSec=0" in text
