# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run one round in a separate process, which ends with the process that watches.

`meshctl watch` starts this module with its PID, and writes the request to its standard input: variables may be secret.
The answer is one line of JSON on standard output.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from meshctl_headscale import _collection, _run, _stories
from meshctl_headscale._exit import ExitCode, MeshctlError
from meshctl_headscale._play import Request, new_run_dir
from meshctl_headscale._project import project

NAME = "watch"
# In a run directory: the file that names the watch.
MARK = "watch"
_PR_SET_PDEATHSIG = 1


def main(parent: int) -> int:
    """Run the round and print the answer."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        return int(ExitCode.INTERRUPTED)
    asked = json.load(sys.stdin)
    try:
        answer = _round(asked)
    except (MeshctlError, _collection.errors.HeadscaleError) as error:
        code = error.code if isinstance(error, MeshctlError) else ExitCode.COULD_NOT_RUN
        answer = {"code": int(code), "run_dir": None, "reasons": [str(error)]}
    except OSError as error:
        answer = {
            "code": int(ExitCode.COULD_NOT_RUN),
            "run_dir": None,
            "reasons": [f"The run could not start: {error}."],
        }
    # A watch that is killed meanwhile reads nothing any more.
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), json.dumps(answer).encode() + b"\n")
    return 0


def _round(asked: dict[str, Any]) -> dict[str, Any]:
    """Run the stories and the doctor, without whatever disrupts."""
    selected = _stories.select(project(), [*asked["stories"], str(project().playbook("doctor"))])
    request = Request(
        playbooks=_stories.playbooks(selected, deploy=False),
        inventory=asked["inventory"],
        extra_vars={
            **asked["variables"],
            "mesh_deploy": False,
            "mesh_keep_going": True,
            "mesh_allow_disruptive": False,
        },
        extra_files=[Path(path) for path in asked["files"]],
        limit=asked["limit"],
        skip_tags="disruptive",
    )
    _require_lab(request)
    run_dir = new_run_dir(NAME)
    (run_dir / MARK).write_text(asked["state"], encoding="utf-8")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        result = _run.play(
            request,
            name=NAME,
            run_dir=run_dir,
            show=_run.Show(quiet=True),
            stories=_stories.parts(project(), selected),
            command=asked["command"],
            console=_collection.text.console(nowhere, width=100),
        )
    if result.code == ExitCode.PASSED:
        # The log of a run that passed is of no use, and there are many of them.
        shutil.rmtree(result.run_dir / "artifacts", ignore_errors=True)
    return {"code": int(result.code), "run_dir": str(result.run_dir), "reasons": result.reasons}


def _require_lab(request: Request) -> None:
    """Say at once that the lab is not up, instead of waiting for each of its machines."""
    from meshctl_headscale import _inventory, _labs

    known = {**_inventory.variables(request.inventory, request.extra_files), **request.extra_vars}
    if known["mesh_backend"] == "lab":
        _labs.running(str(known["lab_name"]))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
