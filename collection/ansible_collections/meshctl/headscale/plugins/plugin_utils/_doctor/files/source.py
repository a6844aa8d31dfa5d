# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a file that another person may have written."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from ....module_utils._errors import BadInput

_MOST = 1 << 20
_SHOWN = 160
_VAULT = "$ANSIBLE_VAULT;"


@dataclass(frozen=True)
class Source:
    """A file's name, as the user wrote it, and its text."""

    name: str
    text: str

    def line(self, number: int | None) -> str:
        """Return a line, shortened; empty without a number."""
        rows = self.text.split("\n")
        return rows[number - 1].strip()[:_SHOWN] if number and number <= len(rows) else ""


def read(name: str, *, most: int = _MOST) -> Source:
    """Return a text file, and refuse what cannot be one. Raise `BadInput`."""
    text = _text(name, most)
    if text.startswith(_VAULT):
        raise BadInput(
            f"the file {name} is encrypted with Ansible Vault: decrypt it (`ansible-vault view`) and name the result"
        )
    return Source(name, text)


def _text(name: str, most: int) -> str:
    try:
        # A pipe without a writer would wait for one.
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise BadInput(f"the file {name} cannot be read: {exc.strerror}") from None
    except ValueError:
        raise BadInput(f"the file name {name!r} cannot exist: correct it") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BadInput(f"the file {name} is not a regular file: name one")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise BadInput(f"the file {name} is larger than {most >> 10} KiB: name the right file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise BadInput(f"the file {name} is not UTF-8 text (byte {exc.start}): save it as UTF-8") from None
