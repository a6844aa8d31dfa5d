# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Do in ansible-playbook what each process of a task would do again.

It reads the nodes, their places and the sample of pairs, and starts the Python of which machines of a lab get forks.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

from ansible.template import Templar

from .._expectations.pairs import sample_of
from .._host.package import PACKAGE, USUAL, script_of
from .._judge.answer import mapping
from .._lab import forkserver
from .members import node
from .view import HostView

_OF_LABS: Final = "meshctl.headscale.netns"


class _State:
    """The task that was prepared last."""

    task: str = ""


_state = _State()


class _View(HostView):
    def __init__(self, known: dict[str, Any], host: str, loader: Any) -> None:  # noqa: ANN401 - Ansible's own
        self.known, self.host = known, host
        self._templar = Templar(loader=loader, variables=known)


def prepare(worker: Any) -> None:  # noqa: ANN401 - Ansible's own
    """Prepare for a host's process, and for those of all other hosts of its task; they report what is wrong."""
    if worker._task_vars.get("ansible_connection") == _OF_LABS:
        forkserver.start(PACKAGE, script_of(USUAL).code)
    if _state.task == worker._task._uuid:
        return
    _state.task = worker._task._uuid
    view = _View(worker._task_vars, worker._host.name, worker._loader)
    with contextlib.suppress(Exception):
        view.topology()
        for name, record in mapping(view.shared("mesh_nodes")).items():
            node(name, record)
        if sample := sample_of(view):
            sample.pairs  # noqa: B018
