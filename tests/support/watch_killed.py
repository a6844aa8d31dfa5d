# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A watch in a separate process, which ends itself with SIGKILL in a given state: `watch_killed DIRECTORY START STATE`."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from meshctl_headscale._history.store import Store
from meshctl_headscale._watch import loop, state
from watch_scene import FakeClock, Scene


def killed(*_args: Any) -> Any:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def run(directory: Path, at: float, where: str) -> int:
    """Make a round of a mesh in which a node is down; return its result."""
    scene = Scene(directory, clock=FakeClock(at=at), down=lambda _now: {"two"})
    sent = directory / "sent"

    def send(subject: str, body: str) -> None:
        if where == "sending":
            killed()
        with sent.open("a") as file:
            file.write(json.dumps([subject, body]) + "\n")
        if where == "sent":
            killed()

    if where == "starting":
        state.load = killed
    elif where == "round":
        scene.outcome = killed
    elif where == "history":
        Store.prune = killed  # type: ignore[method-assign]
    elif where == "textfile":
        replace = os.replace
        # The state is replaced as well.
        loop.os.replace = lambda old, new: killed() if str(new).endswith(".prom") else replace(old, new)  # type: ignore[attr-defined]
    elif where == "waiting":
        scene.clock.sleep = lambda seconds: None if seconds == 20 else killed()  # type: ignore[method-assign]
    watch = scene.watch(send=send, textfile=directory / "mesh.prom", say=lambda text: print(text, flush=True))
    return int(watch.run(once=where != "waiting"))


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))
