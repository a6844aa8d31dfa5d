# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this machine must have for a lab; each missing thing with its remedy.

Kernel features are tried, in namespaces that end with the try: a module list or a device
file proves nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from .. import _paths
from .._inventory.topology import Topology
from .network import needs_netem
from .supervisor import LabError, rootless

# Program to the Debian package that has it; elsewhere the packages have the same or a similar name.
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

# Feature, the commands that show it, and what to do without it.
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
        "load the kernel module tun, and see the line about its access",
    ),
)
_NETEM: Final = "ip link set lo up && tc qdisc add dev lo root netem delay 1ms"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    id: str
    verdict: Literal["ok", "warn", "fail"]
    what: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Return all findings about this machine, good ones too."""
    return [*_access(), *_programs(), *_features(), *_disk(), netem()]


def require(topology: Topology) -> None:
    """Check that this machine can run the topology.

    :raises LabError: naming each missing thing and its remedy.
    """
    findings = [*_access(), *_programs(), *_disk()]
    missing = [finding for finding in findings if finding.verdict == "fail"]
    missing = missing or [finding for finding in _features() if finding.verdict == "fail"]
    if missing:
        raise LabError("; ".join(f"{finding.what}: {finding.remedy}" for finding in missing))
    require_lines(topology)


def require_lines(topology: Topology) -> None:
    """Check that this kernel can make the topology's impairments.

    :raises LabError: naming the first line that it cannot make, and the remedy.
    """
    delayed = needs_netem(topology)
    if delayed and netem().verdict != "ok":
        raise LabError(
            f"the line of {delayed[0]} asks for a delay, and this kernel has no sch_netem to make it: "
            "load that module (Debian: linux-image's modules; `modprobe sch_netem`), or leave delay and jitter out "
            "(rate and loss need no module)"
        )


def _access() -> Iterator[Finding]:
    yield _finding(
        "tun",
        _open_tun,
        "/dev/net/tun can be opened",
        "let this user read and write it (chmod 0666 /dev/net/tun), or run as root",
    )
    if rootless():
        yield _user_namespaces()
    else:
        yield Finding(id="namespaces", verdict="ok", what="running as root: no user namespace is needed")
    if not os.access("/usr/bin/python3", os.X_OK):
        yield Finding(
            id="python3",
            verdict="fail",
            what="/usr/bin/python3 is missing",
            remedy="install the package python3: the lab's machines share /usr",
        )


def _open_tun() -> str:
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as exc:
        return exc.strerror or str(exc)
    return ""


def _finding(name: str, test: Callable[[], str], good: str, remedy: str) -> Finding:
    problem = test()
    if not problem:
        return Finding(id=name, verdict="ok", what=good)
    return Finding(id=name, verdict="fail", what=f"{good.split(' can ', maxsplit=1)[0]}: {problem}", remedy=remedy)


def _user_namespaces() -> Finding:
    problem = _try("mount -t tmpfs t /mnt && ip link set lo up")
    if not problem:
        return Finding(id="namespaces", verdict="ok", what="this user can make user, mount and network namespaces")
    return Finding(
        id="namespaces",
        verdict="fail",
        what=f"this user cannot make a user namespace with a network of its own ({problem})",
        remedy=_namespace_remedy(),
    )


def _namespace_remedy() -> str:
    """Name the switch that is off, of those that distributions have."""
    for path, bad, remedy in (
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
    ):
        try:
            if Path(path).read_text(encoding="utf-8").strip() == bad:
                return f"as root: {remedy}; or run as root"
        except OSError:
            continue
    return "run as root"


def _try(script: str) -> str:
    """Run a script in namespaces of its own; return what it complained of, nothing when it worked."""
    user = ["--user", "--map-root-user"] if rootless() else []
    command = ["unshare", *user, "--mount", "--net", "--fork", "--kill-child", "/bin/sh", "-ec", script]
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
    return lines[-1] if lines else f"exit {done.returncode}"


def _programs() -> Iterator[Finding]:
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program, path=SYSTEM_PATH)})
    names = sorted(program for program in PROGRAMS if not shutil.which(program, path=SYSTEM_PATH))
    if missing:
        yield Finding(
            id="programs",
            verdict="fail",
            what=f"programs are missing ({', '.join(names)})",
            remedy=f"install them; Debian and Ubuntu: apt-get install --no-install-recommends {' '.join(missing)}",
        )
    else:
        yield Finding(id="programs", verdict="ok", what=f"all {len(PROGRAMS)} system programs are there")


def _features() -> Iterator[Finding]:
    for name, script, remedy in _FEATURES:
        problem = _try(script)
        if problem:
            yield Finding(
                id=name, verdict="fail", what=f"the kernel refuses {name} in a namespace ({problem})", remedy=remedy
            )
        else:
            yield Finding(id=name, verdict="ok", what=f"{name} works in a namespace")


def netem() -> Finding:
    """Return whether the kernel can delay packets: only topologies with delays need it."""
    problem = _try(_NETEM)
    if not problem:
        return Finding(id="netem", verdict="ok", what="delay and jitter on lines work (sch_netem)")
    return Finding(
        id="netem",
        verdict="warn",
        what="delay and jitter on lines cannot be made (no sch_netem); everything else works",
        remedy="modprobe sch_netem, where the kernel has it",
    )


def _disk() -> Iterator[Finding]:
    for name, path in (("state", _paths.state_dir()), ("cache", _paths.cache_dir())):
        existing = next((parent for parent in (path, *path.parents) if parent.exists()), path)
        free = shutil.disk_usage(existing).free
        if not os.access(existing, os.W_OK):
            yield Finding(
                id=f"disk-{name}",
                verdict="fail",
                what=f"{existing} cannot be written",
                remedy=f"set MESHCTL_{name.upper()}_DIR to a directory of this user's",
            )
        elif free < DISK_BYTES:
            yield Finding(
                id=f"disk-{name}",
                verdict="fail",
                what=f"{existing} has {free >> 20} MiB free, {DISK_BYTES >> 20} MiB are needed",
                remedy=f"make room, or set MESHCTL_{name.upper()}_DIR",
            )
        else:
            yield Finding(id=f"disk-{name}", verdict="ok", what=f"{existing} has room ({free >> 30} GiB free)")
