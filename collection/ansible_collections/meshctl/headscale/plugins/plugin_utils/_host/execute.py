# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sent to a host: run commands whose arguments may name a file with a secret.

Standard library only, Python 3.8 or later. A command gets the secret in a file that only its user can read and that is
deleted before the answer, never as an argument, which process lists show.
"""

from __future__ import annotations

import os
import subprocess
import tempfile

SECRET_FILE = "{secret_file}"
# Programs of the administrator are often not on the path of a connection.
_DIRECTORY = "/opt/meshctl/bin"


def main(request: dict) -> dict:
    """Run `commands` in order until one fails; `{secret_file}` in them is a file that contains `secret`.

    Programs are looked for in `directories` first, and on the host's own path last.
    """
    places = [*(request.get("directories") or []), _DIRECTORY, os.environ.get("PATH") or os.defpath]
    environment = {**os.environ, "PATH": os.pathsep.join(places)}
    path = _secret_file(request.get("secret"))
    try:
        for command in request["commands"]:
            words = [str(word).replace(SECRET_FILE, path) for word in command]
            problem = _run(words, float(request.get("seconds", 60)), environment)
            if problem:
                return {"ok": False, "command": command, "said": problem}
        return {"ok": True}
    finally:
        if path:
            os.unlink(path)


def _secret_file(secret) -> str:
    if not secret:
        return ""
    directory = "/run" if os.access("/run", os.W_OK) else None
    descriptor, path = tempfile.mkstemp(prefix="meshctl-", dir=directory)
    with open(descriptor, "w", encoding="utf-8") as handle:
        handle.write(secret)
    return path


def _run(words: list, seconds: float, environment: dict) -> str:
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            env=environment,
            check=False,
        )
    except FileNotFoundError:
        return f"{words[0]} is not installed on the host"
    except subprocess.TimeoutExpired as exc:
        return f"it did not end within {seconds:g} s: {_last(exc.stdout)}"
    return "" if done.returncode == 0 else _last(done.stdout) or f"exit {done.returncode}"


def _last(output) -> str:
    lines = (output or b"").decode(errors="replace").strip().splitlines()
    return " ".join(line.strip() for line in lines[-3:])
