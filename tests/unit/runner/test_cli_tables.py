# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables fit the terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from meshctl_headscale import _tables
from rich.console import Console

_CLIENT: dict[str, Any] = {
    "host": "headscale-server", "kind": "client", "subnet": "subnet-a", "address": "192.168.100.100",
    "mesh_addresses": ["100.100.200.253"], "online": True, "state": "Running", "relay": "lab", "peers": 49, "direct": 49,
    "pid": 4194304, "uptime_s": 86399, "guest": False,
}  # fmt: skip
_SPARE = {**_CLIENT, "kind": "spare", "mesh_addresses": [], "online": None, "state": "no tailscaled", "peers": 0}


@pytest.mark.parametrize(("width", "whole"), [(80, False), (160, True)])
def test_status_fits_the_terminal(width: int, whole: bool) -> None:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    _tables.status({"machines": [_CLIENT, _SPARE], "server": {"problem": ""}}, console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 3, "no cell is folded"
    assert ("PID" in lines[0], "4194304" in lines[1]) == (whole, whole)
    assert "100.100.200.253" in lines[1]
    assert "no tailscaled" in lines[2]


def test_status_without_machines() -> None:
    console = Console(file=io.StringIO(), width=80)
    _tables.status({"machines": [], "server": {"problem": "no answer"}}, console)
    assert isinstance(console.file, io.StringIO)
    assert "could not be asked: no answer" in console.file.getvalue()


@pytest.mark.parametrize("width", [80, 160])
def test_an_id_is_never_shortened_and_nothing_is_lost(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    name = "control-certificate-early-or-late"
    what = "The control server's certificate is not valid yet, as it appears to a node whose clock is behind [it]"
    columns = ["FAULT", "FAMILY", "STORY", "EXPECTED", "WHAT"]
    _tables.rows(columns, [[name, "connectivity", "us1", "red", what]], marked=["red"], console=console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert lines[1].startswith(name)
    assert "…" not in console.file.getvalue()
    assert "[it]" in console.file.getvalue()
