# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A mesh that is there already: a lab's machines with sshd in them, and an inventory that says only that.

The controller stands in the network namespace of the spare machine, which is no member of the mesh. Nothing here uses
the lab's own connection, and the inventory has none of the lab's variables.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import hashlib
import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model

from .lab_driver import PLAYBOOKS, PROJECT, LabDriver, end_group, wait_for

ROOT_PASSWORD = "in the test only"
ORDINARY = "meshop"
CONTROLLER = "client-node-4"

_RESOLVED_POLICY = "usr/share/dbus-1/system.d/org.freedesktop.resolve1.conf"

_SSHD = """
Port 22
HostKey /run/own/host_key
AuthorizedKeysFile /run/own/authorized_keys
PasswordAuthentication no
UsePAM no
StrictModes no
PrintLastLog no
PrintMotd no
PidFile /run/own/sshd.pid
"""
# Both directions of a TCP connection, for ssh's ProxyCommand: the port is reached in the machine's own network.
_RELAY = "exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3; kill $! 2>/dev/null"


@dataclass
class Ran:
    """What a playbook did to own hosts."""

    status: int
    output: str
    run_dir: Path

    @property
    def report(self) -> dict[str, Any]:
        """Return the run's report."""
        # Ansible is told the very directory, meshctl makes one in it.
        return model.load(next(self.run_dir.rglob("report.json"))).as_dict()

    def checks(self, prefix: str = "", **fields: Any) -> list[dict[str, Any]]:
        """Return the checks whose id begins so, and whose fields are these."""
        return [
            check
            for check in self.report["checks"]
            if check["id"].startswith(prefix) and all(check[key] == value for key, value in fields.items())
        ]

    def bad(self) -> list[str]:
        """Return what did not pass and was not skipped, in a form that says why."""
        return [
            f"{check['id']} {check['source']} -> {check['target']}: {check['hint']} (observed {check['observed']})"
            for check in self.report["checks"]
            if check["verdict"] in ("failed", "error")
        ]


