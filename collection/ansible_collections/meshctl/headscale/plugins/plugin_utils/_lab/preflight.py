# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find out what this machine lacks for a lab, each with its remedy.

Kernel features are tried in short-lived namespaces: a list of modules or a device file proves nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ...module_utils._errors import BadInput
from .. import _paths
from .._inventory.places import Topology
from .network import needs_netem
from .supervisor import LabError, rootless

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
_NETEM: Final = "ip link set lo up && tc qdisc add dev lo root netem delay 1ms"


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


def examine() -> list[Finding]:
    """Return all findings about this machine, good ones too."""
    return [*_access(), _programs(), *_features(), *_disk(), netem()]


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
    delayed = needs_netem(topology)
    if delayed and netem().verdict != "ok":
        raise LabError(
            f"the link of {delayed[0]} has a delay, and this kernel has no sch_netem to implement it: "
            "load that module (Debian: linux-image's modules; `modprobe sch_netem`), or remove delay and jitter "
            "(rate and loss need no module)"
        )


def _access() -> Iterator[Finding]:
    if problem := _open_tun():
        remedy = "let this user read and write it (chmod 0666 /dev/net/tun), or run as root"
        yield Finding.fail("tun", f"/dev/net/tun: {problem}", remedy)
    else:
        yield Finding.ok("tun", "/dev/net/tun can be opened")
    yield _user_namespaces()
    if not os.access("/usr/bin/python3", os.X_OK):
        yield Finding.fail(
            "python3", "/usr/bin/python3 is missing", "install the package python3: the lab's machines share /usr"
        )


def _open_tun() -> str:
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as exc:
        return exc.strerror or str(exc)
    return ""


def _user_namespaces() -> Finding:
    if problem := _try("mount -t tmpfs t /mnt && ip link set lo up"):
        what = f"this user cannot create a user namespace with its own network ({problem})"
        return Finding.fail("namespaces", what, _namespace_remedy())
    return Finding.ok("namespaces", "this user can create user, mount and network namespaces")


def _namespace_remedy() -> str:
    """Name the first of the distributions' switches that is off."""
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
                return f"as root: {remedy}" + ("; or run as root" if rootless() else "")
        except OSError:
            continue
    return "run as root" if rootless() else "use a kernel with user namespaces (CONFIG_USER_NS)"


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
    return lines[-1] if lines else f"exit {done.returncode}"


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


def netem() -> Finding:
    """Return whether the kernel can delay packets, which only some topologies need."""
    if not _try(_NETEM):
        return Finding.ok("netem", "delay and jitter of links work (sch_netem)")
    what = "this kernel cannot delay links or add jitter (no sch_netem); everything else works"
    return Finding.warn("netem", what, "modprobe sch_netem, if the kernel has it")


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
