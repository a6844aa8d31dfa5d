# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Topology to scripts, against golden files; `MESHCTL_REGENERATE=1 pytest tests/unit/lab` writes them anew."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.places import Topology
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import network, plan
from lab_inventory import Inventory, with_ipv6

GOLDEN = Path(__file__).parent / "golden"


def _impaired() -> Topology:
    inventory = Inventory()
    inventory.subnets["subnet-a"].update(nat="hard", link={"rate": "50mbit", "delay": "20ms", "jitter": "2ms"})
    inventory.subnets["subnet-b"]["nat"] = "udp_blocked"
    inventory.subnets["subnet-c"] = {"cidr": "172.16.0.0/24", "nat": "none"}
    inventory.groups["clients"]["open"] = {
        "mesh_subnet": "subnet-c",
        "mesh_link": {"loss": "1%", "rate": "5mbit", "mtu": 1400},
    }
    inventory.host("client-node-1")["mesh_link"] = {"loss": "100%"}
    return inventory.read()


CASES: dict[str, Callable[[], str]] = {
    "seed-build": lambda: plan.build_script(Inventory().read()),
    "seed-one-machine": lambda: plan.build_script(Inventory().read(), only={"client-node-2"}),
    "ipv6-build": lambda: plan.build_script(with_ipv6().read()),
    "impaired-build": lambda: plan.build_script(_impaired()),
    "impaired-tune": lambda: plan.tune_script(_impaired(), renat=["subnet-c"]),
    "remove": lambda: plan.remove_script(["client-node-1", "client-node-2"], wiped=["client-node-2"]),
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    path = GOLDEN / f"{name}.txt"
    made = CASES[name]()
    if os.environ.get("MESHCTL_REGENERATE"):
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8"), f"{path.name} differs: look at it, then MESHCTL_REGENERATE=1"


@pytest.mark.parametrize("name", CASES)
def test_every_script_is_one_that_a_shell_can_read(name: str) -> None:
    done = subprocess.run(["/bin/sh", "-n"], input=CASES[name](), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_machines_functions_are_ones_that_a_shell_can_read() -> None:
    done = subprocess.run(
        ["/bin/sh", "-n", str(Path(plan.__file__).with_name("machine.sh"))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "--shell=sh", str(Path(plan.__file__).with_name("machine.sh"))], check=True)


def test_interface_names_are_short_enough_and_unique() -> None:
    inventory = Inventory()
    inventory.groups["clients"] = {
        f"a-rather-long-name-of-a-node-{n:02}": {"mesh_subnet": "subnet-b"} for n in range(50)
    }
    cables = network.cables(inventory.read())
    assert all(len(cable.port) <= 15 and len(cable.interface) <= 15 for cable in cables)
    assert len({cable.port for cable in cables}) == len(cables)


def test_a_machine_that_is_added_renames_nobodys_port() -> None:
    inventory = Inventory()
    before = {(c.machine, c.interface): c.port for c in network.cables(inventory.read())}
    inventory.groups["headscale"] = {**inventory.groups["headscale"]}
    inventory.groups["clients"] = {"first": {"mesh_subnet": "subnet-a"}, **inventory.groups["clients"]}
    after = {(c.machine, c.interface): c.port for c in network.cables(inventory.read())}
    assert {key: after[key] for key in before} == before


@pytest.mark.parametrize("there", [True, False])
def test_a_kernel_without_ipv6_is_asked_for_none_of_it(there: bool, tmp_path: Path) -> None:
    script = plan.build_script(with_ipv6().read()).removeprefix(plan.PREAMBLE)
    script = script.replace("/proc/sys/net/ipv6", str(tmp_path if there else tmp_path / "missing"))
    # The same script, with commands that say what they are told.
    shown = 'show() { echo "$@"; [ -t 0 ] || cat; }\n' + "".join(
        f'{name}() {{ show {name} "$@"; }}\n'
        for name in ("base", "namespaces", "ip", "ipv6", "machine", "await", "nsenter", "tc", "nft")
    )
    done = subprocess.run(
        ["/bin/sh", "-euc", shown + script], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "link set br-wan" in done.stdout
    for setting in ("addrgenmode", "net.ipv6.conf.all.forwarding=1"):
        assert (setting in done.stdout) is there
