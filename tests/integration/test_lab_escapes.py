# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hostile root of a lab machine reaches neither this system nor its user nor another machine."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab_driver import LabDriver, Machine, children, standing, wait_for

pytestmark = pytest.mark.integration

NODE = "client-node-1"
OTHER = "client-node-2"
SECRET = "canary-of-the-controller"

_DISK = Path("/usr").stat().st_dev
_SYSCALL = "import ctypes,os,sys; libc=ctypes.CDLL(None,use_errno=True); "
_HANDLE = (
    f"{_SYSCALL}h = ctypes.create_string_buffer(bytes([128, 0, 0, 0]) + bytes(140)); m = ctypes.c_int(); "
    "libc.name_to_handle_at(-100, b'/usr', h, ctypes.byref(m), 0); "
    "sys.exit(libc.open_by_handle_at(os.open('/usr', 0), h, 0) < 0)"
)
# Exits with 0 if `..` leads out of the root directory.
_ABOVE = (
    "import os, sys; a = os.stat('/'); os.makedirs('/tmp/c', exist_ok=True); os.chroot('/tmp/c'); "
    "[os.chdir('..') for _ in range(64)]; os.chroot('.'); b = os.stat('/'); "
    "sys.exit((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))"
)
# Attributes that make a mount writable, for a copy of the mount of /usr and for that mount itself.
_ATTRIBUTES = f"{_SYSCALL}import struct; a = struct.pack('QQQQ', 0, 1, 0, 0); "
_NEW_INTERFACE = (
    f"{_ATTRIBUTES}f = libc.syscall(428, -100, b'/usr', 0x8001); "
    "sys.exit(f < 0 or libc.syscall(442, f, b'', 0x9000, a, 32) != 0)"
)
_IN_PLACE = f"{_ATTRIBUTES}sys.exit(libc.syscall(442, -100, b'/usr', 0, a, 32) != 0)"
_MAP = "struct.pack('IIII', 2, 4, 4, 1) + bytes(112)"
_EVENTS = "struct.pack('IIQ', 0, 112, 0) + bytes(112)"
_ABSTRACT = f"meshctl-escape-{os.getpid()}"

