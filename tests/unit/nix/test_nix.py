# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nix/ is parsed, and evaluated without a network against declared options of NixOS.

Twice where nixpkgs' own `lib` is at hand (MESHCTL_NIXPKGS_LIB or `<nixpkgs/lib>`), else once with the small one in
`nixpkgs/`.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import ROOT

HERE = Path(__file__).parent
NIX = ROOT / "nix"
SERVER, CLIENT = "headscale-server.nix", "tailscale-client.nix"
HOSTS = {
    "headscale-server": "192.168.1.5",
    "client-node-1": "192.168.1.10",
    "client-node-2": "10.0.0.10",
    "client-node-3": "10.0.0.11",
}
GOOD_SERVER = """
  meshctl.headscaleServer = {
    enable = true;
    url = "https://headscale.example.org";
    tlsCertificate = "/var/lib/secrets/cert.pem";
    tlsKey = "/var/lib/secrets/key.pem";
    relays = [ { name = "relay.example.org"; address = "203.0.113.10"; } ];
"""
GOOD_CLIENT = """
  networking.hostName = "one";
  meshctl.tailscaleClient = {
    enable = true;
    loginServer = "https://headscale.example.org";
"""

# What continuous integration says, so that nothing is skipped there in silence.
REQUIRED = os.environ.get("MESHCTL_NIX_TOOLS") == "required"


def needs(program: str, remedy: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (REQUIRED or shutil.which(program)), reason=f"{program} is not installed ({remedy})")


needs_nix = needs("nix-instantiate", "Debian: nix-bin")
SOURCES = sorted([*NIX.rglob("*.nix"), *HERE.rglob("*.nix")])


