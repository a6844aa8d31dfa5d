# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell people how to run a command on a host."""

from __future__ import annotations

import shlex

_DEFAULT_LAB = "seed"
_LOCAL = ("local", "ansible.builtin.local")


def in_lab(host: str, lab_name: str) -> str:
    """Return the prefix that runs a command on a machine of a lab."""
    lab = "" if lab_name == _DEFAULT_LAB else f"--lab {shlex.quote(lab_name)} "
    return f"meshctl exec {lab}{host} -- "


def over_ssh(host: str, *, transport: str, address: str = "", user: str = "") -> str:
    """Return the prefix that runs a command on an existing host; empty if that host is this machine."""
    if transport in _LOCAL:
        return ""
    where = address or host
    return f"ssh {shlex.quote(f'{user}@{where}' if user else where)} "
