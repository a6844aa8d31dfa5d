# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the control server and its API key in options, variables and the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ...module_utils._errors import BadInput
from .._judge.answer import text

if TYPE_CHECKING:
    from .probing import ProbingAction

# The role headscale_server keeps a key here.
_KEPT = "/var/lib/headscale/meshctl_api_key"


def server_url(task: ProbingAction) -> str:
    """Return the control server's URL; raise `BadInput`."""
    url = text(task.options.get("url") or task.variable("mesh_server_url") or os.environ.get("HEADSCALE_URL"))
    if not url:
        raise BadInput("no server is named: pass url, or set mesh_server_url, or HEADSCALE_URL in the environment")
    return url


def server(task: ProbingAction) -> dict[str, Any]:
    """Return the arguments with which the probe asks the control server; raise `BadInput`."""
    return {"url": server_url(task), **_key(task), **trust(task)}


def trust(task: ProbingAction) -> dict[str, Any]:
    """Return the file of certificates that the server's certificate is checked against, if any is named."""
    found = task.options.get("ca_path") or task.variable("mesh_ca_path") or os.environ.get("HEADSCALE_CA_PATH")
    return {"ca_file": found} if found else {}


def _key(task: ProbingAction) -> dict[str, str]:
    """Return the key or its file from the source with the highest precedence.

    A file is read on the task's host. A key from a variable or from the controller's environment goes to the probe on its
    standard input, so that it appears in no process list, file or log.
    """
    options, environ = task.options, os.environ
    for key, path in (
        (options.get("api_key"), options.get("api_key_file")),
        (task.variable("mesh_api_key"), task.variable("mesh_api_key_file")),
    ):
        if key:
            return {"api_key": str(key)}
        if path:
            return {"api_key_file": str(path)}
    if key := environ.get("HEADSCALE_API_KEY"):
        return {"api_key": key}
    if path := environ.get("HEADSCALE_API_KEY_FILE"):
        return {"api_key": _read(path)}
    return {"api_key_file": _KEPT}


def _read(path: str) -> str:
    from ...module_utils._errors import HeadscaleError
    from ...module_utils._files import read_secret

    try:
        key = read_secret(path)
    except HeadscaleError as exc:
        raise BadInput(f"HEADSCALE_API_KEY_FILE: {exc}") from None
    if not key:
        raise BadInput(f"HEADSCALE_API_KEY_FILE is {path!r}, which {'does not exist' if key is None else 'is empty'}")
    return key
