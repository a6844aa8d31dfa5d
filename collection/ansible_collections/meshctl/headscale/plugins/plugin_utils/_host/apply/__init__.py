# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sent to a host: bring one service and its files to a state.

Standard library only, Python 3.8 or later. The answer reports everything that was done:
`{"changed", "changes", "diff", "failed", "msg"}`. Only the service manager differs between hosts: s6 in the lab, systemd
elsewhere. `_host.package` makes one script of these modules.
"""

from __future__ import annotations

from .system import Failed
from .work import Work


def main(request: dict) -> dict:
    """Apply a request; see the module `service` for its fields."""
    work = Work(request)
    try:
        work.run()
    except Failed as exc:
        return work.answer(failed=True, msg=str(exc))
    except OSError as exc:
        where = f" {exc.filename}" if exc.filename else ""
        return work.answer(failed=True, msg=f"{exc.strerror or exc}{where}")
    return work.answer()
