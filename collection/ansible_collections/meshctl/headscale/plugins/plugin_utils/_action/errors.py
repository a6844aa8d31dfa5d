# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn an action's errors into results."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

from ...module_utils._errors import BadInput, CouldNotRun

# meshctl's exit code follows from this: 2 for bad input, 3 for what could not run.
Kind = Literal["bad_input", "could_not_run"]

Run = Callable[..., dict[str, Any]]


def failure(message: str, kind: Kind) -> dict[str, Any]:
    """Return the result of a task that failed for a reason that the user can act on."""
    return {"failed": True, "changed": False, "msg": message, "meshctl_error": kind}


def reports_errors(run: Run) -> Run:
    """Let an action's `run` return its errors as the task's result; `PREFIX` of the action begins the message."""

    @functools.wraps(run)
    def reporting(action: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        prefix = getattr(action, "PREFIX", "")
        try:
            return run(action, *args, **kwargs)
        except BadInput as exc:
            return failure(f"{prefix}{exc}", "bad_input")
        except CouldNotRun as exc:
            return failure(f"{prefix}{exc}", "could_not_run")
        except OSError as exc:
            where = f"{exc.filename}: " if exc.filename else ""
            return failure(f"{prefix}{where}{exc.strerror or exc}", "could_not_run")

    return reporting