# Each must fail, in a machine, as its root.
ATTEMPTS = {
    "remount-root": "mount -o remount,bind,rw / && touch /x",
    "remount-usr": "mount -o remount,bind,rw /usr",
    "remount-programs": "mount -o remount,bind,rw /opt/meshctl/bin",
    "remount-superblock": "mount -o remount,rw /opt/meshctl/bin",
    "write-program": "echo x >> /opt/meshctl/bin/tailscale",
    "unmount-usr": "umount -l /usr",
    "unmount-device": "umount -l /dev/null",
    "bind-and-remount": "mkdir -p /tmp/b; mount --rbind /usr /tmp/b; mount -o remount,bind,rw /tmp/b",
    "move-usr": "mkdir -p /tmp/b; mount --move /usr /tmp/b",
    "nested-user-namespace": "unshare --user --map-root-user --mount mount -o remount,bind,rw /usr",
    "overlay-onto-usr": "mkdir -p /tmp/b; mount -t overlay -o lowerdir=/etc,upperdir=/usr/lib,workdir=/usr/share o /tmp/b",
    "mount-the-disk": "mkdir -p /tmp/b; mount $(awk '$5 == \"/usr\" { print $(NF-1) }' /proc/self/mountinfo) /tmp/b",
    "block-device": f"mknod /root/disk b {os.major(_DISK)} {os.minor(_DISK)}",
    "memory-device": "mknod /root/mem c 1 1",
    "device-in-a-new-file-system": "mkdir -p /tmp/b; mount -t tmpfs -o dev t /tmp/b; mknod /tmp/b/n c 1 3",
    "host-devices": "mkdir -p /tmp/b; mount -t devtmpfs d /tmp/b",
    "debug-file-system": "mkdir -p /tmp/b; mount -t debugfs d /tmp/b",
    "control-groups": "mkdir -p /tmp/b; mount -t cgroup -o devices c /tmp/b",
    "namespace-of-control-groups": "unshare --cgroup true",
    "control-groups-of-the-session": "mkdir -p /tmp/b; unshare --cgroup --mount mount -t cgroup2 c /tmp/b",
    "file-handle": f"python3 -c {shlex.quote(_HANDLE)}",
    "root-directory-above": f"python3 -c {shlex.quote(_ABOVE)}",
    "priority": "python3 -c 'import os; os.setpriority(0, 0, -10)'",
    "real-time": "python3 -c 'import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))'",
    "last-to-be-killed": "echo -900 > /proc/self/oom_score_adj",
    "limits": "ulimit -Hl 99999999",
    "kernel-memory": "head -c 10 /proc/kcore",
    "trace-file-system": "mkdir -p /tmp/b; mount -t tracefs t /tmp/b",
    "settings-in-a-new-proc": "mkdir -p /tmp/b; mount -t proc p /tmp/b; cat /tmp/b/sys/fs/pipe-max-size >/tmp/b/sys/fs/pipe-max-size",
    "sysfs": "mkdir -p /tmp/b; mount -t sysfs s /tmp/b; echo 1 >/tmp/b/power/pm_freeze_timeout",
    "abstract-socket": f"python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"\\0{_ABSTRACT}\")'",
    "core-pattern": "echo '|/tmp/x' > /proc/sys/kernel/core_pattern",
    "core-pattern-in-a-new-proc": "mkdir -p /tmp/b; mount -t proc p /tmp/b; echo x > /tmp/b/sys/kernel/core_pattern",
    "module-program": "echo /tmp/x > /proc/sys/kernel/modprobe",
    "swappiness": "cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness",
    "sysrq": "echo h > /proc/sysrq-trigger",
    "uevent-helper": "mount -o remount,bind,rw /sys; echo /tmp/x > /sys/kernel/uevent_helper",
    "kernel-log": "dmesg --clear",
    "clock": "date --set=2001-01-01",
    "reboot": f"python3 -c '{_SYSCALL}sys.exit(libc.reboot(0x89ABCDEF) != 0)'",
    "load-module": f"python3 -c '{_SYSCALL}r=libc.syscall(175, 0, 0, 0); sys.exit(ctypes.get_errno() == 1 or 2)'",
    "new-mount-interface": f"python3 -c {shlex.quote(_NEW_INTERFACE)}",
    "attributes-of-a-mount": f"python3 -c {shlex.quote(_IN_PLACE)}",
    "program-in-the-kernel": f'python3 -c "{_SYSCALL}import struct; sys.exit(libc.syscall(321, 0, {_MAP}, 72) < 0)"',
    "events-of-all-processes": f'python3 -c "{_SYSCALL}import struct; sys.exit(libc.syscall(298, {_EVENTS}, -1, 0, -1, 0) < 0)"',
    "accesses-to-files": f"python3 -c '{_SYSCALL}sys.exit(libc.fanotify_init(4, 0) < 0)'",
    "accounting": f"python3 -c '{_SYSCALL}sys.exit(libc.acct(b\"/tmp/x\") != 0)'",
    "root-of-process-1": "ls /proc/1/root/run/lab",
    "lab-state": "ls /run/lab /run/netns/* 2>/dev/null",
    "namespaces-of-process-1": "nsenter --target 1 --mount ls /run/lab",
}


@pytest.fixture(scope="module")
def lab(user: Machine) -> Iterator[LabDriver]:
    """Return a lab without a mesh, as root and as an ordinary user."""
    with standing(LabDriver(user)) as driver:
        driver.build().succeeded()
        yield driver


@pytest.fixture(scope="module")
def canary(user: Machine) -> Path:
    """Return a file that belongs to the user who started the lab."""
    path = user.home / "canary"
    path.write_text(SECRET, encoding="utf-8")
    path.chmod(0o600)
    return user.give(path)


