# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Change networks and domains of libvirt with the modules of community.libvirt.

The modules are run from within the action that brings guests up and down, so that what a failed run has made is known in
one place. They want libvirt's Python binding, which distributions compile for their own Python: the first of Ansible's
Python and the system's that has it runs them.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ansible import constants as C
from ansible.errors import AnsibleError

from .._lab.supervisor import LabError
from .virsh import PATIENCE, SECONDS, lost_connection, no_connection

if TYPE_CHECKING:
    from types import FrameType

    from ansible.plugins.action import ActionBase

COLLECTION: Final = "community.libvirt"
COLLECTION_REMEDY: Final = f"install it with `ansible-galaxy collection install {COLLECTION}`, or the Python package ansible, which includes it"
BINDING_REMEDY: Final = "install the packages python3-libvirt and python3-lxml (Debian's names)"
_FOLDER: Final = Path("ansible_collections", *COLLECTION.split("."))
_SYSTEM_PYTHON: Final = "/usr/bin/python3"
# Importing a name shows that this is the binding and not just a directory called libvirt.
_BINDING: Final = "import lxml.etree; from libvirt import openAuth"
_PAUSE: Final = 0.5

RunModule = Callable[[str, Mapping[str, Any]], dict[str, Any]]


class Modules:
    """Runs the modules of community.libvirt against one libvirt URI."""

    def __init__(self, uri: str, run_module: RunModule) -> None:
        """Name the connection. Open nothing."""
        self._uri = uri
        self._run_module = run_module

    def require(self) -> None:
        """Raise `LabError` when the modules cannot run or libvirt does not answer."""
        self._changed("virt", command="virttype")

    def network_present(self, name: str, xml: str) -> bool:
        """Define a network and start it; return whether it is new."""
        made = self._changed("virt_net", name=name, state="present", xml=xml)
        self._changed("virt_net", name=name, state="active")
        return made

    def network_absent(self, name: str) -> None:
        """Stop a network and delete its definition."""
        self._changed("virt_net", name=name, state="absent")

    def domain_defined(self, name: str, xml: str) -> None:
        """Define a domain, or redefine it."""
        self._changed("virt", name=name, command="define", xml=xml)

    def domain_running(self, name: str) -> None:
        """Start a domain, or resume a paused one."""
        self._changed("virt", name=name, state="running")

    def domain_absent(self, name: str, *, active: bool) -> None:
        """Stop a domain at once and delete its definition and saved state.

        :param active: whether it has a hypervisor. One that is paused has, and would outlive its definition.
        """
        if active:
            self._changed("virt", name=name, state="destroyed")
        self._changed("virt", name=name, command="undefine", flags=["managed_save", "snapshots_metadata"], gone=True)

    def _changed(self, module: str, *, gone: bool = False, **arguments: Any) -> bool:  # noqa: ANN401
        """Run a module, and retry while libvirtd restarts. Raise `LabError` with libvirt's message.

        :param gone: that there is no such domain is what is wanted: a libvirtd that ended has maybe done it before.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            result = self._run_module(f"{COLLECTION}.{module}", {"uri": self._uri, **arguments})
            if not result.get("failed"):
                return bool(result.get("changed"))
            said = _said(result)
            if gone and said == f"virtual machine {arguments['name']} not found":
                return False
            if not (no_connection(said) or lost_connection(said)) or time.monotonic() > deadline:
                words = [module, *(str(arguments[key]) for key in ("state", "command", "name") if key in arguments)]
                raise LabError(f"libvirt ({self._uri}), {' '.join(words)}: {said}")
            time.sleep(_PAUSE)


def module_runner(action: ActionBase, task_vars: Mapping[str, Any]) -> RunModule:
    """Return a function that runs a module on the controller as part of `action`'s task."""

    # This module matches libvirt's English messages.
    english = {"LC_ALL": "C.UTF-8"}

    def run(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if action._connection.transport != "local":
            raise LabError(
                "virtual machines are those of this machine: run the task on localhost, or delegate it to localhost"
            )
        if english not in action._task.environment:
            action._task.environment = [*action._task.environment, english]
        variables = _with_python(task_vars, action._task.delegate_to, _python_or_error())
        try:
            with _limit():
                result: dict[str, Any] = action._execute_module(
                    module_name=name, module_args=dict(arguments), task_vars=variables
                )
        except _HangsError:
            return {"failed": True, "msg": f"no answer within {SECONDS:.0f} s"}
        except AnsibleError as exc:
            if "not found" in str(exc) or "couldn't resolve" in str(exc):
                raise LabError(f"virtual machines need the collection {COLLECTION}: {COLLECTION_REMEDY}") from None
            raise LabError(f"{name} could not be run: {exc}") from None
        return result

    return run


class _HangsError(BaseException):
    """A module waits for a libvirtd that hangs. Derived from BaseException so that Ansible does not catch it."""


@contextlib.contextmanager
def _limit() -> Iterator[None]:
    """Raise `_HangsError` after a minute, because modules wait for libvirt without a timeout."""

    def ring(_signum: int, _frame: FrameType | None) -> None:
        raise _HangsError

    before = signal.signal(signal.SIGALRM, ring)
    # A task's `timeout` uses the same timer.
    left, _interval = signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


def _said(result: Mapping[str, Any]) -> str:
    """Return why a module failed; when it could not start, Python's last line says so."""
    lines = str(result.get("module_stderr") or result.get("msg") or "").strip().splitlines()
    return lines[-1] if lines else "it failed without a message"


def missing() -> tuple[str, str] | None:
    """Return what the modules lack on this machine, and its remedy."""
    if not any(
        (Path(path) / _FOLDER).is_dir() for path in (*C.config.get_config_value("COLLECTIONS_PATHS"), *sys.path)
    ):
        return f"the collection {COLLECTION} is missing", COLLECTION_REMEDY
    if not python_with_binding():
        return "no Python here has libvirt's binding", BINDING_REMEDY
    return None


def _with_python(task_vars: Mapping[str, Any], delegate: str | None, python: str) -> dict[str, Any]:
    """Return a task's variables with that Python as the interpreter, even when the task is delegated."""
    own = {**task_vars, "ansible_python_interpreter": python}
    if delegate:
        delegated = dict(task_vars.get("ansible_delegated_vars") or {})
        delegated[delegate] = {**(delegated.get(delegate) or {}), "ansible_python_interpreter": python}
        own["ansible_delegated_vars"] = delegated
    return own


def _python_or_error() -> str:
    if found := python_with_binding():
        return found
    raise LabError(f"no Python here has libvirt's binding, which the collection {COLLECTION} needs: {BINDING_REMEDY}")


@lru_cache
def python_with_binding() -> str:
    """Return a Python that can import the modules' requirements; empty when there is none."""
    for python in dict.fromkeys((sys.executable, _SYSTEM_PYTHON)):
        try:
            done = subprocess.run(  # noqa: S603
                # Python also looks in the working directory, which may be another user's.
                [python, "-c", _BINDING], cwd="/",
                stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return python
    return ""
