# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the actions on faults have in common: the lab, the engine, and errors as results."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible import constants, context

from .._action.settings import settings_of
from .._lab.lab import Lab
from .._lab.supervisor import Process
from .._report import rundir
from .engine import Engine
from .playbooks import Playbooks
from .record import FaultError

if TYPE_CHECKING:
    from ansible.plugins.action import ActionBase

# Options of ansible-playbook that the playbooks of a drill need as well, and the words that carry them.
_PASSED_ON = (
    ("inventory", "-i"), ("extra_vars", "-e"), ("vault_ids", "--vault-id"),
    ("vault_password_files", "--vault-password-file"),
)  # fmt: skip


class LabContext:
    """The lab that an action breaks."""

    def __init__(self, action: ActionBase, task_vars: dict[str, Any] | None, name: str | None = None) -> None:
        """Read the inventory; raise `BadInput`."""
        self._settings = settings_of(action, task_vars)
        self.lab = Lab(name or str(self._settings["lab_name"]))

    def engine(self, *, up: Callable[[], None] | None = None, drill: Process | None = None) -> Engine:
        """Return the engine for the lab; raise `BadInput`."""
        variables = {"SERVER_URL": self._settings["server_url"], "DOMAIN": self._settings["domain"]}
        return Engine(self.lab, variables=variables, up=up, drill=drill)

    def topology(self) -> Mapping[str, Any]:
        """Return the recorded topology of the lab; raise `FaultError`."""
        record = self.lab.record
        if record is None:
            raise FaultError(self.lab.missing())
        return record.topology

    def bring_up(self, playbooks: str | None) -> Callable[[], None] | None:
        """Return what brings lab and mesh up again with these playbooks; None without them."""
        if not playbooks:
            return None

        def up() -> None:
            runs = Path(os.environ.get("MESHCTL_RUN_DIR") or rundir.make("up", datetime.now(UTC)))
            seen = self.playbooks(playbooks, runs).run("up", "up", {})
            if seen.exit_code:
                raise FaultError(f"the lab '{self.lab.name}' could not be brought up: {' '.join(seen.reasons)}")

        return up

    def playbooks(self, directory: str, runs: Path) -> Playbooks:
        """Return the project's playbooks, to be run with the inventory and the variables of this play."""
        return Playbooks(
            directory=Path(directory),
            lab=self.lab.name,
            runs=runs,
            arguments=list(_arguments()),
            callbacks=constants.config.get_config_value("CALLBACKS_ENABLED"),
        )


def _arguments() -> Iterator[str]:
    for option, word in _PASSED_ON:
        given: Sequence[str] | str | None = context.CLIARGS.get(option)
        for value in [given] if isinstance(given, str) else given or ():
            yield from (word, str(value))


def this_play() -> Process:
    """Return the ansible-playbook that this task belongs to."""
    parent = multiprocessing.parent_process()
    process = Process.of((parent and parent.pid) or os.getpid())
    if process is None:
        raise FaultError("ansible-playbook has ended: nothing was done")
    return process
