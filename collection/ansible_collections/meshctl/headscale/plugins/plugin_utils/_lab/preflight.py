# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find out what this machine lacks for a lab, each with its remedy.

Kernel features are tried in short-lived namespaces: a list of modules or a device file proves nothing.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ...module_utils._errors import BadInput
from .. import _paths
from .._inventory.places import Topology
from .._inventory.values import Link
from .network import cables
from .supervisor import LabError

# Program to Debian package; other distributions use the same or similar names.
PROGRAMS: Final = {
    "awk": "mawk",
    "dnsmasq": "dnsmasq-base",
    "findmnt": "util-linux",
    "ip": "iproute2",
    "tc": "iproute2",
    "mount": "mount",
    "nft": "nftables",
    "nginx": "nginx",
    "nsenter": "util-linux",
    "pivot_root": "util-linux",
    "setpriv": "util-linux",
    "ping": "iputils-ping",
    "s6-log": "s6",
    "s6-svc": "s6",
    "s6-svscan": "s6",
    "setsid": "util-linux",
    "sysctl": "procps",
    "unshare": "util-linux",
}
SYSTEM_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
DISK_BYTES: Final = 300 * 2**20
_SECONDS: Final = 20

# Feature, commands that need it, and remedy.
_FEATURES: Final = (
    (
        "bridge and veth",
        "ip link add br0 type bridge && ip link add ve0 type veth peer name ve1",
        "load the kernel modules bridge and veth",
    ),
    (
        "nftables with NAT",
        "printf 'table inet t { chain c { type nat hook postrouting priority srcnat; masquerade; }; "
        "chain d { type filter hook forward priority 0; ct state new counter reject with icmp net-unreachable; }; }' "
        "| nft -f -",
        "load the kernel modules nf_tables, nft_masq, nft_ct and nft_reject_inet",
    ),
    (
        "overlay file system",
        "mount -t tmpfs t /tmp && mkdir /tmp/u /tmp/w /tmp/m && "
        "mount -t overlay -o userxattr,lowerdir=/etc,upperdir=/tmp/u,workdir=/tmp/w o /tmp/m",
        "load the kernel module overlay (Linux 5.11 or later for ordinary users)",
    ),
    (
        "/dev/net/tun",
        "ip tuntap add dev tun9 mode tun",
        "load the kernel module tun, and check the access to it",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One property of this machine, good or bad."""

    id: str
    verdict: Literal["ok", "warn", "fail"]
    what: str
    remedy: str = ""

    @classmethod
    def ok(cls, name: str, what: str) -> Finding:
        """Return a finding that needs no action."""
        return cls(id=name, verdict="ok", what=what)

    @classmethod
    def warn(cls, name: str, what: str, remedy: str) -> Finding:
        """Return a finding that restricts what a lab can do."""
        return cls(id=name, verdict="warn", what=what, remedy=remedy)

    @classmethod
    def fail(cls, name: str, what: str, remedy: str) -> Finding:
        """Return a finding that prevents a lab."""
        return cls(id=name, verdict="fail", what=what, remedy=remedy)


@dataclass(frozen=True, kw_only=True)
class _Impairment:
    """A way to impair a link, with the commands that try it."""

    id: str
    what: str
    needed: Callable[[Link], bool]
    script: str
    remedy: str

    def examine(self) -> Finding:
        """Return whether this kernel has what the impairment needs."""
        if problem := _try(f"ip link set lo up && {self.script}"):
            return Finding.warn(self.id, f"this kernel cannot give links {self.what} ({problem})", self.remedy)
        return Finding.ok(self.id, f"links can have {self.what}")


# They are needed by some topologies only.
_IMPAIRMENTS: Final = (
    _Impairment(
        id="netem",
        what="a delay",
        needed=lambda link: bool(link.delay_ms),
        script="tc qdisc add dev lo root netem delay 1ms",
        remedy="load the kernel module sch_netem (`modprobe sch_netem`), or remove delay and jitter from links",
    ),
    _Impairment(
        id="rate",
        what="a rate",
        needed=lambda link: bool(link.rate_bit) and not link.delay_ms,  # netem has a rate as well
        script="tc qdisc add dev lo root tbf rate 1mbit burst 64kb latency 100ms",
        remedy="load the kernel module sch_tbf (`modprobe sch_tbf`), or remove the rate from links",
    ),
    _Impairment(
        id="loss",
        what="packet loss",
        needed=lambda link: bool(link.loss),
        script="printf 'table netdev t { chain c { type filter hook egress device lo priority 0; "
        "numgen random mod 10000 < 1 drop; }; }' | nft -f -",
        remedy="use Linux 5.16 or later with netfilter's egress hook (CONFIG_NETFILTER_EGRESS) and the module "
        "nft_numgen, or remove the loss from links",
    ),
)


def examine() -> list[Finding]:
    """Return all findings about this machine, good ones too."""
    impairments = [impairment.examine() for impairment in _IMPAIRMENTS]
    return [*_access(), _programs(), *_features(), *_disk(), *impairments]


def require(topology: Topology) -> None:
    """Check that this machine can run the topology.

    :raises LabError: naming each missing requirement and its remedy.
    """
    missing = [finding for finding in (*_access(), _programs(), *_disk()) if finding.verdict == "fail"]
    missing = missing or [finding for finding in _features() if finding.verdict == "fail"]
    if missing:
        raise LabError("; ".join(f"{finding.what}: {finding.remedy}" for finding in missing))
    require_lines(topology)


def require_lines(topology: Topology) -> None:
    """Check that this kernel can make the topology's impairments.

    :raises LabError: naming the first line that it cannot make, and the remedy.
    """
    for impairment in _IMPAIRMENTS:
        machines = [cable.machine for cable in cables(topology) if impairment.needed(cable.link)]
        if machines and (found := impairment.examine()).verdict != "ok":
            raise LabError(f"the link of {machines[0]} has {impairment.what}, but {found.what}: {found.remedy}")


def _access() -> Iterator[Finding]:
    if problem := _open_tun():
        yield Finding.fail("tun", f"/dev/net/tun: {problem.strerror}", _tun_remedy(problem))
    else:
        yield Finding.ok("tun", "/dev/net/tun can be opened")
    yield _user_namespaces()
    if not os.access("/usr/bin/python3", os.X_OK):
        yield Finding.fail(
            "python3", "/usr/bin/python3 is missing", "install the package python3: the lab's machines share /usr"
        )


def _open_tun() -> OSError | None:
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as exc:
        return exc
    return None


def _tun_remedy(problem: OSError) -> str:
    if problem.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return "load the kernel module (`modprobe tun`), or start the container with `--device /dev/net/tun`"
    if os.geteuid() == 0:
        device = "`--device /dev/net/tun`"
        return f"root is not permitted to open it, as in a container without {device}: start the container with that"
    return "let this user read and write it (chmod 0666 /dev/net/tun), or run as root"


def _user_namespaces() -> Finding:
    if problem := _try("mount -t tmpfs t /mnt && ip link set lo up"):
        what = f"this user cannot create a user namespace with its own network ({problem})"
        return Finding.fail("namespaces", what, _namespace_remedy(problem))
    return Finding.ok("namespaces", "this user can create user, mount and network namespaces")


def _namespace_remedy(problem: str) -> str:
    """Name the first of the distributions' switches that is off; those for ordinary users do not apply to root."""
    root = os.geteuid() == 0
    if root and re.search("not permitted|denied", problem, re.IGNORECASE):
        return "root is not permitted to, as in a container with default settings: start it with `--privileged`"
    for path, bad, remedy in (
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
    ):
        if root and "unprivileged" in path:
            continue
        try:
            if Path(path).read_text(encoding="utf-8").strip() == bad:
                return f"as root: {remedy}" + ("" if root else "; or run as root")
        except OSError:
            continue
    return "use a kernel with user namespaces (CONFIG_USER_NS)" if root else "run as root"


def _try(script: str) -> str:
    """Run a script in new namespaces and return its last error, empty if it worked."""
    namespaces = ["--user", "--map-root-user", "--mount", "--net"]
    command = ["unshare", *namespaces, "--fork", "--kill-child", "/bin/sh", "-ec", script]
    try:
        done = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env={"PATH": SYSTEM_PATH, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        return "unshare is missing"
    except subprocess.TimeoutExpired:
        return f"no answer within {_SECONDS} s"
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    # nft repeats the rule after its error, with a line of ^ below it.
    return next((line for line in lines if "Error: " in line), lines[-1] if lines else f"exit {done.returncode}")


def _programs() -> Finding:
    missing = sorted(program for program in PROGRAMS if not shutil.which(program, path=SYSTEM_PATH))
    if not missing:
        return Finding.ok("programs", f"all {len(PROGRAMS)} system programs are installed")
    packages = " ".join(sorted({PROGRAMS[program] for program in missing}))
    remedy = f"install them; Debian and Ubuntu: apt-get install --no-install-recommends {packages}"
    return Finding.fail("programs", f"programs are missing ({', '.join(missing)})", remedy)


def _features() -> Iterator[Finding]:
    for name, script, remedy in _FEATURES:
        if problem := _try(script):
            yield Finding.fail(name, f"the kernel refuses {name} in a namespace ({problem})", remedy)
        else:
            yield Finding.ok(name, f"the kernel supports {name} in a namespace")


def parted(error: BadInput) -> tuple[str, str]:
    """Return what an error says, and the remedy in its last sentence."""
    what, _dot, remedy = str(error).rstrip(".").rpartition(". ")
    return what, remedy[:1].lower() + remedy[1:]


def _disk() -> Iterator[Finding]:
    for name, find in (("state", _paths.state_dir), ("cache", _paths.cache_dir)):
        try:
            path = find()
        except BadInput as error:
            yield Finding.fail(f"disk-{name}", *parted(error))
            continue
        existing = next((parent for parent in (path, *path.parents) if parent.exists()), path)
        free, variable = shutil.disk_usage(existing).free, f"MESHCTL_{name.upper()}_DIR"
        if not os.access(existing, os.W_OK):
            remedy = f"set {variable} to a directory that this user owns"
            yield Finding.fail(f"disk-{name}", f"{existing} cannot be written", remedy)
        elif free < DISK_BYTES:
            what = f"{existing} has {free >> 20} MiB free, {DISK_BYTES >> 20} MiB are needed"
            yield Finding.fail(f"disk-{name}", what, f"free some space, or set {variable}")
        else:
            yield Finding.ok(f"disk-{name}", f"{existing} has room ({free >> 30} GiB free)")
