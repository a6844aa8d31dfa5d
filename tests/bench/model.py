# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure what the controller needs for many hosts: time, CPU, memory and the size of the report.

The hosts are a model (tests/bench/model/mesh_model.py): a connection that answers the probe at once. It says nothing
about any mesh. Each host asserts that it reaches a sample of the others over IPv4 and IPv6, five checks for each pair.

    python tests/bench/model.py --hosts 10,100,300,1000 --peers 12 --json figures.json --draw docs/assets/controller.svg
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import bench
from meshctl_headscale import _collection

_HERE = Path(__file__).resolve().parent
_SEED = 7


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a run of the model took."""

    hosts: int
    peers: int
    checks: int
    seconds: float
    cpu_s: float
    peak_mb: float
    write_cpu_s: float
    json_mb: float
    html_mb: float
    junit_mb: float


def inventory(hosts: int, peers: int) -> dict[str, Any]:
    """Return an inventory in which each host has as many peers, and is the peer of as many others."""
    chosen = random.Random(_SEED)  # noqa: S311 - a sample, no secret
    names = [f"client-node-{number}" for number in range(1, hosts + 1)]
    # The same distances for all hosts: every host is asked for as often as it asks.
    steps = chosen.sample(range(1, hosts), min(peers, hosts - 1))
    nodes = {
        name: {
            "id": str(number), "key": f"nodekey:{number:064x}", "name": name, "given_name": name, "user": "default",
            "addresses": [f"100.{64 + number // 65025}.{number // 255 % 255}.{number % 255 + 1}", f"fd7a:115c:a1e0::{number:x}"],
        }
        for number, name in enumerate(names, start=1)
    }  # fmt: skip
    clients = {
        name: {"model_peers": [names[(index + step) % hosts] for step in steps], "mesh_subnet": f"subnet-{index % 8}"}
        for index, name in enumerate(names)
    }
    return {
        "all": {
            "vars": {"mesh_backend": "hosts", "ansible_connection": "mesh_model"},
            "children": {
                "headscale": {"hosts": {"headscale-server": {"mesh_nodes": nodes}}},
                "clients": {"hosts": clients},
            },
        }
    }


def measure(hosts: int, peers: int, forks: int) -> Figures:
    """Run the model with so many hosts."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "hosts.yml").write_text(json.dumps(inventory(hosts, peers)), encoding="utf-8")
        env = {
            **os.environ,
            "ANSIBLE_CONFIG": str(_HERE.parents[1] / "ansible.cfg"),
            "ANSIBLE_CONNECTION_PLUGINS": str(_HERE / "model"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
            "ANSIBLE_DISPLAY_OK_HOSTS": "false",
            "MESHCTL_RUN_DIR": str(directory / "run"),
            "MESHCTL_CLI": "1",
        }
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        command = [program, "-i", str(directory / "hosts.yml"), "-f", str(forks), str(_HERE / "model" / "reach.yml")]
        cost = bench.run(command, env, watch="ansible-playbook")
        if cost.status:
            sys.exit(f"The model ended with {cost.status}; its last lines:\n{cost.output[-3000:]}")
        run = directory / "run"
        report = _collection.model.load(run)
        began = time.process_time()
        _collection.rundir.write(report, run)
        written = time.process_time() - began
        sizes = {name: (run / name).stat().st_size / 1e6 for name in ("report.json", "report.html", "junit.xml")}
        return Figures(
            hosts=hosts, peers=peers, checks=report.counts.total, seconds=round(cost.seconds, 1),
            cpu_s=round(cost.cpu_s, 1), peak_mb=round(cost.peak_mb), write_cpu_s=round(written, 1),
            json_mb=round(sizes["report.json"], 2), html_mb=round(sizes["report.html"], 2),
            junit_mb=round(sizes["junit.xml"], 2),
        )  # fmt: skip


def drawing(found: list[Figures]) -> str:
    """Return a picture of CPU seconds and memory by the number of hosts."""
    width, height, left, low = 640, 260, 52, 220
    most = max(one.hosts for one in found)
    parts = []
    for offset, label, values, colour in (
        (0, "CPU seconds", [one.cpu_s for one in found], "#0b5cad"),
        (width / 2, "Megabytes", [one.peak_mb for one in found], "#b06a00"),
    ):
        top = max(*values, 1.0)
        spots = [
            (offset + left + one.hosts / most * 240, low - value / top * 170)
            for one, value in zip(found, values, strict=True)
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<text x="{offset + left}" y="24" font-weight="600">{label} by hosts</text>')
        parts.append(f'<path d="M{offset + left} 40V{low}H{offset + left + 250}" fill="none" stroke="#8a929b"/>')
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), one, value in zip(spots, found, values, strict=True):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
            # Left of the axis there is no room.
            near = x - offset - left < 40
            parts.append(
                f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="{"start" if near else "end"}">{value:g}</text>'
            )
            parts.append(f'<text x="{x:.1f}" y="{low + 18}" text-anchor="middle" fill="#5a626c">{one.hosts}</text>')
    about = f"The controller, with a model of hosts of which each asks {found[-1].peers} others"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" '
        f'role="img"><title>{about}</title><rect width="{width}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def main() -> None:
    """Measure, print a table, and write the picture if that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", default="10,100,300,1000", help="numbers of hosts")
    parser.add_argument("--peers", type=int, default=12, help="the peers that each host asks for")
    parser.add_argument("--forks", type=int, default=4, help="the tasks that Ansible runs at a time")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--draw", type=Path, help="where to write the picture")
    options = parser.parse_args()
    found = []
    print("hosts  checks  seconds  CPU s  peak MB  report CPU s  json MB  html MB  junit MB")
    for hosts in map(int, options.hosts.split(",")):
        one = measure(hosts, options.peers, options.forks)
        found.append(one)
        print(
            f"{one.hosts:5}  {one.checks:6}  {one.seconds:7.1f}  {one.cpu_s:5.1f}  {one.peak_mb:7.0f}  "
            f"{one.write_cpu_s:12.1f}  {one.json_mb:7.2f}  {one.html_mb:7.2f}  {one.junit_mb:8.2f}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n", encoding="utf-8")
    if options.draw:
        options.draw.write_text(drawing(found), encoding="utf-8")


if __name__ == "__main__":
    main()
