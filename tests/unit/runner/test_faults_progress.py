# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The line that a drill prints for each fault."""

from __future__ import annotations

import pytest
from meshctl_headscale import faults


def test_addresses_stay_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    said = "printer sees fd00:a::20 [bold]"
    outcome = {
        "id": "router-wrong-source-overlapped", "caught": True, "named": False, "false_alarms": [said], "recovered": True, "good": False,
        "seconds": 1.0, "expected": "red", "problems": [], "hints": [said],
    }  # fmt: skip
    show = faults._progress()
    show({"event": "runner_item_on_ok", "event_data": {"res": {"outcome": outcome}}})
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("router-wrong-source-overlapped  caught")
    assert lines[1:] == [f"    {said}"] * 2
