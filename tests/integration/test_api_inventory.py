# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory plugin against a real headscale, through ansible-inventory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.module_utils._api import HeadscaleAPI

from .api_fixtures import RealHeadscale, free_ports, running

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]


def inventory(
    directory: Path, *, name: str = "headscale.yml", environ: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run `ansible-inventory --list` on a file with these options."""
    source = directory / name
    source.write_text(yaml.safe_dump({"plugin": "meshctl.headscale.headscale", **options}))
    (directory / "ansible.cfg").write_text("[inventory]\nany_unparsed_is_failed = true\n")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "HEADSCALE_"))},
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collection"),
        "ANSIBLE_INVENTORY_ENABLED": "meshctl.headscale.headscale",
        **(environ or {}),
    }
    program = str(Path(sys.executable).parent / "ansible-inventory")
    return subprocess.run(
        [program, "-i", str(source), "--list"], capture_output=True, text=True, env=environment, check=False
    )


def read(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the inventory that was printed."""
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout, object_hook=_plain)
    return document


def _plain(value: dict[str, Any]) -> Any:
    """Take off the mark by which Ansible shows that a text from the server is never a template."""
    return value.get("__ansible_unsafe", value)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHeadscale]:
    """A headscale with three nodes of two users, one of them tagged."""
    with running(tmp_path_factory.mktemp("mesh")) as server:
        server.command("users", "create", "alice")
        server.command("users", "create", "bob")
        client = HeadscaleAPI(url=server.url, api_key=server.new_api_key())
        client.set_policy('{"tagOwners": {"tag:web-server": ["alice@"]}, "acls": []}')
        server.new_node("laptop", "alice")
        server.new_node("phone", "bob")
        client.tag_node(server.new_node("web", "alice"), ["tag:web-server"])
        yield server


@pytest.fixture
def options(mesh: RealHeadscale) -> dict[str, Any]:
    """The options that name the server."""
    return {"url": mesh.url, "api_key": mesh.new_api_key()}


def test_a_phone_that_calls_itself_localhost_is_not_the_controller(tmp_path: Path) -> None:
    with running(tmp_path / "server") as server:
        server.command("users", "create", "alice")
        server.new_node("localhost", "alice")
        found = read(inventory(tmp_path, url=server.url, api_key=server.new_api_key()))
    assert found["headscale_nodes"]["hosts"] == ["localhost-node"]
    assert found["_meta"]["hostvars"]["localhost-node"]["headscale_given_name"] == "localhost"


def test_hosts_variables_and_groups(tmp_path: Path, options: dict[str, Any]) -> None:
    done = inventory(tmp_path, **options)
    found = read(done)
    hosts = found["_meta"]["hostvars"]
    assert set(hosts) == {"laptop", "phone", "web"} == set(found["headscale_nodes"]["hosts"])
    assert hosts["laptop"]["ansible_host"].startswith("100.64.0.")
    assert hosts["laptop"]["headscale_user"] == "alice"
    assert hosts["web"]["headscale_tags"] == ["tag:web-server"]
    assert hosts["web"]["headscale_user"] == ""
    assert found["user_alice"]["hosts"] == ["laptop"]
    assert found["user_bob"]["hosts"] == ["phone"]
    assert found["tag_web_server"]["hosts"] == ["web"]
    assert set(found["offline"]["hosts"]) == {"laptop", "phone", "web"}
    assert options["api_key"] not in done.stdout + done.stderr


def test_composed(tmp_path: Path, options: dict[str, Any]) -> None:
    found = read(
        inventory(
            tmp_path,
            **options,
            group="clients",
            default_groups=False,
            where="headscale_user != 'bob'",
            compose={"ansible_host": "headscale_given_name ~ '.mesh.internal'"},
            groups={"tagged": "headscale_tags"},
            keyed_groups=[{"key": "headscale_register_method", "prefix": "by"}],
        )
    )
    assert set(found["clients"]["hosts"]) == {"laptop", "web"} == set(found["by_cli"]["hosts"])
    assert found["_meta"]["hostvars"]["web"]["ansible_host"] == "web.mesh.internal"
    assert "user_alice" not in found


def test_strict(tmp_path: Path, options: dict[str, Any]) -> None:
    broken: dict[str, Any] = {"compose": {"x": "nothing.here"}}
    assert "x" not in read(inventory(tmp_path, **options, **broken))["_meta"]["hostvars"]["web"]
    done = inventory(tmp_path, **options, **broken, strict=True)
    assert done.returncode != 0
    assert "Could not set x" in done.stderr


def test_environment_and_templates(tmp_path: Path, mesh: RealHeadscale) -> None:
    (tmp_path / "key").write_text(mesh.new_api_key() + "\n")
    environ = {"HEADSCALE_URL": mesh.url, "HEADSCALE_API_KEY_FILE": str(tmp_path / "key")}
    assert "web" in read(inventory(tmp_path, environ=environ))["_meta"]["hostvars"]
    # What the file says is stronger.
    wrong = {"HEADSCALE_URL": mesh.url, "HEADSCALE_API_KEY": "wrong"}
    assert "web" in read(inventory(tmp_path, environ=wrong, api_key_file=str(tmp_path / "key")))["_meta"]["hostvars"]
    # AWX sets every variable of a credential, and leaves empty what was left out; the empty one of a path is no directory.
    (port,) = free_ports(1)
    done = inventory(tmp_path, environ={**environ, "HEADSCALE_CA_PATH": ""}, url=f"https://127.0.0.1:{port}")
    assert "refuses the connection" in done.stderr
    template = "{{ lookup('ansible.builtin.file', '" + str(tmp_path / "key") + "') }}"
    found = read(inventory(tmp_path, name="x.headscale.yaml", url=mesh.url, api_key=template))
    assert "web" in found["_meta"]["hostvars"]


def test_cache(tmp_path: Path, options: dict[str, Any], mesh: RealHeadscale) -> None:
    cache: dict[str, Any] = {
        "cache": True,
        "cache_plugin": "ansible.builtin.jsonfile",
        "cache_connection": str(tmp_path / "cache"),
        "cache_timeout": 3600,
    }
    first = read(inventory(tmp_path, **options, **cache))
    # With the nodes in the cache the server is not asked: nobody listens there.
    (port,) = free_ports(1)
    assert read(inventory(tmp_path, **{**options, "url": f"http://127.0.0.1:{port}"}, **cache)) == first
    for file in (tmp_path / "cache").iterdir():
        assert options["api_key"] not in file.read_text()


def test_failures_are_one_sentence(tmp_path: Path, options: dict[str, Any]) -> None:
    (port,) = free_ports(1)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"url": f"http://127.0.0.1:{port}"}, "refuses the connection"),
        ({"api_key": "wrong"}, "does not accept the API key"),
        ({"where": "nothing.here"}, "where is 'nothing.here'"),
        ({"name_from": "elsewhere"}, "elsewhere"),
    ]
    for changed, words in cases:
        done = inventory(tmp_path, **{**options, **changed})
        assert done.returncode != 0
        assert words in " ".join(done.stderr.split()), done.stderr
        assert "Traceback" not in done.stderr
