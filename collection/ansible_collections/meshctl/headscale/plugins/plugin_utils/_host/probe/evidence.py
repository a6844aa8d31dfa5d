# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what programs and logs of a host say, for the archive of evidence."""

from __future__ import annotations

import os
import time

from .base import Unseen, left

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess

    from ._types import Dict, Json

_MOST = 256 << 10
# Programs of the administrator are often not on the path of a connection.
_PATH = "/opt/meshctl/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def output(ask: Dict, until: float) -> Json:
    """Return the output of a command that changes nothing, as far as its limit."""
    import subprocess

    words = [str(word) for word in ask.get("words") or []]
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": _PATH, "LC_ALL": "C", "SYSTEMD_COLORS": "0"}, cwd="/",
        )  # fmt: skip
    except OSError as exc:
        raise Unseen("no_command", "{}: {}".format(words[0] if words else "no command", exc.strerror)) from exc
    raw = _read(process, until)
    return {"text": raw[:_MOST].decode("utf-8", "replace"), "cut": len(raw) > _MOST, "status": process.returncode}


def _read(process: subprocess.Popen, until: float) -> bytes:
    """Return the output, up to one byte more than the limit, and end the process."""
    import select
    import subprocess

    raw = b""
    pipe: Json = process.stdout
    try:
        while len(raw) <= _MOST:
            if not select.select([pipe], [], [], left(until))[0]:
                break
            part = os.read(pipe.fileno(), 65536)
            if not part:
                process.wait(left(until))
                break
            raw += part
            if time.monotonic() > until:
                break
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        pipe.close()
    return raw


def tail(ask: Dict, _until: float) -> Json:
    """Return the end of the first file that can be read."""
    said = "no path"
    for path in ask.get("paths") or []:
        try:
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - _MOST))
                return {"path": path, "text": file.read(_MOST).decode("utf-8", "replace"), "cut": size > _MOST}
        except OSError as exc:
            said = f"{path}: {exc.strerror}"
    raise Unseen("no_log", said)
