# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limit the time and the output of every command and transfer of every task, whichever module or action it uses.

Ansible waits for a host without a limit and collects all that it sends. Every task gets its connection from one loader,
so the limits are put on there, in ansible-playbook itself: the processes of tasks inherit them. The probe's own, shorter
limits take precedence.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from . import bounds

# Some modules of a playbook download or build.
SECONDS = 600.0
# A netmap of 2,000 nodes takes about 4 MB.
MOST_BYTES = 8_000_000
MOST_VALUES = 1_000_000

_METHODS = ("exec_command", "put_file", "fetch_file")
# This machine may take its time: it installs packages, for example.
_TRUSTED = ("local", "ansible.builtin.local")


def install(*, seconds: float = SECONDS) -> None:
    """Limit all connections that this process and its forks make from now on."""
    # 0.3 s, which a command that only needs the limits would waste.
    from ansible.plugins.loader import connection_loader

    original = getattr(connection_loader.get_with_context, "unguarded", connection_loader.get_with_context)

    @functools.wraps(original)
    def get_with_context(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        found = original(*args, **options)
        if found.object is not None and not isinstance(found.object, type):
            _guard(found.object, seconds)
        return found

    get_with_context.unguarded = original  # type: ignore[attr-defined]
    connection_loader.get_with_context = get_with_context  # type: ignore[method-assign]


def _guard(connection: Any, seconds: float) -> None:  # noqa: ANN401
    limit = math.inf if connection.transport in _TRUSTED else seconds
    for name in _METHODS:
        setattr(connection, name, functools.partial(_limited, getattr(connection, name), limit))


def _limited(method: Callable[..., Any], seconds: float, *args: object, **options: object) -> Any:  # noqa: ANN401
    """Call a method of a connection; a host that exceeds a limit counts as unreachable."""
    if bounds.active():
        return method(*args, **options)
    result: Any = None
    with bounds.bounded(seconds=seconds, most_bytes=MOST_BYTES) as limits:
        try:
            result = method(*args, **options)
        except Exception:
            if not limits.exceeded:
                raise
    from ansible.errors import AnsibleConnectionFailure

    if limits.exceeded == "bytes" or (isinstance(result, tuple) and too_many_values(result[1])):
        raise AnsibleConnectionFailure(
            f"the host sent more than {MOST_BYTES // 1_000_000} MB, or {MOST_VALUES} JSON values, and was cut off"
        )
    if limits.exceeded:
        raise AnsibleConnectionFailure(f"the host did not finish a command or transfer within {seconds:g} s")
    return result


def too_many_values(text: bytes | str) -> bool:
    """Whether a JSON document would cost too much memory: a value takes much more in Python than in JSON."""
    if isinstance(text, bytes):
        return sum(map(text.count, (b"[", b"{", b","))) > MOST_VALUES
    return sum(map(text.count, "[{,")) > MOST_VALUES
