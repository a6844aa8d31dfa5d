# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find out what this machine lacks for meshctl, each with its remedy."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from typing import Any

from meshctl_headscale import _collection
from meshctl_headscale._exit import MeshctlError
from meshctl_headscale._play import ansible_command
from meshctl_headscale._project import project

_WANTED_ANSIBLE = (2, 19)


def examine() -> dict[str, Any]:
    """Return the documented object of `meshctl doctor`."""
    if not os.environ.get("ANSIBLE_HOME"):
        # Ansible, which is loaded below, would create a directory with the name ~.
        _collection.home.expanded("~", variable="ANSIBLE_HOME")
    machine = [*_collection.preflight.examine(), *_collection.guests_preflight.examine()]
    findings = [*_controller(), *_binaries(), *(asdict(finding) for finding in machine), *_containment()]
    return {"ok": all(finding["verdict"] != "fail" for finding in findings), "findings": findings}


def _finding(name: str, verdict: str, what: str, remedy: str = "") -> dict[str, str]:
    return {"id": name, "verdict": verdict, "what": what, "remedy": remedy}


def _controller() -> Iterator[dict[str, str]]:
    yield _finding("python", "ok", f"Python {platform.python_version()} ({sys.executable})")
    try:
        version = metadata.version("ansible-core")
    except metadata.PackageNotFoundError:
        yield _finding("ansible", "fail", "ansible-core is missing", "install meshctl again with its dependencies")
    else:
        new_enough = tuple(int(part) for part in version.split(".")[:2]) >= _WANTED_ANSIBLE
        wanted = ".".join(map(str, _WANTED_ANSIBLE))
        yield _finding(
            "ansible",
            "ok" if new_enough else "fail",
            f"ansible-core {version} ({' '.join(ansible_command('ansible-playbook')[1:])})",
            "" if new_enough else f"install ansible-core {wanted} or later",
        )
    missing = [
        name for name in ("ansible_runner", "jmespath", "jsonschema", "junitparser", "trustme") if not _there(name)
    ]
    if missing:
        yield _finding(
            "packages", "fail", f"Python packages are missing: {', '.join(missing)}", "install meshctl again"
        )
    try:
        yield _finding("project", "ok", f"playbooks and collection are in {project().root}")
    except MeshctlError as error:
        yield _finding("project", "fail", str(error))
    if os.environ.get("ANSIBLE_CONFIG"):
        yield _finding("config", "warn", f"ANSIBLE_CONFIG is set: {os.environ['ANSIBLE_CONFIG']} is used", "unset it")


_CONTAINMENT = {
    "kernel": "lab machines share this kernel: a flaw in the kernel lets them escape, and vsock has no namespaces",
    "files": "lab machines can read /usr and /etc/passwd of this machine, but no file of any user",
    "resources": "lab machines can use all processors, memory and disk space of this machine",
}


def _containment() -> Iterator[dict[str, str]]:
    """Yield what a lab does not keep its machines from; SECURITY.md says the same."""
    for name, what in _CONTAINMENT.items():
        yield _finding(f"containment-{name}", "ok", what)


def _there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _binaries() -> Iterator[dict[str, str]]:
    """Yield where each program is; a missing one is fetched or built later."""
    programs = _collection.binaries.PROGRAMS
    try:
        found = _collection.binaries.look(programs)
    except _collection.errors.HeadscaleError as error:
        yield _finding("binaries", "fail", str(error))
        return
    for name in programs:
        if name in found:
            yield _finding(f"binary-{name}", "ok", f"{name} {found[name].version} ({found[name].path})")
    if absent := [name for name in programs if name not in found]:
        yield _finding(
            "binaries",
            "warn",
            f"not in the cache yet: {', '.join(absent)}",
            "`meshctl up` fetches them, or builds them with Go (minutes, once)",
        )
