# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a script on the task's host, over the task's connection.

A script is one stdlib-only Python file with `main(request: dict) -> dict`. Its source and the request travel on
standard input, so nothing is written on the host and nothing of the request is seen in a process list.
"""

from __future__ import annotations

import functools
import json
import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...module_utils._hujson import RepeatedNameError, unique
from .bounds import Bounds, bounded, run
from .guard import MOST_BYTES, MOST_VALUES, too_many_values
from .package import LOADED, USUAL, Job, Script, own_python, script_of

if TYPE_CHECKING:
    from ansible.plugins.action import ActionBase

_MARK = "#meshctl-answer "
_LAB_PYTHON = "/usr/bin/python3"
_SPARE_S = 5
_GRACE_S = 2
# The controller waits this much longer than the host's own limits, besides the connection's own timeout.
_MARGIN_S = 6
_DEEPEST = 50

# `-I` and `-S` keep the host's own Python settings out and save start-up time. The alarm ends a script that hangs, also
# when the controller is gone; `_exit` does not wait for threads that are still blocked.
_READER = (
    "import sys,os,json,signal;"
    "i=sys.stdin.buffer;n,m,t=map(int,i.readline().split());s=i.read(abs(n));r=i.read(m);signal.alarm(t);"
    # A script that is compiled already has a negative length.
    "c=compile(s,'meshctl','exec') if n>0 else __import__('marshal').loads(s);"
    "g={'__name__':'meshctl'};exec(c,g);"
    f"sys.stdout.write('\\n{_MARK}'+json.dumps(g['main'](json.loads(r)))+'\\n');sys.stdout.flush();os._exit(0)"
)

# Exit codes of a shell or Python's subprocess for a process that a signal ended; `timeout` returns 124.
_ALARM = (14, -14, 142, 124)
_KILLED = (-9, 137, -15, 143)
_NOT_FOUND = (126, 127)


class RemoteError(Exception):
    """A script did not answer; `kind` is one of the words in this module, `stderr` is the host's output."""

    def __init__(self, kind: str, message: str, *, stderr: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.stderr = stderr

    def as_dict(self) -> dict[str, Any]:
        """Return the error in the form that an observation has."""
        return {"type": self.kind, "message": str(self), "stderr": self.stderr}


def run_script(
    action: ActionBase, script: Script | str, request: dict[str, Any], *, deadline_s: float, patient: bool = True
) -> dict[str, Any]:
    """Run a script on the task's host with `request` and return what its `main` returned; raise `RemoteError`.

    With `patient`, a host that takes long to connect is still given its whole time.
    """
    _allow_stdin(action)
    interpreter = _interpreter(action)
    command = _limited(
        " ".join([*map(shlex.quote, shlex.split(interpreter)), "-ISc", shlex.quote(_READER)]), deadline_s
    )
    here = getattr(action._connection, "has_our_programs", False) and _runs_this(interpreter)
    done = _fork(action, script, request, interpreter, deadline_s=deadline_s) if here else None
    if done is None:
        data = encode(script, request, deadline_s=deadline_s, compiled=here)
        said = _execute(action, command, data, deadline_s=deadline_s, patient=patient)
        done = said["rc"], said["stdout"], said["stderr"]
    return decode(*done, interpreter=interpreter, deadline_s=deadline_s)


def run_in(
    enter: Callable[[list[str]], list[str]], script: Script | str, request: dict[str, Any], *, deadline_s: float
) -> dict[str, Any]:
    """Run a script like `run_script`, through a command that `enter` returns, such as in a machine of a lab."""
    seconds = deadline_s + _SPARE_S + _GRACE_S
    bounds = Bounds(seconds=seconds, most_bytes=MOST_BYTES)
    # As source: the machine may be a guest, which has its own programs.
    data = encode(script, request, deadline_s=deadline_s)
    rc, out, err = run(enter([_LAB_PYTHON, "-ISc", _READER]), stdin=data, bounds=bounds)
    _refuse(bounds, seconds)
    said = err.decode(errors="replace")
    return decode(rc, out.decode(errors="replace"), said, interpreter=_LAB_PYTHON, deadline_s=deadline_s)


def _fork(
    action: ActionBase, script: Script | str, request: dict[str, Any], interpreter: str, *, deadline_s: float
) -> tuple[int, str, str] | None:
    """Run a script in a machine of a lab for which a Python is there already; return None if there is none."""
    connection: Any = action._connection
    if connection.become:
        return None
    loaded = script is script_of(USUAL)
    data = encode(LOADED if loaded else script, request, deadline_s=deadline_s, compiled=True)
    job = Job(interpreter=interpreter, reader=_READER, data=data, loaded=loaded)
    seconds = deadline_s + _SPARE_S + _GRACE_S + _MARGIN_S
    bounds = Bounds(seconds=seconds, most_bytes=MOST_BYTES)
    try:
        done = connection.run_python(job, bounds)
    finally:
        bounds.close()
    _refuse(bounds, seconds)
    return done and (done[0], done[1].decode(errors="replace"), done[2].decode(errors="replace"))


def _execute(
    action: ActionBase, command: str, data: bytes, *, deadline_s: float, patient: bool = True
) -> dict[str, Any]:
    """Run a command on the task's host; the controller ends it when the host does not, or sends too much."""
    seconds = deadline_s + _SPARE_S + _GRACE_S + (_MARGIN_S + _connect_timeout(action) if patient else 1)
    with bounded(seconds=seconds, most_bytes=MOST_BYTES) as bounds:
        try:
            done: dict[str, Any] = action._low_level_execute_command(command, in_data=data, sudoable=True)
        except Exception:
            if not bounds.exceeded:
                raise
    _refuse(bounds, seconds)
    return done


def _refuse(bounds: Bounds, seconds: float) -> None:
    """Raise `RemoteError` if the host exceeded a limit."""
    if bounds.exceeded == "bytes":
        raise RemoteError("flooded", f"the host sent more than {MOST_BYTES // 1_000_000} MB instead of an answer")
    if bounds.exceeded:
        raise RemoteError("hung", f"no answer from the host, which did not hang up within {seconds:g} s")


def _connect_timeout(action: ActionBase) -> float:
    try:
        return float(action._connection.get_option("timeout"))
    except (KeyError, TypeError, ValueError):
        return 0.0


def _limited(command: str, deadline_s: float) -> str:
    """Return a shell command that ends even when the interpreter hangs, if the host has `timeout`."""
    seconds = math.ceil(deadline_s) + _SPARE_S + _GRACE_S
    return f"limit=; command -v timeout >/dev/null && limit='timeout -k 2 {seconds}'; exec $limit {command}"


def encode(script: Script | str, request: dict[str, Any], *, deadline_s: float, compiled: bool = False) -> bytes:
    """Return the standard input for the reader on the host; `compiled` if the host runs the same Python as this."""
    if compiled and isinstance(script, Script):
        sent, length = script.code, -len(script.code)
    else:
        sent = (script.source if isinstance(script, Script) else script).encode()
        length = len(sent)
    asked = json.dumps(request).encode()
    return b"%d %d %d\n" % (length, len(asked), math.ceil(deadline_s) + _SPARE_S) + sent + asked


@functools.cache
def _runs_this(interpreter: str) -> bool:
    """Whether the interpreter of a machine of a lab, which has this computer's programs, is the one that runs this."""
    try:
        return Path(interpreter).samefile(own_python())
    except OSError:
        return False


def decode(rc: int, stdout: str, stderr: str, *, interpreter: str, deadline_s: float) -> dict[str, Any]:
    """Return the answer in `stdout`, or raise `RemoteError` with the reason why there is none."""
    # Login shells and sudo may print first, so the answer follows the last mark.
    _before, mark, answer = stdout.rpartition("\n" + _MARK)
    if rc == 0 and mark:
        try:
            found = loads(answer.partition("\n")[0])
        except RepeatedNameError as exc:
            raise RemoteError("bad_answer", f"the host's answer is ambiguous: {exc}", stderr=_tail(stderr)) from exc
        except ValueError as exc:
            raise RemoteError("bad_answer", f"the host's answer is not JSON: {exc}", stderr=_tail(stderr)) from exc
        if isinstance(found, dict):
            return found
    raise _explain(rc, stderr, interpreter=interpreter, deadline_s=deadline_s)


def loads(text: str) -> object:
    """Return the data of a JSON text; raise ValueError for one that would cost too much memory or stack."""
    if too_many_values(text):
        raise ValueError(f"more than {MOST_VALUES} values")
    try:
        found = json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level, depth = [found], 0
    while level:
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
        depth += 1
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
    return found


def _explain(rc: int, stderr: str, *, interpreter: str, deadline_s: float) -> RemoteError:
    said = _tail(stderr)
    if rc in _NOT_FOUND:
        return RemoteError(
            "no_python",
            f"{interpreter} cannot be run on the host: install Python 3.8 or later, or set ansible_python_interpreter",
            stderr=said,
        )
    if rc in _ALARM:
        return RemoteError(
            "timeout", f"no answer from the host {_SPARE_S} s after its limit of {deadline_s:g} s", stderr=said
        )
    if rc in _KILLED:
        return RemoteError("killed", f"the script was killed on the host (status {rc})", stderr=said)
    last = said.strip().splitlines()[-1:] or ["nothing on standard error"]
    return RemoteError("script_failed", f"{interpreter} ended with status {rc} on the host: {last[0]}", stderr=said)


def _tail(text: str, *, limit: int = 2000) -> str:
    return text.strip()[-limit:]


def _allow_stdin(action: ActionBase) -> None:
    """Make the connection pass standard input: without pipelining, a become password may replace it with a terminal."""
    connection = action._connection
    if getattr(connection, "has_pipelining", False):
        try:
            connection.set_option("pipelining", True)
        except KeyError:
            return


def _interpreter(action: ActionBase) -> str:
    """Return the host's `ansible_python_interpreter`, or the system's Python when it is left to discovery."""
    known: Any = action._templar.available_variables
    if delegate := action._task.delegate_to:
        known = (known.get("ansible_delegated_vars") or {}).get(delegate) or {}
    named = action._templar.template(known.get("ansible_python_interpreter") or "")
    if not isinstance(named, str) or not named.strip() or named.startswith("auto"):
        return "/usr/bin/python3"
    return str(named)
