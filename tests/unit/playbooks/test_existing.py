# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `up` misses on an existing host."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from project import ROOT

_FILE = ROOT / "playbooks" / "tasks" / "existing" / "ready.yml"


def _trusted(value: Any) -> Any:
    return [_trusted(one) for one in value] if isinstance(value, list) else trust_as_template(value)


def _missing(tmp_path: Path, group: str) -> list[str]:
    """Return what the task finds missing on a host of one group, whose programs are all below `tmp_path`."""
    task = next(task for task in yaml.safe_load(_FILE.read_text(encoding="utf-8")) if "ansible.builtin.raw" in task)
    variables = {
        **{name: _trusted(value) for name, value in task["vars"].items()},
        "inventory_hostname": "a",
        "groups": {name: ["a"] if name == group else [] for name in ("headscale", "clients")},
        "tailscale_client_program": f"{tmp_path}/daemon/tailscaled",
    }
    script = Templar(loader=DataLoader(), variables=variables).template(trust_as_template(task["ansible.builtin.raw"]))
    script = script.replace("/opt/meshctl/bin:", f"{tmp_path}/ours:")
    path = f"{tmp_path}/path"
    done = subprocess.run(["/bin/sh", "-c", script], env={"PATH": path}, check=False, capture_output=True, text=True)
    return done.stdout.splitlines()


def _program(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o755)


@pytest.mark.parametrize("place", ["daemon", "ours", "path"])
def test_a_client_needs_tailscale_where_its_module_looks(tmp_path: Path, place: str) -> None:
    daemon = tmp_path / "daemon" / "tailscaled"
    assert _missing(tmp_path, "clients") == [str(daemon), str(daemon.with_name("tailscale"))]
    _program(daemon)
    assert _missing(tmp_path, "clients") == [str(daemon.with_name("tailscale"))]
    _program(tmp_path / place / "tailscale")
    assert _missing(tmp_path, "clients") == []


def test_a_server_needs_no_tailscale(tmp_path: Path) -> None:
    assert not [path for path in _missing(tmp_path, "headscale") if "tailscale" in path]


@pytest.mark.parametrize(
    ("variables", "refused"),
    [
        ({}, True),
        ({"mesh_names": []}, True),
        ({"mesh_names": ["relay.test"]}, False),
        ({"derp_relay_name": "relay.test"}, False),
        ({"groups": {}}, False),
    ],
)
def test_a_relay_needs_a_name(variables: dict[str, Any], refused: bool) -> None:
    task = next(
        task for task in yaml.safe_load(_FILE.read_text(encoding="utf-8")) if "name of each relay" in task["name"]
    )
    templar = Templar(
        loader=DataLoader(), variables={"inventory_hostname": "r", "groups": {"relays": ["r"]}, **variables}
    )
    assert all(templar.evaluate_conditional(trust_as_template(one)) for one in task["when"]) is refused
