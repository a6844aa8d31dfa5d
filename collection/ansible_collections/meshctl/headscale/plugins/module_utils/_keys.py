# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys that are kept in a file, and the options of the modules that make them."""

from __future__ import annotations

import contextlib
import typing as t
from datetime import timedelta

from ansible_collections.meshctl.headscale.plugins.module_utils import _files, _shapes
from ansible_collections.meshctl.headscale.plugins.module_utils._durations import parse_moment
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput, HeadscaleError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from ansible_collections.meshctl.headscale.plugins.module_utils._module import Task
    from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import Record

_NAMES = {"api": "an API key", "auth": "a preauthkey"}


def kept_key(task: Task, path: str, kind: str) -> str | None:
    """Return the key that a file holds, None when there is none; refuse a file that holds something else."""
    content = _files.read_secret(path)
    if not content:
        return None
    if not _shapes.is_secret(content, kind):
        raise BadInput(
            f"The file {path!r} contains something other than {_NAMES[kind]}: remove it, or name another path."
        )
    task.hide(content)
    return content


def mint_into(task: Task, path: str, *, mint: Callable[[], str], discard: Callable[[str], None]) -> str:
    """Mint a key and keep it in a file; a key that could not be kept is not left valid behind."""
    secret = mint()
    try:
        task.write_key_file(path, secret)
    except HeadscaleError:
        with contextlib.suppress(HeadscaleError):
            discard(_shapes.key_prefix(secret))
        raise
    return secret


def by_prefix(records: Iterable[Record], prefix: str) -> Record | None:
    """Return the key that has this prefix."""
    return next((record for record in records if prefix and record["prefix"] == prefix), None)


def chosen(records: Iterable[Record], options: dict[str, t.Any], secret: str | None) -> Record | None:
    """Return the key that the options id or prefix name, or the one that is kept."""
    if options["id"]:
        return next((record for record in records if record["id"] == options["id"]), None)
    return by_prefix(records, _shapes.key_prefix(options["prefix"] or secret or ""))


def lasts(record: Record, *, now: datetime, ahead: timedelta) -> bool:
    """Whether a key is still valid after the time ahead."""
    return record["expiration"] is None or parse_moment(record["expiration"]) > now + ahead


def check_ahead(ahead: timedelta, lifetime: timedelta) -> None:
    """Refuse a renewal so early that each run would renew."""
    if ahead >= lifetime:
        raise BadInput(
            f"renew_before ({ahead}) is not shorter than expiration ({lifetime}), so every run would make a new key: "
            "lower renew_before."
        )
