# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many nodes, by inventory alone: they come up and register."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .lab_driver import LabDriver, family

pytestmark = pytest.mark.integration


def _memory_mib(processes: set[tuple[int, str]]) -> float:
    """Return the processes' share of the memory."""
    total = 0
    for pid, _started in processes:
        try:
            found = re.search(
                r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8"), re.MULTILINE
            )
        except OSError:
            continue
        total += int(found[1]) if found else 0
    return total / 1024


@pytest.mark.parametrize(("count", "seconds"), [(25, 120), pytest.param(50, 240, marks=pytest.mark.slow)])
def test_nodes_come_up_and_register(
    new_lab: Callable[..., LabDriver], record_property: Callable[[str, object], None], count: int, seconds: int
) -> None:
    driver = new_lab()
    half = count // 2
    del driver.inventory["all"]["children"]["spare"]
    del driver.vars["mesh_routes"], driver.vars["mesh_exit_nodes"]
    driver.inventory["all"]["children"]["clients"] = {
        "hosts": {
            f"node-[01:{half:02}]": {"mesh_subnet": "subnet-a"},
            f"node-[{half + 1:02}:{count:02}]": {"mesh_subnet": "subnet-b"},
        }
    }
    started = time.monotonic()
    driver.play("up.yml", seconds=300).succeeded()
    took = time.monotonic() - started
    nodes = json.loads(driver.shell("headscale-server", "headscale nodes list --output json"))
    assert len(nodes) == count
    assert all(node["online"] for node in nodes)
    assert {node["given_name"] for node in nodes} == {f"node-{number:02}" for number in range(1, count + 1)}
    memory = _memory_mib(family(driver.supervisor()))

    started = time.monotonic()
    assert driver.play("up.yml", seconds=300).succeeded().changed() == []
    again = time.monotonic() - started
    started = time.monotonic()
    driver.down().succeeded()
    down = time.monotonic() - started
    figures = f"{count} nodes: up {took:.1f} s, again {again:.1f} s, down {down:.1f} s, {memory / count:.0f} MiB a node"
    record_property("figures", figures)
    print(figures)
    assert took < seconds, figures
    assert memory / count < 60, figures
