# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Quote names and addresses in the commands of a report: people paste them into a shell, and servers and nodes choose them."""

from __future__ import annotations

import shlex


def quoted(value: object) -> str:
    """Return a text as one word of a shell command, and never as an option."""
    text = str(value)
    return shlex.quote(f" {text}" if text.startswith("-") else text)


def on_host(shell: str, command: str) -> str:
    """Return a command that runs on a host. Over SSH, the host's shell reads it a second time."""
    return shell + (shlex.quote(command) if shell.startswith("ssh ") and "'" in command else command)