@functools.cache
def nixpkgs_lib() -> str:
    """Return where nixpkgs' own `lib` is, if it is anywhere."""
    if path := os.environ.get("MESHCTL_NIXPKGS_LIB"):
        return path
    done = subprocess.run(
        ["nix-instantiate", "--find-file", "nixpkgs/lib"], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout.strip()


@pytest.fixture(params=["own", "nixpkgs"])
def given(request: pytest.FixtureRequest) -> str:
    if request.param == "own":
        return "null"
    if not nixpkgs_lib():
        pytest.skip("nixpkgs' lib is not here: neither MESHCTL_NIXPKGS_LIB nor NIX_PATH names it")
    return nixpkgs_lib()


@pytest.fixture
def nix(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a Nix program with a store of its own, and without substituters or a registry."""
    settings = ["build-users-group =", "sandbox = false", "substituters =", "flake-registry =",
                "experimental-features = nix-command flakes"]  # fmt: skip
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "NIX_CONFIG": "\n".join(settings),
        **{f"NIX_{name}_DIR": str(tmp_path / name.lower()) for name in ("STORE", "STATE", "LOG", "CONF")},
    }

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=120, env=environment, cwd=tmp_path
        )

    yield run
    subprocess.run(["chmod", "-R", "u+w", str(tmp_path)], check=False)


@pytest.fixture
def evaluate(nix: Callable[..., subprocess.CompletedProcess[str]], given: str) -> Callable[..., Any]:
    """Return an attribute of one host with some of the modules."""

    def run(module: str, attribute: str, add: str = "{ }") -> Any:
        done = nix(
            "nix-instantiate", "--eval", "--strict", "--json", str(HERE / "evaluate.nix"), "--attr", attribute,
            "--arg", "given", given, "--arg", "modules", f"[ {NIX}/modules/{module} ]", "--arg", "add", add,
        )  # fmt: skip
        if done.returncode:
            raise NixError(done.stderr)
        return json.loads(done.stdout)

    return run


class NixError(Exception):
    """What Nix wrote on its standard error."""


@pytest.fixture(scope="module")
def generator() -> Any:
    spec = importlib.util.spec_from_file_location("meshctl_nix_topology", NIX / "topology.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_topology_is_that_of_the_inventory(generator: Any) -> None:
    assert (NIX / "topology.json").read_text(encoding="utf-8") == generator.rendered(), (
        "the inventory has changed: run `python nix/topology.py > nix/topology.json`"
    )


def test_a_change_of_the_inventory_changes_the_topology(generator: Any) -> None:
    inventory = yaml.safe_load((ROOT / "inventory/lab.yml").read_text(encoding="utf-8"))["all"]
    inventory["children"]["clients"]["hosts"]["client-node-2"]["mesh_address"] = "10.0.0.77"

    assert generator.document(inventory) != json.loads((NIX / "topology.json").read_text(encoding="utf-8"))


@needs_nix
@pytest.mark.parametrize("path", sorted(NIX.rglob("*.nix")), ids=lambda path: str(path.relative_to(NIX)))
def test_every_file_parses(path: Path, nix: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = nix("nix-instantiate", "--parse", str(path))

    assert done.returncode == 0, done.stderr


@needs("nixfmt", "a crate: cargo install nixfmt_rs")
def test_every_file_has_the_formatters_layout() -> None:
    done = subprocess.run(
        ["nixfmt", "--check", *map(str, SOURCES)], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stdout + done.stderr


@needs("deadnix", "a crate: cargo install deadnix")
def test_no_file_has_dead_code() -> None:
    done = subprocess.run(
        ["deadnix", "--fail", *map(str, SOURCES)],
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@needs_nix
def test_the_four_hosts_are_where_the_inventory_has_them(
    nix: Callable[..., subprocess.CompletedProcess[str]], given: str
) -> None:
    expression = f"""
      let
        nixpkgs = import {HERE}/nixpkgs {{ given = {given}; }};
        flake = (import {NIX}/flake.nix).outputs {{ self = flake; inherit nixpkgs; }};
      in builtins.mapAttrs (_: host: {{
        config = nixpkgs.lib.checked host.config;
        toplevel = host.config.system.build.toplevel.drvPath;
      }}) flake.nixosConfigurations
    """
    select = "n: h: { inherit (h) toplevel; inherit (h.config.networking) hostName interfaces defaultGateway; }"
    done = nix(
        "nix-instantiate", "--eval", "--strict", "--json", "--expr", f"builtins.mapAttrs ({select}) ({expression})"
    )

    assert done.returncode == 0, done.stderr
    hosts = json.loads(done.stdout)
    assert {
        name: host["interfaces"]["eth0"]["ipv4"]["addresses"][0]["address"] for name, host in hosts.items()
    } == HOSTS
    assert all(host["hostName"] == name for name, host in hosts.items())
    assert hosts["client-node-2"]["defaultGateway"]["address"] == "10.0.0.1"
    assert all(host["toplevel"].endswith(".drv") for host in hosts.values())


@needs_nix
def test_the_test_of_the_stories_evaluates_with_all_its_machines(
    nix: Callable[..., subprocess.CompletedProcess[str]], given: str
) -> None:
    expression = f"""
      let
        nixpkgs = import {HERE}/nixpkgs {{ given = {given}; }};
        flake = (import {NIX}/flake.nix).outputs {{ self = flake; inherit nixpkgs; }};
        test = flake.checks.x86_64-linux.stories;
      in {{ inherit (test) drvPath; nodes = builtins.attrNames test.nodes; }}
    """
    done = nix("nix-instantiate", "--eval", "--strict", "--json", "--expr", expression)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["nodes"] == sorted(
        [*HOSTS, "controller", "relay", "router-subnet-a", "router-subnet-b"]
    )


@needs_nix
def test_the_guest_image_evaluates_with_what_the_roles_need(
    nix: Callable[..., subprocess.CompletedProcess[str]], given: str
) -> None:
    expression = f"""
      let
        nixpkgs = import {HERE}/nixpkgs {{ given = {given}; }} // {{ outPath = "{HERE}/nixpkgs"; }};
        flake = (import {NIX}/flake.nix).outputs {{ self = flake; inherit nixpkgs; }};
        guest = nixpkgs.lib.checked (nixpkgs.lib.nixosSystem {{ modules = [ (import {NIX}/guest.nix) ]; }}).config;
      in {{
        image = flake.packages.x86_64-linux.guest-image.drvPath;
        inherit (guest) fileSystems;
        inherit (guest.systemd.tmpfiles) rules;
      }}
    """
    done = nix("nix-instantiate", "--eval", "--strict", "--json", "--expr", expression)

    assert done.returncode == 0, done.stderr
    guest = json.loads(done.stdout)
    assert guest["image"].endswith("meshctl-guest-image.drv")
    assert guest["fileSystems"]["/opt/meshctl/bin"]["device"] == "/dev/vdb"
    assert any("/usr/bin/python3" in rule for rule in guest["rules"])


@needs_nix
@pytest.mark.parametrize("module", [SERVER, CLIENT])
def test_every_option_has_a_type_and_a_description(evaluate: Callable[..., Any], module: str) -> None:
    options = evaluate(module, "options")

    assert len(options) > 6
    for option in options:
        assert option["type"], option["name"]
        assert option["description"], option["name"]


@needs_nix
def test_the_server_has_magic_dns_sqlite_tls_and_its_relays(evaluate: Callable[..., Any]) -> None:
    headscale = evaluate(SERVER, "config.services.headscale", "{" + GOOD_SERVER + "}; }")

    settings = headscale["settings"]
    assert headscale["port"] == 443
    assert settings["server_url"] == "https://headscale.example.org"
    assert settings["database"]["type"] == "sqlite"
    assert settings["dns"]["magic_dns"] is True
    assert settings["tls_key_path"] == "/var/lib/secrets/key.pem"
    assert settings["policy"]["mode"] == "database"
    assert settings["derp"]["urls"] == []
    assert len(settings["derp"]["paths"]) == 1


@needs_nix
def test_a_client_waits_retries_and_leaves_a_member_alone(evaluate: Callable[..., Any]) -> None:
    join = evaluate(
        CLIENT,
        "config.systemd.services.meshctl-join",
        "{" + GOOD_CLIENT + 'authKeyFile = "/run/key"; retrySeconds = 7; }; }',
    )

    assert "Running) exit 0" in join["script"]
    assert "--auth-key=file:/run/key" in join["script"]
    assert join["serviceConfig"]["Restart"] == "on-failure"
    assert join["serviceConfig"]["RestartSec"] == 7
    assert join["startLimitIntervalSec"] == 0


@needs_nix
def test_without_a_key_file_nothing_joins_by_itself(evaluate: Callable[..., Any]) -> None:
    assert set(evaluate(CLIENT, "config.systemd.services", "{" + GOOD_CLIENT + "}; }")) == {"tailscaled"}


@needs_nix
@pytest.mark.parametrize(
    ("module", "add", "says"),
    [
        (SERVER, GOOD_SERVER + 'port = "https"; }', "port.* is not of type .16 bit unsigned integer"),
        (SERVER, GOOD_SERVER + "port = 70000; }", "port.* is not of type .16 bit unsigned integer"),
        (SERVER, GOOD_SERVER + "prot = 443; }", "meshctl.headscaleServer.prot. does not exist"),
        (SERVER, GOOD_SERVER + 'magicDns = "yes"; }', "magicDns.* is not of type .boolean"),
        (SERVER, GOOD_SERVER + 'domain = ""; }', "MagicDNS needs a domain"),
        (SERVER, GOOD_SERVER + 'domain = "example.org"; }', "holds the server's own name"),
        (SERVER, GOOD_SERVER.replace("https://", "http://") + "}", "must begin with https://"),
        (SERVER, GOOD_SERVER.replace("/var/lib/secrets/key", "/nix/store/key") + "}", "in the store"),
        (SERVER, re.sub("relays = .*", "relays = [ ];", GOOD_SERVER) + "}", "does not start without a relay"),
        (CLIENT, GOOD_CLIENT + 'port = "41641"; }', "port.* is not of type .16 bit unsigned integer"),
        (CLIENT, GOOD_CLIENT + 'hostname = "No Name"; }', "is no name for a node"),
        (CLIENT, GOOD_CLIENT + "retrySeconds = 0; }", "is not of type .positive integer"),
        (CLIENT, GOOD_CLIENT + 'authKey = "secret"; }', "meshctl.tailscaleClient.authKey. does not exist"),
        (CLIENT, GOOD_CLIENT.replace("https://", "http://") + "}", "must begin with https://"),
        (CLIENT, GOOD_CLIENT + "}; services.tailscale.prot = 1", "services.tailscale.prot. does not exist"),
    ],
)
def test_wrong_values_are_refused(evaluate: Callable[..., Any], module: str, add: str, says: str) -> None:
    with pytest.raises(NixError, match=says):
        evaluate(module, "config", "{" + add + "; }")


@needs_nix
def test_the_flake_checks_without_a_network(
    nix: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    copy = tmp_path / "project"
    for name in ("nix", "playbooks", "inventory"):
        shutil.copytree(
            ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "collections")
        )
    shutil.copytree(HERE / "nixpkgs", tmp_path / "nixpkgs")
    # As a checkout: the flake is in a directory of a repository, whose playbooks its test uses.
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", "-C", str(copy), *words], check=True)

    done = nix(
        "nix", "flake", "check", "--no-build", f"git+file://{copy}?dir=nix",
        "--override-input", "nixpkgs", f"path:{tmp_path}/nixpkgs", "--no-write-lock-file",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
