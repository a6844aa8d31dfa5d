# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Labs for tests: real playbooks, as root or as an ordinary user, with a state directory of their own."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[2]
PLAYBOOKS = PROJECT / "playbooks"
SEED = PROJECT / "inventory" / "lab.yml"
# A user that no machine has: nothing of its is readable, and nobody else's is writable.
ORDINARY_UID = 61234

# Gives an ordinary user what ordinary distributions give: a /dev/net/tun that it can open, and a Python and a project
# that are not in root's home. In a mount namespace that only this command sees.
_AS_ORDINARY = """
mount -t tmpfs -o mode=755 tun /mnt
mknod -m {mode} /mnt/tun c 10 200
mount --bind /mnt/tun /dev/net/tun
{opened}
exec setpriv --reuid={uid} --regid={uid} --clear-groups -- {prefix} "$@"
"""


def _opened() -> str:
    """Return commands that make this Python and this project readable where a parent directory is closed to others."""
    lines = []
    for number, path in enumerate({sys.base_prefix, sys.prefix, str(PROJECT)}):
        closed = [parent for parent in Path(path).parents if not parent.stat().st_mode & 0o001]
        if closed:
            aside, top = f"/mnt/{number}", shlex.quote(str(closed[-1]))
            lines += [f"mkdir {aside}", f"mount --bind {shlex.quote(path)} {aside}"]
            lines += [f"findmnt -t tmpfs {top} >/dev/null || mount -t tmpfs -o mode=755 opened {top}"]
            lines += [f"mkdir -p {shlex.quote(path)}", f"mount --bind {aside} {shlex.quote(path)}"]
    return "\n".join(lines)


@dataclass
class Play:
    """What a playbook run did."""

    status: int
    output: str
    results: list[dict[str, Any]]

    def changed(self) -> list[tuple[str, str]]:
        """Return host and name of each task that changed something."""
        return [(r["host"], r["task"]) for r in self.results if r["result"].get("changed")]

    def of(self, task: str) -> dict[str, dict[str, Any]]:
        """Return the results of a task, by host."""
        return {r["host"]: r["result"] for r in self.results if r["task"].endswith(task)}

    def messages(self) -> str:
        """Return what failed tasks said."""
        return "\n".join(str(r["result"].get("msg")) for r in self.results if r["status"] != "ok")

    def succeeded(self) -> Play:
        """Fail the test unless the run was good."""
        assert self.status == 0, self.output[-4000:]
        return self