@dataclass
class OwnMesh:
    """Machines of a lab as somebody's own hosts."""

    lab: LabDriver
    home: Path
    inventory: dict[str, Any] = field(default_factory=dict)
    address: str = "203.0.113.2"

    def __post_init__(self) -> None:
        """Make keys and the inventory."""
        self.home.mkdir(parents=True, exist_ok=True)
        for name in ("host_key", "user_key"):
            path = self.home / name
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        host_key = (self.home / "host_key.pub").read_text(encoding="utf-8").split()[:2]
        (self.home / "known_hosts").write_text(f"own {' '.join(host_key)}\n", encoding="utf-8")
        key = self.lab.shell("headscale-server", "cat /var/lib/headscale/meshctl_api_key").strip()
        self.key_file = self.home / "api_key"
        self.key_file.touch(mode=0o600)
        self.key_file.write_text(key + "\n", encoding="utf-8")
        self.inventory = self._inventory()

    @property
    def vars(self) -> dict[str, Any]:
        """Return the inventory's variables, to be changed."""
        found: dict[str, Any] = self.inventory["all"]["vars"]
        return found

    def hosts(self, group: str) -> dict[str, Any]:
        """Return the hosts of a group, to be changed."""
        found: dict[str, Any] = self.inventory["all"]["children"][group]["hosts"]
        return found

    def _inventory(self) -> dict[str, Any]:
        names = ("client-node-1", "client-node-2", "client-node-3")
        return {
            "all": {
                "vars": {
                    "mesh_server_url": "https://headscale.lab.test",
                    "mesh_ca_path": str(self.lab.directory / "ca.pem"),
                },
                "children": {
                    # By URL and key alone: no SSH to the server.
                    "headscale": {
                        "hosts": {
                            "headscale.lab.test": {
                                "ansible_connection": "local",
                                "mesh_api_key_file": str(self.key_file),
                            }
                        }
                    },
                    "clients": {"hosts": {name: self.ssh(name) for name in names}},
                },
            }
        }

    def ssh(self, machine: str, user: str = "root") -> dict[str, Any]:
        """Return the connection variables of a machine."""
        proxy = f"nsenter --target={self.lab.process(machine)} --net -- bash -c {shlex.quote(_RELAY)}"
        options = {
            "ProxyCommand": proxy,
            "HostKeyAlias": "own",
            "UserKnownHostsFile": str(self.home / "known_hosts"),
            "IdentitiesOnly": "yes",
        }
        addresses = self.lab.record()["topology"]["machines"]
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return {
            "ansible_host": addresses[machine]["address"],
            # Connections are kept for as long as a run lasts, and not much longer.
            "ansible_ssh_args": "-o ControlMaster=auto -o ControlPersist=15s",
            "ansible_user": user,
            "ansible_ssh_private_key_file": str(self.home / "user_key"),
            "ansible_ssh_common_args": " ".join(shlex.quote(word) for word in words),
        }

    def as_ordinary_user(self, machine: str) -> dict[str, Any]:
        """Return the connection variables of a machine for a user who becomes root with a password."""
        secret = self.home / "become.txt"
        secret.touch(mode=0o600)
        secret.write_text(ROOT_PASSWORD, encoding="utf-8")
        return {
            **self.ssh(machine, ORDINARY),
            "ansible_become": True,
            "ansible_become_method": "ansible.builtin.su",
            "ansible_become_exe": "/run/own/su",
            "ansible_become_password": f"{{{{ lookup('ansible.builtin.file', '{secret}') }}}}",
        }

    @contextlib.contextmanager
    def systemd_resolved(self, machine: str, tree: Path) -> Iterator[str]:
        """Have tailscaled find a systemd-resolved on a machine, out of a package's tree; yield `resolvectl`."""
        files = ("lib/systemd/systemd-resolved", "usr/bin/resolvectl", _RESOLVED_POLICY)
        for name in files:
            place = f"mkdir -p /run/own/tree/{Path(name).parent}; cd /run/own/tree; base64 -d >{name}; chmod 755 {name}"
            encoded = base64.b64encode((tree / name).read_bytes()).decode()
            self.lab.inside(self.lab.process(machine), ["/bin/sh", "-ec", place], stdin=encoded).check_returncode()
        stop, start = ("s6-svc -wD -d /etc/service/tailscaled", "s6-svc -u /etc/service/tailscaled")
        self.lab.shell(
            machine,
            "id systemd-resolve >/dev/null 2>&1 || useradd --system --no-create-home systemd-resolve\n"
            f"mkdir -p /etc/dbus-1/system.d /run/dbus /run/systemd/resolve; cp /run/own/tree/{_RESOLVED_POLICY} "
            "/etc/dbus-1/system.d/\n"
            "chown systemd-resolve: /run/systemd/resolve\n"
            f"{stop}; cp /etc/resolv.conf /run/own/resolv.before\n"
            "mkdir -p /etc/systemd; sed -n 's/^nameserver /DNS=/p' /etc/resolv.conf | "
            "sed '1i [Resolve]' >/etc/systemd/resolved.conf\n"
            "dbus-daemon --system --fork --print-pid=3 3>/run/own/dbus.pid </dev/null >/dev/null 2>&1\n"
            "setsid /run/own/tree/lib/systemd/systemd-resolved </dev/null >/run/own/resolved.log 2>&1 &\n"
            "echo $! >/run/own/resolved.pid",
        )
        try:
            stub = "/run/systemd/resolve/stub-resolv.conf"
            wait_for(lambda: self.lab.shell(machine, f"cat {stub} 2>/dev/null || true"), "systemd-resolved is up")
            self.lab.shell(machine, f"rm -f /etc/resolv.conf; ln -s {stub} /etc/resolv.conf; {start}")
            control = "/run/own/tree/usr/bin/resolvectl"
            wait_for(
                lambda: "100.100.100.100" in self.lab.shell(machine, f"{control} dns tailscale0 || true"),
                "tailscaled has told systemd-resolved",
            )
            yield control
        finally:
            self.lab.shell(
                machine,
                f"{stop}; kill $(cat /run/own/resolved.pid /run/own/dbus.pid); rm -rf /etc/resolv.conf /run/dbus\n"
                f"cp /run/own/resolv.before /etc/resolv.conf; {start}",
            )

    def start_sshd(self, machine: str) -> None:
        """Run a real sshd in a machine, with a user of its own beside root."""
        host_key = (self.home / "host_key").read_text(encoding="utf-8")
        public = (self.home / "user_key.pub").read_text(encoding="utf-8")
        self.lab.shell(
            machine,
            f"mkdir -p -m 755 /run/own /run/sshd; umask 077; printf %s {shlex.quote(host_key)} >/run/own/host_key\n"
            f"printf %s {shlex.quote(public)} >/run/own/authorized_keys; chmod 644 /run/own/authorized_keys\n"
            f"printf %s {shlex.quote(_SSHD)} >/run/own/sshd_config\n"
            # The real root owns /usr/bin/su, so its set-user-ID bit means nothing in a machine.
            "cp /usr/bin/su /run/own/su; chmod 4755 /run/own/su\n"
            f"id {ORDINARY} 2>/dev/null || useradd --create-home --shell /bin/bash --password x {ORDINARY}\n"
            f"printf %s {shlex.quote(f'root:{ROOT_PASSWORD}')} | chpasswd --crypt-method SHA256\n"
            # Daemons of this machine's service manager do not hold our pipes open.
            "/usr/sbin/sshd -f /run/own/sshd_config -E /run/own/log </dev/null >/dev/null 2>&1",
        )
        wait_for(lambda: "sshd" in self.lab.shell(machine, "ss -Hltnp sport = :22"), f"sshd of {machine}")

    def command(self, words: list[str]) -> list[str]:
        """Return the command line that runs `words` where the controller stands."""
        script = (
            'printf "127.0.0.1 localhost\\n%s headscale.lab.test\\n" "$1" >"$2"; mount --bind "$2" /etc/hosts; '
            'printf "" >"$2.resolv"; mount --bind "$2.resolv" /etc/resolv.conf; shift 2; exec "$@"'
        )
        inside = ["nsenter", f"--target={self.lab.process(CONTROLLER)}", "--net", "--"]
        private = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-ec", script, "sh"]
        return [*inside, *private, self.address, str(self.home / "hosts"), *words]

    def play(self, *words: str, seconds: float = 240, **env: str) -> Ran:
        """Run playbooks of the project, with the inventory as it stands."""
        playbooks = [str(PLAYBOOKS / word) if word.endswith(".yml") else word for word in words]
        return self.run([str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self.write()), *playbooks],
                        seconds=seconds, **env)  # fmt: skip

    def write(self) -> Path:
        """Write the inventory and return its path."""
        path = self.home / "own.yml"
        path.write_text(yaml.safe_dump(self.inventory, sort_keys=False), encoding="utf-8")
        return path

    def run(self, words: list[str], *, seconds: float = 240, **env: str) -> Ran:
        """Run a command where the controller stands, with a run directory of its own."""
        run_dir = self.home / f"run-{len(list(self.home.glob('run-*')))}"
        environment = self.lab.machine.env(
            MESHCTL_RUN_DIR=str(run_dir),
            MESHCTL_RUNS_DIR=str(run_dir),
            ANSIBLE_CALLBACKS_ENABLED="meshctl.headscale.report",
            **env,
        )
        process = subprocess.Popen(
            self.command(words), cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=seconds)
        except BaseException:
            end_group(process)
            raise
        return Ran(process.returncode, output, run_dir)

    @contextlib.contextmanager
    def watched_arguments(self) -> Iterator[set[str]]:
        """Gather the command line of every process of this system while the block runs."""
        seen: set[str] = set()
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.02):
                for entry in Path("/proc").glob("[0-9]*/cmdline"):
                    with contextlib.suppress(OSError):
                        seen.add(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield seen
        finally:
            stop.set()
            watcher.join()

    def snapshot(self, machine: str) -> dict[str, str]:
        """Return all that a run must leave as it is: files byte for byte, sysctls, processes, preferences, firewall."""
        script = r"""
VOLATILE='nf_conntrack_count|random[.]|fs[.](dentry|inode|file)|pty[.]nr|[.](tcp|udp)_mem |ns_last_pid|perf_|numa'
cd /; for top in etc root home var run tmp opt; do
  find "$top" -xdev \( -path run/own/log -o -path var/log/meshctl \) -prune -o -printf '%p %y %m %U:%G %l\n' | sort
done; echo '--- files'
# The server writes its database whenever a node reports; its rows are compared below.
find etc root home var run tmp opt -xdev \( -path run/own/log -o -path var/log/meshctl \) -prune \
  -o -type f ! -path 'var/lib/headscale/db.sqlite*' -print0 | sort -z | xargs -0 sha256sum
echo '--- sysctls'; sysctl -a 2>/dev/null | grep -Ev "$VOLATILE"
echo '--- processes'; ps -e -o ppid=,args= | grep -Ev 'ps -e|sshd:|nsenter|find|sort|/bin/sh|sed|grep' | sort
echo '--- prefs'; if pidof tailscaled >/dev/null; then tailscale debug prefs; fi
echo '--- network'; ip -br address; ip route show table all; ip rule
nft list ruleset | sed -E 's/packets [0-9]+ bytes [0-9]+//'
if [ -e /var/lib/headscale/db.sqlite ]; then echo '--- database'; python3 -c '
import sqlite3
# What nodes tell of themselves whenever they like.
told = {"nodes": {"endpoints", "host_info", "last_seen", "updated_at"}}
base = sqlite3.connect("file:/var/lib/headscale/db.sqlite?mode=ro", uri=True)
for (table,) in sorted(base.execute("select name from sqlite_master where type = ?", ("table",)).fetchall()):
    rows = base.execute("select * from " + table)
    names = [column[0] for column in rows.description]
    for row in rows:
        print(table, {name: cell for name, cell in zip(names, row) if name not in told.get(table, ())})
'; fi
"""
        sections: dict[str, str] = {}
        name = "tree"
        for line in self.lab.shell(machine, script).splitlines():
            if line.startswith("--- "):
                name = line.removeprefix("--- ")
                continue
            sections[name] = sections.get(name, "") + line + "\n"
        return sections


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the lines that are not the same in two snapshots."""
    found = []
    for section in before | after:
        old, new = before.get(section, "").splitlines(), after.get(section, "").splitlines()
        found += [f"{section}: - {line}" for line in old if line not in new]
        found += [f"{section}: + {line}" for line in new if line not in old]
    return found


def digest(path: Path) -> str:
    """Return a file's digest."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def own_mesh(lab: LabDriver, home: Path) -> Iterator[OwnMesh]:
    """Make a standing lab's machines into own hosts; the lab is taken down by whoever made it."""
    found = OwnMesh(lab, home)
    for machine in ("client-node-1", "client-node-2", "client-node-3"):
        found.start_sshd(machine)
    original = copy.deepcopy(found.inventory)
    try:
        yield found
    finally:
        found.inventory = original
        _end_connections(lab.machine.home)


def _end_connections(home: Path) -> None:
    """End the connections that ssh keeps, with their relays: one whose session hangs would stay for ever."""
    for socket in (home / ".ansible/cp").glob("*"):
        words = ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "own"]
        subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=10, check=False)


def settled(lab: LabDriver) -> bool:
    """Whether each client sees the others online."""
    clients = ("client-node-1", "client-node-2", "client-node-3")
    statuses = [json.loads(lab.shell(machine, "tailscale status --json")) for machine in clients]
    return all(sum(peer["Online"] for peer in (status["Peer"] or {}).values()) == 2 for status in statuses)


def needs_root() -> bool:
    """Whether entering the namespaces of own hosts is left to root."""
    return os.geteuid() != 0
