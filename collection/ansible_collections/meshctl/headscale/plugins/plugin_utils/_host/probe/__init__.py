# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sent to a host: make observations, without judging them.

Standard library only, Python 3.8 or later, with few imports because every assertion pays for them on every host. `main`
makes the requested observations at the same time and within the deadline. An observation is `ok` when it could be made:
a refused connection is an observed fact, a missing permission is not.

`observing` lists the kinds of observations; `_host.package` makes one script of these modules.
"""

from __future__ import annotations

import os
import socket
import sys
import time

from .load import Watch
from .observing import observe_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict


def main(request: Dict) -> Dict:
    """Make every observation of the request and return the results."""
    deadline = time.monotonic() + float(request.get("deadline_s") or 10)
    load = Watch()
    observations = observe_all(request.get("observe") or [], deadline)
    return {
        "host": {
            "hostname": socket.gethostname(),
            "python": ".".join(map(str, sys.version_info[:3])),
            "euid": os.geteuid(),
            "now": time.time(),
            "load": load.figures(),
        },
        "observations": observations,
    }
