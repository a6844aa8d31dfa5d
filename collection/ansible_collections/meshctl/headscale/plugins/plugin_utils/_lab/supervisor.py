# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start, enter and stop the process that owns a whole lab.

`unshare --fork --kill-child` makes the lab's namespaces; its child is process 1 of the lab. When either
ends, for whatever reason, the kernel kills every process of the lab and with them its namespaces and mounts.
Nothing of a lab is pinned in this system's file system.

The lab has a user namespace. Its root is the user who started it, or, when root started it, a user id that no account
has. Each machine has another user namespace inside that one, so its root cannot change any mount of the lab.
"""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import os
import shlex
import signal
import subprocess
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from ...module_utils._errors import CouldNotRun
from .. import _paths
from . import keyring

NAMESPACES: Final = ("--mount", "--net", "--uts", "--ipc", "--pid")
START_SECONDS: Final = 15.0
ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
# The parts of the state directory that the lab can write to.
SHARED: Final = ("boot", "logs", "tls")
SCRIPTS: Final = ("machine.sh", "namespaces.py")
# Where the lab has its copies of the programs.
PROGRAMS: Final = "/run/lab/bin"
# The programs' checksums, in the format of sha256sum.
CHECKSUMS: Final = "programs.sha256"
# A root lab has the user ids of one of these slots, from 0x70000000 on: neither accounts nor containers use them.
_FIRST_ID: Final = 0x70000000
_IDS: Final = 65536
_SLOTS: Final = 4095

# _FILES OWNER PROGRAM=PATH...: create what the lab needs of this system's files. Runs in a private mount namespace and in
# the lab's state directory. Machines run copies of the programs, so they cannot reach the user's files.
_FILES: Final = f"""
set -eu
umask 022
owner=$1
shift
mount -t tmpfs -o "mode=755,size=64m,uid=$owner,gid=$owner" lab /run
mkdir /run/lab {PROGRAMS} /run/lab/state
mount -t tmpfs -o mode=755 programs {PROGRAMS}
for program in "$@"; do
    cp --preserve=timestamps "${{program#*=}}" "{PROGRAMS}/${{program%%=*}}"
    chmod 755 "{PROGRAMS}/${{program%%=*}}"