@dataclass
class Machine:
    """The user and the directories that labs of a test are made with."""

    home: Path
    ordinary: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    tun_mode: str = "0666"
    # Command that the ordinary user's shell is started by.
    prefix: str = ""

    @property
    def state_dir(self) -> Path:
        """Return where the labs are recorded."""
        return self.home / "state"

    def command(self, words: list[str]) -> list[str]:
        """Return the command line that runs `words` as this user."""
        if not self.ordinary or os.geteuid():
            return words
        script = _AS_ORDINARY.format(uid=ORDINARY_UID, mode=self.tun_mode, prefix=self.prefix, opened=_opened())
        return ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-ec", script, "sh", *words]

    def env(self, **more: str) -> dict[str, str]:
        """Return the environment of a run: nothing of this user's settings."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MESHCTL_", "XDG_"))
        }
        return {
            **kept,
            "HOME": str(self.home),
            "USER": "tester",
            "LOGNAME": "tester",
            "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "MESHCTL_STATE_DIR": str(self.state_dir),
            "MESHCTL_CACHE_DIR": str(self.home / "cache"),
            "MESHCTL_RUNS_DIR": str(self.home / "runs"),
            "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.home / "ansible"),
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "record_results",
            "ANSIBLE_NOCOLOR": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.environment,
            **more,
        }

    def give(self, path: Path) -> Path:
        """Let this user have a file or directory of the test."""
        if self.ordinary and os.geteuid() == 0:
            for entry in [path, *path.rglob("*")]:
                os.chown(entry, ORDINARY_UID, ORDINARY_UID, follow_symlinks=False)
        return path


def make_machine(programs: dict[str, Path], *, ordinary: bool = False) -> Machine:
    """Return a user with a home of its own, in whose cache the mesh programs are."""
    home = Path(tempfile.mkdtemp(prefix="meshctl-test-"))
    home.chmod(0o755)
    for program in programs.values():
        target = home / "cache" / "bin" / program.parent.name
        target.mkdir(parents=True, exist_ok=True)
        _link_or_copy(program.parent, target, copy_it=ordinary)
    machine = Machine(home, ordinary)
    machine.give(home)
    return machine


def _link_or_copy(source: Path, target: Path, *, copy_it: bool) -> None:
    for entry in source.iterdir():
        beside = target / entry.name
        if beside.exists():
            continue
        if copy_it:
            shutil.copy2(entry, beside)
        else:
            beside.symlink_to(entry)


# With it, tasks run as they do for users: conditions are decided ahead, and machines get forks of one Python.
WITH_REPORT = {"ANSIBLE_CALLBACKS_ENABLED": "record_results,meshctl.headscale.report"}


class LabDriver:
    """One lab, by its inventory."""

    def __init__(self, machine: Machine, name: str = "", inventory: dict[str, Any] | None = None) -> None:
        """Take the seed topology, or another inventory, under a name of its own."""
        self.machine = machine
        self.name = name or f"t{uuid.uuid4().hex[:8]}"
        self.inventory = copy.deepcopy(inventory or yaml.safe_load(SEED.read_text(encoding="utf-8")))
        self.inventory["all"]["vars"]["lab_name"] = self.name
        self.path = machine.home / f"{self.name}.yml"

    @property
    def vars(self) -> dict[str, Any]:
        """Return the inventory's variables, to be changed."""
        found: dict[str, Any] = self.inventory["all"]["vars"]
        return found

    def hosts(self, group: str) -> dict[str, Any]:
        """Return the hosts of a group, to be changed."""
        found: dict[str, Any] = self.inventory["all"]["children"][group]["hosts"]
        return found

    @property
    def directory(self) -> Path:
        """Return the lab's state directory."""
        return self.machine.state_dir / "labs" / self.name

    def start(self, playbook: str | Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Start a playbook; its process group is its own."""
        self.path.write_text(yaml.safe_dump(self.inventory, sort_keys=False), encoding="utf-8")
        self.machine.give(self.path)
        words = [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            str(self.path),
            str(PLAYBOOKS / playbook),
            *arguments,
        ]
        return subprocess.Popen(
            self.machine.command(words),
            cwd=PROJECT,
            env=self.machine.env(MESHCTL_TEST_RESULTS=str(self._results), **env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @property
    def _results(self) -> Path:
        return self.machine.home / f"{self.name}.results"

    def play(self, playbook: str | Path, *arguments: str, seconds: float = 180, **env: str) -> Play:
        """Run a playbook to its end."""
        self._results.unlink(missing_ok=True)
        process = self.start(playbook, *arguments, **env)
        try:
            output, _ = process.communicate(timeout=seconds)
        except BaseException:
            end_group(process)
            raise
        return Play(process.returncode, output, self._read_results())

    def _read_results(self) -> list[dict[str, Any]]:
        if not self._results.exists():
            return []
        return [json.loads(line) for line in self._results.read_text(encoding="utf-8").splitlines()]

    def tasks(self, hosts: str, tasks: list[dict[str, Any]], *arguments: str, **env: str) -> Play:
        """Run tasks on hosts of the lab."""
        playbook = self.machine.home / f"{self.name}-tasks.yml"
        playbook.write_text(
            yaml.safe_dump(
                [{"hosts": hosts, "gather_facts": False, "tasks": tasks}], sort_keys=False, allow_unicode=True
            ),
            encoding="utf-8",
        )
        self.machine.give(playbook)
        return self.play(playbook, *arguments, **env)

    def build(self, **env: str) -> Play:
        """Bring up the lab alone, without a mesh."""
        names = ("headscale", "tailscale", "tailscaled", "derper")
        found = {n: str(next((self.machine.home / "cache" / "bin").glob(f"*/{n}"))) for n in names}
        return self.tasks("localhost", [{"name": "Build", "meshctl.headscale.lab": {"programs": found}}], **env)

    def down(self) -> Play:
        """Take the lab down."""
        return self.play("down.yml")

    def record(self) -> dict[str, Any]:
        """Return what `up` recorded."""
        found: dict[str, Any] = json.loads((self.directory / "record.json").read_text(encoding="utf-8"))
        return found

    def supervisor(self) -> int:
        """Return the supervisor's process id."""
        return int((self.directory / "supervisor.pid").read_text(encoding="utf-8"))

    def init(self) -> int:
        """Return the lab's process 1, as this system sees it."""
        return children(self.supervisor())[0]

    def process(self, machine: str) -> int:
        """Return a machine's process 1, as this system sees it."""
        return int(self.record()["machines"][machine][0])

    def inside(
        self, pid: int, command: list[str], *, stdin: str = "", seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespaces of a process."""
        user = ["--preserve-credentials"] if self.machine.ordinary or os.geteuid() else []
        namespaces = ["--user", *user, "--mount", "--net", "--uts", "--ipc", "--pid"]
        enter = ["nsenter", f"--target={pid}", *namespaces, "--", *command]
        return subprocess.run(
            self.machine.command(enter), input=stdin, capture_output=True, text=True, timeout=seconds, check=False
        )

    def shell(self, machine: str, script: str, *, seconds: float = 60) -> str:
        """Run a shell script in a machine, and return its output; fail the test when it fails."""
        path = "PATH=/opt/meshctl/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        done = self.inside(self.process(machine), ["env", "-i", path, "/bin/sh", "-ec", script], seconds=seconds)
        assert done.returncode == 0, f"{machine}: {script}: {done.stdout}{done.stderr}"
        return done.stdout

    def counter(self, router: str, name: str) -> int:
        """Return the packets that a router's rule has counted."""
        found = json.loads(self.shell(router, f"nft -j list counter inet router {name}"))
        return int(found["nftables"][1]["counter"]["packets"])


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]
    except OSError:
        return []


def family(pid: int) -> set[tuple[int, str]]:
    """Return a process and all below it, each with its start time: an id alone may be used again."""
    found: set[tuple[int, str]] = set()
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        if started := start_time(current):
            found.add((current, started))
            waiting += children(current)
    return found


def start_time(pid: int) -> str:
    """Return when a process started, in clock ticks; nothing when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def alive(processes: set[tuple[int, str]]) -> set[tuple[int, str]]:
    """Return those of the processes that still run."""
    return {(pid, started) for pid, started in processes if start_time(pid) == started}


def end_group(process: subprocess.Popen[str]) -> None:
    """Kill a process group that the test started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait_for(condition: Callable[[], Any], what: str, *, seconds: float = 30) -> Any:
    """Return the first true value of a condition; fail the test at the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.02)
    return value


@contextlib.contextmanager
def standing(driver: LabDriver) -> Iterator[LabDriver]:
    """Take the lab down in the end, whatever happened, and see that nothing of it is left."""
    try:
        yield driver
    finally:
        left = family(driver.supervisor()) if (driver.directory / "supervisor.pid").exists() else set()
        driver.down()
        assert not driver.directory.exists(), f"down left {driver.directory}"
        assert not alive(left), f"down left processes: {alive(left)}"
