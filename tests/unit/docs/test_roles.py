# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What roles say of their variables is what their defaults and tasks have, and Ansible holds everybody to it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import COLLECTION

ROLES = sorted(path.name for path in (COLLECTION / "roles").iterdir())


def _specification(role: str) -> dict[str, Any]:
    path = COLLECTION / "roles" / role / "meta" / "argument_specs.yml"
    found: dict[str, Any] = yaml.safe_load(path.read_text())["argument_specs"]
    return found


def _defaults(role: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((COLLECTION / "roles" / role / "defaults" / "main.yml").read_text())
    return found


def _options(role: str) -> dict[str, Any]:
    """Return the options of all entry points."""
    return {name: option for entry in _specification(role).values() for name, option in entry["options"].items()}


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_an_argument(role: str) -> None:
    assert set(_defaults(role)) - set(_options(role)) == set()


@pytest.mark.parametrize("role", ROLES)
def test_every_argument_is_used(role: str) -> None:
    folder = COLLECTION / "roles" / role
    text = "".join(path.read_text() for part in ("tasks", "templates") for path in folder.glob(f"{part}/*"))
    defaults = _defaults(role)
    for name in _options(role):
        # Some are used by the default of another one only.
        others = json.dumps([value for other, value in defaults.items() if other != name])
        assert re.search(rf"\b{name}\b", text + others), name


@pytest.mark.parametrize("role", ROLES)
def test_a_default_is_said_as_it_is(role: str) -> None:
    defaults = _defaults(role)
    for name, option in _options(role).items():
        real = defaults.get(name)
        if "default" in option:
            # What a play gives and a role does not set has its default where it is used.
            assert option["default"] == real or name not in defaults, name
        elif isinstance(real, str) and "{{" in real:
            for variable in re.findall(r"\bmesh_[a-z_]+|inventory_hostname", real):
                assert variable in " ".join(option["description"]), f"{name}: {variable}"
        else:
            assert isinstance(real, dict) or name not in defaults, name


@pytest.mark.parametrize("role", ROLES)
def test_every_way_in_is_described(role: str) -> None:
    ways = {"main"}
    for playbook in (COLLECTION.parents[3] / "playbooks").rglob("*.yml"):
        text = playbook.read_text() if "collections" not in playbook.parts[-6:-1] else ""
        ways |= set(re.findall(rf"name: meshctl\.headscale\.{role}, tasks_from: (\w+)", text))
    assert set(_specification(role)) >= ways


def _validated(tmp_path: Path, role: str, **variables: object) -> str:
    """Return what Ansible prints of a role of which nothing runs but the comparison of its arguments."""
    play = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [{"ansible.builtin.include_role": {"name": f"meshctl.headscale.{role}"}, "tags": ["always"]}],
        }
    ]
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump(play))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MESHCTL_"))}
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            *("-i", "localhost,", "--connection", "local", "--tags", "always", "-e", json.dumps(variables), playbook),
        ],
        env={
            **kept,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTION.parents[2]),
            "ANSIBLE_HOME": str(tmp_path),
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "400",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == ("failed=0" in done.stdout), done.stdout + done.stderr
    return done.stdout + done.stderr


GIVEN = {
    "derp_relay": {"mesh_names": ["relay.lab.test"]},
    "headscale_server": {"mesh_server_url": "https://headscale.lab.test"},
    "lab_database": {},
    "lab_resolver": {"lab_resolver_topology": {}},
    "lab_web": {},
    "mesh_service": {},
    "mesh_watch": {"mesh_watch_inventory": "hosts.yml"},
    "tailscale_client": {"mesh_server_url": "https://headscale.lab.test"},
}


@pytest.mark.parametrize("role", ROLES)
def test_the_defaults_are_accepted(role: str, tmp_path: Path) -> None:
    output = _validated(tmp_path, role, **GIVEN[role])
    assert "failed=0" in output, output
    assert "Validating arguments against arg spec 'main'" in output
    assert "ok=2" in output, "the role is included, and its arguments are compared"


@pytest.mark.parametrize(
    ("role", "wrong", "sentence"),
    [
        ("headscale_server", {"headscale_server_listen_port": "https"}, "argument 'headscale_server_listen_port' is of type str"),
        ("headscale_server", {"headscale_server_relays": [{"address": "192.0.2.1"}]}, "missing required arguments: name found in"),
        ("lab_resolver", {"lab_resolver_topology": 5}, "argument 'lab_resolver_topology' is of type int"),
        ("mesh_service", {"mesh_service_port": "http"}, "argument 'mesh_service_port' is of type str"),
        ("mesh_watch", {"mesh_watch_mode": "cron"}, "value of mesh_watch_mode must be one of: service, timer, got: cron"),
        ("tailscale_client", {"tailscale_client_accept_dns": "perhaps"}, "argument 'tailscale_client_accept_dns' is of type str"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named(role: str, wrong: dict[str, object], sentence: str, tmp_path: Path) -> None:
    output = _validated(tmp_path, role, **{**GIVEN[role], **wrong})
    assert sentence in output
    assert "Traceback" not in output
