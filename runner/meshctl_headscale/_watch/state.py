# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep what people were told, so that a restart tells nothing twice."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from meshctl_headscale import _collection
from meshctl_headscale._watch.notices import Told

_VERSION = 1
_MOST_BYTES = 1 << 20


def load(path: Path) -> tuple[dict[str, Told], str]:
    """Return what was told, and a sentence if that cannot be read."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_MOST_BYTES))
        if data["version"] != _VERSION:
            raise ValueError("another version")
        return {story: Told(**{**told, "recent": tuple(told["recent"])}) for story, told in data["told"].items()}, ""
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return {}, f"{path} cannot be read ({error}): what was told before is unknown."


def save(path: Path, told: Mapping[str, Told]) -> None:
    """Replace the file as a whole; raise OSError if that is not possible."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        with os.fdopen(_collection.private.new_file(fresh), "w", encoding="utf-8") as file:
            json.dump({"version": _VERSION, "told": {story: asdict(known) for story, known in told.items()}}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