done
mount -o remount,bind,ro {PROGRAMS}
cp {" ".join(SCRIPTS)} {CHECKSUMS} ca.pem /run/lab/state
# They are not readable for the lab's root if this user's umask is strict.
chmod 644 /run/lab/state/*
for part in {" ".join(SHARED)}; do
    mkdir "/run/lab/state/$part"
    mount --bind "$part" "/run/lab/state/$part"
done
chown "$owner:$owner" /run/lab
cd /
"""
# Not every system lets its users open /dev/net/tun.
_TUN: Final = """
mknod -m 666 /run/lab/tun c 10 200
mount --bind /run/lab/tun /dev/net/tun
"""
# Runs as process 1 of the lab.
_INIT: Final = """
set -eu
# The root of a rootless lab is the user, who may own the control group of the session: in a namespace of control groups,
# a machine could mount it, and freeze or end what else runs there. The limit holds in all machines.
{ echo 0 > /proc/sys/user/max_cgroup_namespaces; } 2>/dev/null || true
mkdir -p /run/lab/service /run/lab/users /run/netns
mount --make-shared /run/netns 2>/dev/null || true
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin s6-svscan -t0 /run/lab/service
"""
# `start` maps the user ids of a root lab from outside; the second shell is root of the namespace. A shell without -p
# compares its real and effective ids and adopts the real one, so it would keep a wrong id if they change in between.
_AWAIT_IDS: Final = 'until read -r _ < /proc/self/uid_map; do sleep 0.01; done; exec /bin/sh -c "$1" "$0"'
# The process writes its own id before it becomes the supervisor, so whenever `meshctl up` is killed, the next `down`
# knows of every process that is left.
_START: Final = 'echo "$$" > supervisor.pid.new && mv supervisor.pid.new supervisor.pid && exec "$@"'


class LabError(CouldNotRun):
    """The lab cannot be started, entered or stopped; the message says why and what to do."""


@dataclass(frozen=True)
class Process:
    """A process and its start time in clock ticks since boot, because another process may get the same id."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return the process with this id, unless it has ended or is a zombie."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in ("Z", "X") else cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        """Whether this process still runs."""
        return Process.of(self.pid) == self


def rootless() -> bool:
    """Whether the root of this user's labs is this user: not root, or root of a user namespace with few ids."""
    return os.geteuid() != 0 or "4294967295" not in Path("/proc/self/uid_map").read_text(encoding="utf-8")


def first_id(directory: Path) -> int:
    """Return the user id, on this system, of the root of a lab that root started."""
    return _FIRST_ID + zlib.crc32(os.fsencode(directory)) % _SLOTS * _IDS


def share(directory: Path) -> None:
    """Let the lab's root use the shared parts of its state directory."""
    for part in SHARED:
        (directory / part).mkdir(mode=0o700, exist_ok=True)
    if not rootless():
        owner = first_id(directory)
        for path in (*(directory / part for part in SHARED), *(directory / "tls").rglob("*")):
            os.chown(path, owner, owner, follow_symlinks=False)


def enter(pid: int, command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` in the namespaces of process `pid`, and leave the user's session keyring.

    Start it in this thread and with an explicit environment, because a machine can read those of its processes.
    """
    keyring.leave()
    user = ["--user", "--preserve-credentials"] if rootless() else ["--user"]
    return ["nsenter", "--target", str(pid), *user, *NAMESPACES, "--", *command]


def _unshare(*user: str) -> list[str]:
    return [
        "unshare", "--user", *user, *NAMESPACES, "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
        "/bin/sh", "-p", "-c",
    ]  # fmt: skip


def _supervised(directory: Path, programs: Mapping[str, str]) -> list[str]:
    """Return the command that becomes the lab's supervisor."""
    name = f"meshctl-lab:{directory.name}"
    copied = [f"{program}={path}" for program, path in sorted(programs.items())]
    if rootless():
        return [*_unshare("--map-root-user"), _FILES + _INIT, name, "0", *copied]
    owner = str(first_id(directory))
    # To keep one capability until the user namespace exists lets this work where only root may create one. Process 1
    # keeps its capabilities over the first exec, which would otherwise end `--kill-child`.
    leave = ["setpriv", f"--reuid={owner}", f"--regid={owner}", "--clear-groups"]
    leave += ["--inh-caps=+sys_admin", "--ambient-caps=+sys_admin", *_unshare("--keep-caps"), _AWAIT_IDS, name, _INIT]
    outside = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c"]
    return [*outside, f"{_FILES}{_TUN}exec {shlex.join(leave)}", name, owner, *copied]


def _map_ids(directory: Path) -> None:
    """Give a root lab its user ids, once its user namespace exists."""
    process = None if rootless() else supervisor(directory)
    if process is None:
        return
    own = Path(f"/proc/{process.pid}")
    with contextlib.suppress(OSError):
        if (own / "ns/user").readlink() != Path("/proc/self/ns/user").readlink():
            for kind in ("gid_map", "uid_map"):
                if not (own / kind).read_text(encoding="utf-8"):
                    (own / kind).write_text(f"0 {first_id(directory)} {_IDS}\n", encoding="utf-8")


@contextlib.contextmanager
def lock(directory: Path, *, seconds: float = 60.0, lab: str = "") -> Iterator[None]:
    """Hold the lock of a lab's directory: one `up` or `down` at a time.

    :param lab: its name, if the directory has another.
    """
    # Next to the directory, because `down` removes that.
    path = directory.with_name(f".{directory.name}.lock")
    with _locked(path, time.monotonic() + seconds) as handle:
        if handle is None:
            raise LabError(
                f"another meshctl has been working on the lab '{lab or directory.name}' for {seconds:.0f} s; "
                "wait for it, or end it"
            )
        try:
            yield
        finally:
            if not directory.exists():
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path, deadline: float) -> Iterator[TextIO | None]:
    """Open a file and lock it; yield `None` when another process holds it until the deadline."""
    while True:
        try:
            _paths.make(path.parent)
            handle = path.open("w", encoding="utf-8")
        except OSError as exc:
            raise LabError(
                f"{path.parent} cannot be written ({exc.strerror}): set MESHCTL_STATE_DIR to a directory of this user's"
            ) from None
        with handle, contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The previous holder may have removed the file that we opened; a lock on that file has no effect.
            if path.exists() and path.stat().st_ino == os.fstat(handle.fileno()).st_ino:
                yield handle
                return
        if time.monotonic() > deadline:
            yield None
            return
        time.sleep(0.05)


def start(directory: Path, programs: Mapping[str, str]) -> Process:
    """Start the supervisor of the lab in `directory`, and return process 1 of the lab once it is ready."""
    keyring.leave()
    with (directory / "supervisor.log").open("ab") as log:
        started = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _START, "meshctl-lab", *_supervised(directory, programs)],
            cwd=directory,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            close_fds=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        _map_ids(directory)
        init = first_process(directory)
        if init and _ready(init.pid):
            return init
        if started.poll() is not None:
            break
        time.sleep(0.01)
    stop(directory)
    started.kill()
    started.wait()
    said = _last_line(directory / "supervisor.log")
    raise LabError(f"the lab's namespaces could not be created: {said}; run `meshctl doctor` for the cause")


def _ready(pid: int) -> bool:
    """Whether process 1 has created the lab's file systems and become the supervisor of services."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "s6-svscan"
    except OSError:
        return False


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return "no output"
    return next((line for line in reversed(lines) if line.strip()), "no output")


def supervisor(directory: Path) -> Process | None:
    """Return the supervisor of the lab in `directory` if it runs."""
    try:
        process = Process.of(int((directory / "supervisor.pid").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    # After a reboot the id may belong to another process; ours has the lab's name in its command line.
    name = f"meshctl-lab:{directory.name}".encode()
    return process if process and name in _command(process.pid).split(b"\0") else None


def _command(pid: int) -> bytes:
    """Return a process's command line, which is empty for an instant during exec."""
    for _attempt in range(50):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return b""
        if command:
            return command
        time.sleep(0.002)
    return b""


def first_process(directory: Path) -> Process | None:
    """Return process 1 of the lab in `directory` if it runs."""
    parent = supervisor(directory)
    children = _children(parent.pid) if parent else []
    return Process.of(children[0]) if children else None


def replaced(directory: Path, programs: Mapping[str, str]) -> list[str]:
    """Return the programs whose content differs from the copy that the lab runs."""
    init = first_process(directory)
    if init is None:
        return []
    found = []
    for name, path in programs.items():
        # A copy has the time of its file: if time and size are equal, `cmp` reads neither of them.
        with contextlib.suppress(OSError):
            if not filecmp.cmp(path, f"/proc/{init.pid}/root{PROGRAMS}/{name}"):
                found.append(name)
    return found


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]
    except OSError:
        return []


def kill(process: Process, *, seconds: float = 20.0) -> None:
    """Kill a process and wait until it has ended."""
    if process.alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + seconds
    while process.alive:
        if time.monotonic() > deadline:
            raise LabError(f"process {process.pid} did not end within {seconds:.0f} s; see `ps -fp {process.pid}`")
        time.sleep(0.01)


def stop(directory: Path) -> bool:
    """Stop the lab in `directory` and wait until its processes have ended; return whether there was one."""
    parent, init = supervisor(directory), first_process(directory)
    if parent is None:
        return False
    kill(parent)
    if init:
        kill(init)
    return True


def outer_pids(lab_init: int, inner: Sequence[int]) -> dict[int, int]:
    """Return this system's process id for each id that the lab's process namespace knows."""
    namespace = str(Path(f"/proc/{lab_init}/ns/pid").readlink())
    depth = len(_namespace_pids(lab_init))
    found: dict[int, int] = {}
    wanted = set(inner)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        pids = _namespace_pids(int(entry.name))
        # A machine's process 1 is one namespace deeper than the lab's.
        if len(pids) > depth and pids[depth - 1] in wanted and _below(int(entry.name), namespace, lab_init):
            found[pids[depth - 1]] = int(entry.name)
    return found


def _namespace_pids(pid: int) -> list[int]:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    line = next((line for line in status.splitlines() if line.startswith("NSpid:")), "")
    return [int(number) for number in line.split()[1:]]


def _below(pid: int, namespace: str, lab_init: int) -> bool:
    """Whether `pid` descends from the lab's process 1, or from a process of its namespace."""
    while pid > 1:
        if pid == lab_init:
            return True
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if str(Path(f"/proc/{pid}/ns/pid").readlink()) == namespace:
                return True
            pid = int(fields[1])
        except OSError:
            return False
    return False