def _meshctl(lab: LabDriver, *words: str) -> subprocess.CompletedProcess[str]:
    """Run meshctl as the lab's user, with a secret in its environment."""
    return subprocess.run(
        lab.machine.command([str(Path(sys.executable).with_name("meshctl")), *words]),
        env=lab.machine.env(CONTROLLERS_SECRET=SECRET),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _host(lab: LabDriver) -> dict[str, object]:
    """Return what a machine could have changed."""
    programs = {path: path.resolve() for path in (lab.machine.home / "cache" / "bin").glob("*/*")}
    settings = (
        "kernel/core_pattern",
        "kernel/hostname",
        "vm/swappiness",
        "user/max_user_namespaces",
    )
    return {
        "programs": {path: hashlib.sha256(real.read_bytes()).hexdigest() for path, real in programs.items()},
        "settings": {name: Path("/proc/sys", name).read_text(encoding="utf-8") for name in settings},
        "mounts": sorted(line.split(" ", 3)[3] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
    }


def test_every_way_out_is_closed(lab: LabDriver) -> None:
    before = _host(lab)
    script = "".join(
        f"unshare --mount sh -ec {shlex.quote(attempt)} >/dev/null 2>&1 && echo {name}\n"
        for name, attempt in ATTEMPTS.items()
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{_ABSTRACT}")
        listener.listen()
        assert lab.shell(NODE, f"{script}true").split() == []
    assert _host(lab) == before
    # The same commands work where the machine may: they do not fail for want of a program.
    lab.shell(NODE, "unshare --mount sh -ec 'mount -t tmpfs t /mnt; mount -o remount,bind,ro /mnt; umount /mnt'")


def test_a_mount_is_locked_although_the_machine_may_mount(lab: LabDriver) -> None:
    lab.shell(NODE, "! touch /usr/x 2>/dev/null; mount -t tmpfs t /mnt; touch /mnt/x; umount /mnt")


def test_the_root_of_a_machine_is_no_user_of_this_system(lab: LabDriver) -> None:
    status = Path(f"/proc/{lab.process(NODE)}/status").read_text(encoding="utf-8")
    owner = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    assert len(set(owner)) == 1
    if os.geteuid() == 0:
        assert owner[0] != "0"
    own, lab_init, other = (
        Path(f"/proc/{pid}/ns/user").readlink() for pid in (lab.process(NODE), lab.init(), lab.process(OTHER))
    )
    assert len({own, lab_init, other, Path("/proc/self/ns/user").readlink()}) == 4


def test_no_secret_of_this_system_can_be_read(lab: LabDriver, canary: Path) -> None:
    hashes = [line.split(":")[1] for line in lab.shell(NODE, "cat /etc/shadow").splitlines()]
    assert set(hashes) == {"*"}
    found = lab.shell(
        NODE,
        f"for at in /proc/[0-9]*; do cat $at/root{canary} $at/cwd{canary} 2>/dev/null || true; done\n"
        f"cat {canary} 2>/dev/null || true\n"
        # Nothing of this system's /etc is there that is not on the list.
        "ls -A /etc/ssh /etc/ssl/private /etc/sudoers /etc/fstab /etc/shadow- /etc/cron.d 2>/dev/null || true",
    )
    assert found == ""


def test_no_process_of_another_machine_or_of_this_system_is_visible(lab: LabDriver) -> None:
    own = Path(f"/proc/{lab.process(NODE)}/ns/pid").readlink()
    seen = lab.shell(NODE, "for at in /proc/[0-9]*; do readlink $at/ns/pid 2>/dev/null || true; done")
    assert set(seen.split()) == {str(own)}
    assert lab.shell(NODE, f"! kill -0 {os.getpid()} 2>&1").strip()


def test_links_in_the_log_tree_lead_nowhere(lab: LabDriver, canary: Path) -> None:
    before = lab.process(NODE)
    lab.shell(
        NODE,
        f"cd /var/log/meshctl; ln -sfn {canary} boot.log; mkdir -p planted; ln -sfn {canary} planted/current\n"
        f"ln -sfn {canary.parent} tree",
    )
    for words in (["logs", NODE], ["logs", NODE, "planted"]):
        done = _meshctl(lab, words[0], "--lab", lab.name, *words[1:])
        assert SECRET not in done.stdout + done.stderr
        assert done.returncode == (2 if "planted" in words else 0)
    os.kill(before, 9)
    wait_for(lambda: not children(before), "the machine ends")
    lab.build().succeeded()
    assert lab.process(NODE) != before
    assert canary.read_text(encoding="utf-8") == SECRET


_SCAN = (
    "while :; do for at in /proc/[0-9]*; do "
    "tr '\\0' '\\n' 2>/dev/null <$at/environ | grep -m 1 canary-of >>/root/found; done; done"
)


def test_the_environment_of_the_controller_stays_there(lab: LabDriver) -> None:
    scan = lab.inside(lab.process(NODE), ["sh", "-c", f"setsid sh -c {shlex.quote(_SCAN)} >/dev/null 2>&1 & echo $!"])
    try:
        task = {"name": "Speak", "ansible.builtin.raw": "sleep 0.05", "loop": list(range(20))}
        lab.tasks(NODE, [task], CONTROLLERS_SECRET=SECRET).succeeded()
        for _time in range(3):
            _meshctl(lab, "exec", "--lab", lab.name, NODE, "--", "sleep", "0.05")
            _meshctl(lab, "status", "--lab", lab.name)
        # The scanner sees what is there to be seen.
        lab.inside(lab.process(NODE), ["env", f"MINE={SECRET}-mine", "sleep", "2"])
    finally:
        lab.shell(NODE, f"kill -9 -{scan.stdout.strip()}")
    found = set(lab.shell(NODE, "cat /root/found").split())
    assert found == {f"MINE={SECRET}-mine"}


def test_a_changed_program_is_not_run(user: Machine) -> None:
    driver = LabDriver(user)
    cached = next((user.home / "cache" / "bin").glob("*/derper"))
    aside = cached.with_name("aside")
    cached.rename(aside)
    try:
        content = bytearray(aside.read_bytes())
        content[len(content) // 2] ^= 1
        cached.write_bytes(content)
        cached.chmod(0o755)
        user.give(cached)
        play = driver.build()
        assert play.status == 2
        assert "derper is not the program that was installed: remove it from the cache, and repeat" in play.messages()
        assert not driver.directory.exists()
    finally:
        aside.replace(cached)


_KEYS = (
    "import ctypes; libc = ctypes.CDLL(None, use_errno=True); "
    'found = libc.syscall(250, 10, -3, b"user", b"meshctl-canary", 0); '
)


def _keep_a_key(secret: str) -> None:
    """Put a key into the session keyring of this process, which its children inherit."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.syscall(250, 1, None) > 0
    assert libc.syscall(248, b"user", b"meshctl-canary", secret.encode(), len(secret), -3) > 0


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the test's system calls are those of x86-64")
def test_keys_of_the_session_stay_there(user: Machine) -> None:
    _keep_a_key(SECRET)
    search = shlex.quote(f"{_KEYS}print('key', found > 0)")
    shown = subprocess.run(["sh", "-c", f"python3 -c {search}"], capture_output=True, text=True, check=True)
    assert shown.stdout == "key True\n", "a process that leaves nothing behind finds it"
    with standing(LabDriver(user, name="keys")) as lab:
        lab.build().succeeded()
        done = _meshctl(lab, "exec", "--lab", lab.name, NODE, "--", "sh", "-c", f"python3 -c {search}")
        assert done.stdout == "key False\n", done.stderr
        # The connection, and process 1 of the machine with what it starts.
        service = f"#!/bin/sh\npython3 -c {search} >/root/service; exec sleep 1000"
        start = (
            f"python3 -c {search} >/root/task; mkdir -p /etc/service/keys; printf %s {shlex.quote(service)} >/etc/service/keys/run; "
            "chmod 755 /etc/service/keys/run; s6-svscanctl -a /etc/service; until [ -s /root/service ]; do sleep 0.1; done"
        )
        lab.tasks(NODE, [{"name": "Look for the key", "ansible.builtin.raw": start}]).succeeded()
        assert lab.shell(NODE, "cat /root/task /root/service") == "key False\nkey False\n"
