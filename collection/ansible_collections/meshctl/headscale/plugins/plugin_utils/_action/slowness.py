# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Give the hosts of a lab more time where the machine that runs them is busy."""

from __future__ import annotations

import os

from .assertion import Assertion
from .probing import Request

# More processes that run or want to, for each core, make everything slower.
_BUSY = 2.0
SLOWEST = 3.0
"""How many times as long hosts get at most."""


def slowness() -> float:
    """Return how much longer programs take on this machine than on one that is not busy: 1 to `SLOWEST`."""
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    return min(SLOWEST, max(1.0, busy / _BUSY))


def slower(request: Request, patience: float) -> Request:
    """Return a request whose limits of time, in seconds, are longer by a factor; so are those of its steps."""
    limits: Request = {key: request[key] * patience for key in ("timeout_s", "try_timeout_s") if key in request}
    steps: Request = {"steps": [slower(step, patience) for step in request["steps"]]} if "steps" in request else {}
    return {**request, **limits, **steps}


class PatientAssertion(Assertion):
    """An assertion that also gives a lab more time where its machine is busy: what comes too late would look like a fault."""

    def _be_patient(self) -> None:
        super()._be_patient()
        if self.setting("backend") != "hosts":
            self.patience *= slowness()
