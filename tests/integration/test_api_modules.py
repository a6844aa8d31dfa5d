# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API client and the modules against a real headscale."""

from __future__ import annotations

import importlib
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.meshctl.headscale.plugins.module_utils._api import HeadscaleAPI
from ansible_collections.meshctl.headscale.plugins.module_utils._durations import parse_moment
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import AuthError, NotFoundError
from ansible_collections.meshctl.headscale.plugins.module_utils._operations import OPERATIONS
from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import SHAPES

from .api_fixtures import (  # noqa: F401 - fixtures
    RealHeadscale,
    api,
    api_key,
    free_ports,
    real_headscale,
    real_headscale_tls,
    tailscaled,
    unique,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]
MODULES = "ansible_collections.meshctl.headscale.plugins.modules"


# Runs a module by name with options, `check` for check mode, and returns its result.
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def bare(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a module with the options given and no others."""
    for name in list(os.environ):
        if name.startswith("HEADSCALE_"):
            monkeypatch.delenv(name)

    def run(module: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
        main = importlib.import_module(f"{MODULES}.{module}").main
        arguments = {**options, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert "Traceback" not in json.dumps(result)
        return result

    return run


@pytest.fixture
def module(bare: Run, real_headscale: RealHeadscale, api_key: str) -> Run:
    """Run a module against the plain server."""

    def run(module: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
        return bare(module, check=check, url=real_headscale.url, api_key=api_key, **options)

    return run


def succeeded(result: dict[str, Any], *, changed: bool) -> dict[str, Any]:
    """Return a result that is no failure and has changed something or not."""
    assert not result.get("failed"), result["msg"]
    assert result["changed"] is changed
    return result


def failed(result: dict[str, Any]) -> str:
    """Return the message of a failure."""
    assert result.get("failed"), result
    return str(result["msg"])


# -- the client


def test_every_operation_is_in_the_description_that_the_server_publishes(real_headscale: RealHeadscale) -> None:
    with urllib.request.urlopen(f"{real_headscale.url}/swagger/v1/openapiv2.json") as answer:
        description = json.load(answer)
    for name, operation in OPERATIONS.items():
        published = description["paths"][operation.path][operation.method.lower()]
        parameters = published.get("parameters", [])
        assert set(operation.query) <= {item["name"] for item in parameters if item["in"] == "query"}, name
        assert set(re.findall(r"{(\w+)}", operation.path)) == {
            item["name"] for item in parameters if item["in"] == "path"
        }, name
        body = next((item["schema"]["$ref"].split("/")[-1] for item in parameters if item["in"] == "body"), None)
        assert set(operation.body) <= set(description["definitions"].get(body, {}).get("properties", {})), name
        assert bool(operation.body) == bool(body), name


def test_every_field_that_is_read_is_in_the_description(real_headscale: RealHeadscale) -> None:
    with urllib.request.urlopen(f"{real_headscale.url}/swagger/v1/openapiv2.json") as answer:
        definitions = json.load(answer)["definitions"]
    names = {"user": "v1User", "preauthkey": "v1PreAuthKey", "node": "v1Node", "apikey": "v1ApiKey"}
    for kind, definition in names.items():
        assert set(SHAPES[kind]) == set(definitions[definition]["properties"])


def test_client_needs_no_ansible_module(api: HeadscaleAPI, unique: str) -> None:
    assert api.version().startswith("v0.")
    user = api.create_user(name=unique)
    assert user in api.list_users()
    assert api.rename_user(user["id"], f"{unique}-2")["name"] == f"{unique}-2"
    record, secret = api.create_preauthkey(user_id=user["id"], expiration=api.now() + timedelta(hours=1))
    assert secret.startswith(f"hskey-auth-{record['prefix']}-")
    assert secret not in repr(record) + repr(api.list_preauthkeys())
    api.delete_user(user["id"])
    assert record["id"] not in [key["id"] for key in api.list_preauthkeys()]


def test_client_tells_an_unknown_node_from_other_refusals(api: HeadscaleAPI) -> None:
    with pytest.raises(NotFoundError, match="delete the node: node not found"):
        api.delete_node("999999")


# -- what goes wrong on the way


def test_no_server_named(bare: Run) -> None:
    assert "set url" in failed(bare("user_info"))


def test_no_key_named(bare: Run, real_headscale: RealHeadscale) -> None:
    assert "set api_key or api_key_file" in failed(bare("user_info", url=real_headscale.url))


def test_key_file_missing(bare: Run, real_headscale: RealHeadscale, tmp_path: Path) -> None:
    message = failed(bare("user_info", url=real_headscale.url, api_key_file=str(tmp_path / "none")))
    assert str(tmp_path / "none") in message
    assert "does not exist" in message


def test_malformed_url(bare: Run) -> None:
    for url in ("headscale.example.com", "ftp://x", "http://", "http://x:99999", "http://a b"):
        assert repr(url) in failed(bare("user_info", url=url, api_key="k"))


def test_server_down(bare: Run) -> None:
    (port,) = free_ports(1)
    message = failed(bare("user_info", url=f"http://127.0.0.1:{port}", api_key="k"))
    assert f"http://127.0.0.1:{port} refuses the connection" in message


def test_server_that_does_not_answer(bare: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert f"{url} did not answer within 0.3 s" in failed(bare("user_info", url=url, api_key="k", timeout=0.3))


def test_name_that_does_not_resolve(bare: Run) -> None:
    message = failed(bare("user_info", url="http://nowhere.invalid", api_key="k", use_proxy=False))
    assert "http://nowhere.invalid" in message
    assert "does not resolve" in message


def test_wrong_key(bare: Run, real_headscale: RealHeadscale) -> None:
    wrong = "hskey-api-" + "A" * 12 + "-" + "B" * 64
    message = failed(bare("user_info", url=real_headscale.url, api_key=wrong))
    assert "does not accept the API key hskey-api-AAAAAAAAAAAA-***" in message
    assert "B" * 64 not in message


def test_expired_key(bare: Run, real_headscale: RealHeadscale) -> None:
    key = real_headscale.new_api_key("1s")
    client = HeadscaleAPI(url=real_headscale.url, api_key=key)

    def refused() -> bool:
        try:
            client.list_users()
        except AuthError:
            return True
        return False

    wait_for(refused, "the key to expire")
    assert "unknown there or expired" in failed(bare("user_info", url=real_headscale.url, api_key=key))


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A web server that is not headscale: it redirects /r/ and has nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            redirect = self.path.startswith("/r/")
            self.send_response(301 if redirect else 200)
            if redirect:
                self.send_header("Location", "https://real.example.com/api/v1/user")
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_url_of_something_else(bare: Run, elsewhere: str) -> None:
    message = failed(bare("user_info", url=elsewhere, api_key="k"))
    assert f"{elsewhere} is not the address of a Headscale API" in message


def test_redirects_are_not_followed_with_the_key(bare: Run, elsewhere: str) -> None:
    message = failed(bare("user_info", url=f"{elsewhere}/r", api_key="k"))
    assert "redirects to https://real.example.com:" in message


def test_url_with_a_wrong_path(bare: Run, real_headscale: RealHeadscale, api_key: str) -> None:
    message = failed(bare("user_info", url=f"{real_headscale.url}/wrong", api_key=api_key))
    assert "is not the address of a Headscale API" in message


def test_url_may_end_with_the_path_of_the_api(bare: Run, real_headscale: RealHeadscale, api_key: str) -> None:
    succeeded(bare("user_info", url=f"{real_headscale.url}/api/v1/", api_key=api_key), changed=False)


def test_untrusted_certificate(bare: Run, real_headscale_tls: RealHeadscale) -> None:
    message = failed(bare("user_info", url=real_headscale_tls.url, api_key="k"))
    assert f"The certificate of {real_headscale_tls.url} is not trusted" in message
    assert "ca_path" in message


def test_trusted_certificate(bare: Run, real_headscale_tls: RealHeadscale) -> None:
    options = {"url": real_headscale_tls.url, "api_key": real_headscale_tls.new_api_key()}
    succeeded(bare("user_info", **options, ca_path=str(real_headscale_tls.ca_path)), changed=False)
    succeeded(bare("user_info", **options, validate_certs=False), changed=False)


def test_certificate_of_another_name(bare: Run, real_headscale_tls: RealHeadscale) -> None:
    url = real_headscale_tls.url.replace("127.0.0.1", "localhost")
    message = failed(bare("user_info", url=url, api_key="k", ca_path=str(real_headscale_tls.ca_path)))
    assert "use a name in url that the certificate contains" in message


def test_missing_authority(bare: Run, real_headscale_tls: RealHeadscale) -> None:
    assert "'/nonexistent.pem'" in failed(
        bare("user_info", url=real_headscale_tls.url, api_key="k", ca_path="/nonexistent.pem")
    )


def test_tls_where_there_is_none(bare: Run, real_headscale: RealHeadscale) -> None:
    url = real_headscale.url.replace("http:", "https:")
    assert "begin url with http://" in failed(bare("user_info", url=url, api_key="k"))


def test_no_tls_where_there_is_some(bare: Run, real_headscale_tls: RealHeadscale) -> None:
    url = real_headscale_tls.url.replace("https:", "http:")
    assert "begin url with https://" in failed(bare("user_info", url=url, api_key="k"))


def test_options_from_the_environment(
    bare: Run, real_headscale: RealHeadscale, api_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSCALE_URL", real_headscale.url)
    monkeypatch.setenv("HEADSCALE_API_KEY", api_key)
    result = succeeded(bare("user_info"), changed=False)
    assert api_key not in json.dumps(result)
    # What a task says is stronger than the environment.
    (tmp_path / "key").write_text("wrong\n")
    assert "does not accept" in failed(bare("user_info", api_key_file=str(tmp_path / "key")))


# -- user


def test_user_is_created_once(module: Run, unique: str) -> None:
    wanted = {"name": unique, "display_name": "Display", "email": "a@example.com"}
    predicted = succeeded(module("user", check=True, **wanted), changed=True)
    assert module("user_info", name=unique)["users"] == []
    created = succeeded(module("user", **wanted), changed=True)
    assert created["diff"]["before"] == {}
    assert created["user"]["display_name"] == predicted["user"]["display_name"] == "Display"
    assert succeeded(module("user", **wanted), changed=False)["user"] == created["user"]
    assert module("user_info", id=created["user"]["id"])["users"] == [created["user"]]


def test_user_is_renamed_once(module: Run, unique: str) -> None:
    first = module("user", name=unique)["user"]
    wanted = {"name": f"{unique}-new", "rename_from": unique}
    succeeded(module("user", check=True, **wanted), changed=True)
    renamed = succeeded(module("user", **wanted), changed=True)
    assert renamed["user"]["id"] == first["id"]
    assert (renamed["diff"]["before"]["name"], renamed["diff"]["after"]["name"]) == (unique, f"{unique}-new")
    succeeded(module("user", **wanted), changed=False)
    succeeded(module("user", id=first["id"], name=unique), changed=True)
    assert module("user_info", id=first["id"])["users"][0]["name"] == unique


def test_user_cannot_take_anothers_name(module: Run, unique: str) -> None:
    first = module("user", name=unique)["user"]
    module("user", name=f"{unique}-2")
    assert "another user has this name" in failed(module("user", id=first["id"], name=f"{unique}-2"))
    assert "Both users" in failed(module("user", name=f"{unique}-2", rename_from=unique))


def test_user_profile_that_cannot_be_changed(module: Run, unique: str) -> None:
    module("user", name=unique, display_name="One")
    message = failed(module("user", name=unique, display_name="Two"))
    assert "display_name 'One', not 'Two'" in message


@pytest.mark.parametrize("name", ["a", "1st", "with blank", "a@b@c", "sla/sh", "x!"])
def test_user_names_that_headscale_would_not_like(module: Run, name: str) -> None:
    assert repr(name) in failed(module("user", name=name))


def test_user_without_nodes_is_deleted_once(module: Run, unique: str) -> None:
    module("user", name=unique)
    succeeded(module("user", check=True, name=unique, state="absent"), changed=True)
    assert module("user_info", name=unique)["users"]
    succeeded(module("user", name=unique, state="absent"), changed=True)
    succeeded(module("user", name=unique, state="absent"), changed=False)


@pytest.mark.parametrize("check", [False, True])
def test_user_with_nodes_is_not_deleted(module: Run, real_headscale: RealHeadscale, unique: str, check: bool) -> None:
    module("user", name=unique)
    real_headscale.new_node(f"{unique}-node", unique)
    message = failed(module("user", check=check, name=unique, state="absent"))
    assert f"User '{unique}' still has 1 node(s): {unique}-node" in message


# -- preauthkey


@pytest.fixture
def user(module: Run, unique: str) -> str:
    """A user without anything."""
    succeeded(module("user", name=unique), changed=True)
    return unique


def test_preauthkey_without_a_place_to_keep_it_is_minted_each_time(module: Run, user: str) -> None:
    first = succeeded(module("preauthkey", user=user), changed=True)
    second = succeeded(module("preauthkey", user=user), changed=True)
    assert first["key"].startswith("hskey-auth-")
    assert first["key"] != second["key"]
    assert first["key"] not in json.dumps(first["preauthkey"]) + json.dumps(first["diff"])
    lifetime = parse_moment(first["preauthkey"]["expiration"]) - parse_moment(first["preauthkey"]["created_at"])
    assert abs(lifetime - timedelta(hours=24)) < timedelta(seconds=2)
    assert [key["id"] for key in module("preauthkey_info", user=user, usable=True)["preauthkeys"]] == [
        first["preauthkey"]["id"],
        second["preauthkey"]["id"],
    ]


def test_preauthkey_is_kept_in_a_file(module: Run, user: str, tmp_path: Path) -> None:
    file = tmp_path / "join"
    wanted = {"user": user, "reusable": True, "path": str(file)}
    predicted = succeeded(module("preauthkey", check=True, **wanted), changed=True)
    assert not file.exists()
    assert module("preauthkey_info", user=user)["preauthkeys"] == []
    first = succeeded(module("preauthkey", **wanted), changed=True)
    assert predicted["preauthkey"]["reusable"] == first["preauthkey"]["reusable"]
    secret = file.read_text().strip()
    assert secret not in json.dumps(first)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = succeeded(module("preauthkey", **wanted), changed=False)
    assert again["preauthkey"]["id"] == first["preauthkey"]["id"]
    assert file.read_text().strip() == secret
    # Another expiration is no reason to take away a key that is good.
    succeeded(module("preauthkey", **wanted, expiration="90d"), changed=False)
    assert succeeded(module("preauthkey", **wanted, return_key=True), changed=False)["key"] == secret


def test_preauthkey_file_is_closed_to_others_again(module: Run, user: str, tmp_path: Path) -> None:
    file = tmp_path / "join"
    module("preauthkey", user=user, path=str(file))
    file.chmod(0o644)
    succeeded(module("preauthkey", user=user, path=str(file)), changed=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    succeeded(module("preauthkey", user=user, path=str(file), mode="0640"), changed=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_preauthkey_is_replaced_when_it_is_not_what_is_asked_for(module: Run, user: str, tmp_path: Path) -> None:
    file = tmp_path / "join"
    first = module("preauthkey", user=user, path=str(file))["preauthkey"]
    second = succeeded(module("preauthkey", user=user, path=str(file), ephemeral=True), changed=True)["preauthkey"]
    keys = {key["id"]: key for key in module("preauthkey_info", user=user)["preauthkeys"]}
    assert keys[first["id"]]["expired"]
    assert keys[second["id"]]["usable"]
    assert keys[second["id"]]["prefix"] in file.read_text()


def test_preauthkey_is_replaced_in_time(module: Run, user: str, tmp_path: Path) -> None:
    wanted = {"user": user, "path": str(tmp_path / "join"), "expiration": "2h"}
    module("preauthkey", **wanted)
    succeeded(module("preauthkey", **wanted, renew_before="1h"), changed=False)
    succeeded(module("preauthkey", **{**wanted, "expiration": "6h"}, renew_before="3h"), changed=True)
    assert "every run would make a new key" in failed(module("preauthkey", **wanted, renew_before="2h"))


def test_preauthkey_that_is_kept_elsewhere(module: Run, user: str) -> None:
    first = module("preauthkey", user=user)
    kept = succeeded(module("preauthkey", user=user, key=first["key"]), changed=False)
    assert first["key"] not in json.dumps(kept)
    assert kept["preauthkey"]["id"] == first["preauthkey"]["id"]
    module("preauthkey", id=first["preauthkey"]["id"], state="expired")
    fresh = succeeded(module("preauthkey", user=user, key=first["key"]), changed=True)
    assert fresh["key"] != first["key"]


def test_preauthkey_that_cannot_be_kept_is_not_left_valid(module: Run, user: str) -> None:
    # Nobody can write there; for root it shows only when the key has been minted.
    assert "/proc" in failed(module("preauthkey", user=user, path="/proc/join_key"))
    assert module("preauthkey_info", user=user, usable=True)["preauthkeys"] == []


def test_preauthkey_with_tags_alone(module: Run, unique: str, tmp_path: Path) -> None:
    tags, path = [f"tag:{unique}", f"tag:{unique}b"], str(tmp_path / "join")
    minted = succeeded(module("preauthkey", tags=tags, path=path), changed=True)
    assert minted["preauthkey"]["user"] is None
    succeeded(module("preauthkey", tags=tags[::-1], path=path), changed=False)


def test_preauthkey_is_expired_and_deleted_once(module: Run, user: str) -> None:
    key = module("preauthkey", user=user)["preauthkey"]
    succeeded(module("preauthkey", check=True, id=key["id"], state="expired"), changed=True)
    expired = succeeded(module("preauthkey", prefix=key["key"], state="expired"), changed=True)
    assert (expired["diff"]["before"]["usable"], expired["diff"]["after"]["usable"]) == (True, False)
    succeeded(module("preauthkey", id=key["id"], state="expired"), changed=False)
    succeeded(module("preauthkey", id=key["id"], state="absent"), changed=True)
    succeeded(module("preauthkey", id=key["id"], state="absent"), changed=False)
    assert "no such preauthkey" in failed(module("preauthkey", id=key["id"], state="expired"))


def test_preauthkey_is_deleted_with_its_file(module: Run, user: str, tmp_path: Path) -> None:
    file = tmp_path / "join"
    module("preauthkey", user=user, path=str(file))
    succeeded(module("preauthkey", path=str(file), state="absent"), changed=True)
    assert not file.exists()
    assert module("preauthkey_info", user=user)["preauthkeys"] == []
    succeeded(module("preauthkey", path=str(file), state="absent"), changed=False)


def test_preauthkey_bad_input(module: Run, user: str, tmp_path: Path) -> None:
    assert "'1 day'" in failed(module("preauthkey", user=user, expiration="1 day"))
    assert "expiration is zero" in failed(module("preauthkey", user=user, expiration="0s"))
    message = failed(module("preauthkey", user="nobody"))
    assert "There is no user 'nobody'" in message
    assert user in message
    assert "set user, tags or both" in failed(module("preauthkey"))
    assert "'Tag:x'" in failed(module("preauthkey", tags=["Tag:x"]))
    assert "'seven'" in failed(module("preauthkey", id="seven", state="absent"))
    assert "needs id, prefix, path or key" in failed(module("preauthkey", state="absent"))
    (tmp_path / "other").write_text("precious\n")
    assert "something other than a preauthkey" in failed(module("preauthkey", user=user, path=str(tmp_path / "other")))
    assert (tmp_path / "other").read_text() == "precious\n"
    before = module("preauthkey_info", user=user)["preauthkeys"]
    assert "does not exist" in failed(module("preauthkey", user=user, path=str(tmp_path / "no" / "dir")))
    assert module("preauthkey_info", user=user)["preauthkeys"] == before


# -- node


@pytest.fixture
def node(real_headscale: RealHeadscale, user: str, module: Run) -> dict[str, Any]:
    """A node of its own user."""
    node_id = real_headscale.new_node(f"{user}-node", user)
    found: dict[str, Any] = module("node_info", id=node_id)["nodes"][0]
    return found


def test_node_info_narrows(module: Run, node: dict[str, Any], user: str) -> None:
    for options in (
        {"name": node["given_name"]},
        {"hostname": node["name"]},
        {"node_key": node["node_key"]},
        {"node_key": node["node_key"].split(":")[1]},
        {"user": user},
        {"user": user, "online": False},
    ):
        assert [found["id"] for found in module("node_info", **options)["nodes"]] == [node["id"]], options
    assert module("node_info", user=user, online=True)["nodes"] == []
    assert node["register_method"] == "cli"
    assert node["expiry"] is None
    assert node["expired"] is False


def test_node_is_renamed_once(module: Run, node: dict[str, Any], unique: str) -> None:
    wanted = {"name": node["given_name"], "new_name": f"{unique}-new"}
    predicted = succeeded(module("node", check=True, **wanted), changed=True)
    assert predicted["node"]["given_name"] == f"{unique}-new"
    assert module("node_info", id=node["id"])["nodes"][0]["given_name"] == node["given_name"]
    renamed = succeeded(module("node", **wanted), changed=True)
    assert renamed["node"]["id"] == node["id"]
    assert renamed["diff"]["after"]["given_name"] == f"{unique}-new"
    succeeded(module("node", **wanted), changed=False)


def test_node_names_that_are_refused(
    module: Run, real_headscale: RealHeadscale, node: dict[str, Any], user: str
) -> None:
    other = real_headscale.new_node(f"{user}-other", user)
    assert f"node {other} has this name" in failed(module("node", id=node["id"], new_name=f"{user}-other"))
    assert "DNS label" in failed(module("node", id=node["id"], new_name="Not_A_Label"))


def test_node_routes_are_replaced(module: Run, node: dict[str, Any]) -> None:
    wanted = {"id": node["id"], "approved_routes": ["192.168.1.0/24", "0.0.0.0/0"]}
    predicted = succeeded(module("node", check=True, **wanted), changed=True)
    approved = succeeded(module("node", **wanted), changed=True)
    assert set(approved["node"]["approved_routes"]) == {"192.168.1.0/24", "0.0.0.0/0", "::/0"}
    assert set(predicted["node"]["approved_routes"]) == set(approved["node"]["approved_routes"])
    succeeded(module("node", **wanted), changed=False)
    succeeded(module("node", id=node["id"], approved_routes=[]), changed=True)
    succeeded(module("node", id=node["id"], approved_routes=[]), changed=False)
    assert "'192.168.1.5/24'" in failed(module("node", id=node["id"], approved_routes=["192.168.1.5/24"]))


def test_node_expires_once_and_comes_back(module: Run, node: dict[str, Any]) -> None:
    succeeded(module("node", check=True, id=node["id"], state="expired"), changed=True)
    assert succeeded(module("node", id=node["id"], state="expired"), changed=True)["node"]["expired"]
    succeeded(module("node", id=node["id"], state="expired"), changed=False)
    never = {"id": node["id"], "expiry": "never"}
    assert succeeded(module("node", **never), changed=True)["node"]["expired"] is False
    succeeded(module("node", **never), changed=False)
    later = {"id": node["id"], "expiry": "2040-01-31T13:00:00+01:00"}
    assert succeeded(module("node", **later), changed=True)["node"]["expiry"] == "2040-01-31T12:00:00Z"
    succeeded(module("node", **later), changed=False)
    assert "'tomorrow'" in failed(module("node", id=node["id"], expiry="tomorrow"))


def test_node_is_deleted_once(module: Run, node: dict[str, Any]) -> None:
    succeeded(module("node", check=True, id=node["id"], state="absent"), changed=True)
    succeeded(module("node", id=node["id"], state="absent"), changed=True)
    succeeded(module("node", id=node["id"], state="absent"), changed=False)
    assert f"No node has id '{node['id']}'" in failed(module("node", id=node["id"]))


def test_node_that_is_not_the_only_one(
    module: Run, real_headscale: RealHeadscale, node: dict[str, Any], user: str, unique: str
) -> None:
    other = real_headscale.new_node(node["name"], user)
    message = failed(module("node", hostname=node["name"], state="absent"))
    assert f"id {node['id']} (" in message
    assert f"id {other} (" in message
    assert len(module("node_info", hostname=node["name"])["nodes"]) == 2
    module("user", name=f"{unique}-u")
    third = real_headscale.new_node(node["name"], f"{unique}-u")
    assert module("node", hostname=node["name"], user=f"{unique}-u")["node"]["id"] == third


def test_node_tags(module: Run, node: dict[str, Any], unique: str) -> None:
    tag = f"tag:{unique}"
    assert "tag" in failed(module("node", id=node["id"], tags=[tag]))
    module("policy", content={"tagOwners": {tag: []}, "acls": []})
    succeeded(module("node", check=True, id=node["id"], tags=[tag]), changed=True)
    tagged = succeeded(module("node", id=node["id"], tags=[tag]), changed=True)
    assert tagged["node"]["tags"] == [tag]
    succeeded(module("node", id=node["id"], tags=[tag]), changed=False)
    assert "no way back" in failed(module("node", id=node["id"], tags=[]))
    assert [found["id"] for found in module("node_info", tag=tag)["nodes"]] == [node["id"]]
    assert module("node_info", user=unique)["nodes"] == []
    # A tagged node belongs to nobody, so it does not keep its former user.
    succeeded(module("user", name=unique, state="absent"), changed=True)


def test_node_that_joined_with_a_key(module: Run, real_headscale: RealHeadscale, user: str, tmp_path: Path) -> None:
    file = tmp_path / "join"
    module("preauthkey", user=user, path=str(file))
    with tailscaled(tmp_path / "machine") as tailscale:
        tailscale(
            "up",
            f"--login-server={real_headscale.url}",
            f"--auth-key=file:{file}",
            f"--hostname={user}-real",
            "--advertise-routes=192.168.77.0/24",
            "--accept-dns=false",
        )
        online = wait_for(lambda: module("node_info", user=user, online=True)["nodes"], "the node to be online")
        assert online[0]["name"] == f"{user}-real"
        assert online[0]["register_method"] == "auth_key"
        assert online[0]["pre_auth_key"]["key"].endswith("-***")
        assert online[0]["available_routes"] == ["192.168.77.0/24"]
        wanted = {"name": f"{user}-real", "approved_routes": ["192.168.77.0/24"]}
        succeeded(module("node", **wanted), changed=True)
        succeeded(module("node", **wanted), changed=False)
        wait_for(
            lambda: module("node_info", user=user)["nodes"][0]["subnet_routes"] == ["192.168.77.0/24"],
            "the route to be served",
        )
        # A key for one machine is used up now, and so another one is minted.
        assert module("preauthkey_info", user=user)["preauthkeys"][0]["usable"] is False
        succeeded(module("preauthkey", user=user, path=str(file)), changed=True)
    module("node", name=f"{user}-real", state="absent")


# -- policy


def test_policy_is_set_once_whatever_its_layout(module: Run, unique: str) -> None:
    text = f'// {unique}\n{{"hosts": {{"{unique}": "10.1.0.0/16",}}, "acls": [],}}\n'
    predicted = succeeded(module("policy", check=True, content=text), changed=True)
    assert unique not in (module("policy_info")["policy"] or "")
    done = succeeded(module("policy", content=text), changed=True)
    assert done["policy"] == predicted["policy"] == done["diff"]["after"] == text
    succeeded(module("policy", content=text), changed=False)
    succeeded(module("policy", content={"acls": [], "hosts": {unique: "10.1.0.0/16"}}), changed=False)
    succeeded(module("policy", content="{}", check=True), changed=True)
    succeeded(module("policy", content=text + "// more\n", compare="text"), changed=True)
    info = module("policy_info")
    assert info["document"] == {"acls": [], "hosts": {unique: "10.1.0.0/16"}}
    assert info["policy_mode"] == "database"
    assert info["updated_at"]


@pytest.mark.parametrize("check", [False, True])
def test_policy_that_the_server_refuses(module: Run, check: bool) -> None:
    assert "nope" in failed(module("policy", check=check, content={"nope": 1}))


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1, "a": 2}', '{"a": NaN}', "", '"text"'])
def test_policy_that_is_none(module: Run, text: str) -> None:
    assert "The policy is not" in failed(module("policy", content=text))


def test_policy_file(module: Run, tmp_path: Path) -> None:
    file = tmp_path / "policy.hujson"
    assert f"src is '{file}'" in failed(module("policy", src=str(file)))
    file.write_text('{"acls": [], "groups": {"group:x": []}}')
    succeeded(module("policy", src=str(file)), changed=True)
    succeeded(module("policy", src=str(file)), changed=False)


@pytest.mark.parametrize("check", [False, True])
def test_policy_of_a_server_that_reads_a_file(bare: Run, real_headscale_tls: RealHeadscale, check: bool) -> None:
    server = {
        "url": real_headscale_tls.url,
        "api_key": real_headscale_tls.new_api_key(),
        "ca_path": str(real_headscale_tls.ca_path),
    }
    assert bare("policy_info", **server)["policy_mode"] == "file"
    message = failed(bare("policy", check=check, **server, content={"acls": []}))
    assert "set policy.mode to 'database'" in message


# -- api_key


@pytest.fixture
def by_command(bare: Run, real_headscale: RealHeadscale) -> Run:
    """Run api_key on the server's own host."""

    def run(module: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
        command = {"via": "cli", "executable": real_headscale.executable, "config": str(real_headscale.config)}
        return bare(module, check=check, **command, **options)

    return run


def listed(module: Run) -> dict[str, dict[str, Any]]:
    """Return the API keys by prefix."""
    return {key["prefix"]: key for key in module("api_key_info")["api_keys"]}


@pytest.mark.parametrize("with_url", [False, True])
def test_first_api_key(
    by_command: Run, module: Run, real_headscale: RealHeadscale, tmp_path: Path, with_url: bool
) -> None:
    file = tmp_path / "api"
    wanted = {"path": str(file), **({"url": real_headscale.url} if with_url else {})}
    before = listed(module)
    succeeded(by_command("api_key", check=True, **wanted), changed=True)
    assert listed(module) == before
    assert not file.exists()
    made = succeeded(by_command("api_key", **wanted), changed=True)
    secret = file.read_text().strip()
    assert secret not in json.dumps(made)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made["api_key"]["prefix"] in secret
    HeadscaleAPI(url=real_headscale.url, api_key=secret).list_users()
    succeeded(by_command("api_key", **wanted), changed=False)
    assert by_command("api_key", **wanted, return_key=True)["key"] == secret
    assert file.read_text().strip() == secret


def test_api_key_is_replaced_in_time_and_the_old_one_expired(by_command: Run, module: Run, tmp_path: Path) -> None:
    file = tmp_path / "api"
    old = by_command("api_key", path=str(file), expiration="8d")["api_key"]
    new = succeeded(by_command("api_key", path=str(file), renew_before="9d"), changed=True)["api_key"]
    keys = listed(module)
    assert keys[old["prefix"]]["expired"]
    assert not keys[new["prefix"]]["expired"]
    assert new["prefix"] in file.read_text()


def test_api_key_that_the_server_does_not_accept_is_replaced(
    by_command: Run, real_headscale: RealHeadscale, tmp_path: Path
) -> None:
    file = tmp_path / "api"
    by_command("api_key", path=str(file))
    # The prefix is right and the secret is not: only the server can tell.
    file.write_text(file.read_text().strip()[:-8] + "00000000\n")
    succeeded(by_command("api_key", path=str(file)), changed=False)
    succeeded(by_command("api_key", path=str(file), url=real_headscale.url), changed=True)
    HeadscaleAPI(url=real_headscale.url, api_key=file.read_text()).list_users()


def test_api_key_replaces_itself_through_the_api(
    by_command: Run, bare: Run, real_headscale: RealHeadscale, tmp_path: Path
) -> None:
    file = tmp_path / "api"
    by_command("api_key", path=str(file), expiration="8d")
    old = file.read_text().strip()
    wanted = {"url": real_headscale.url, "path": str(file)}
    succeeded(bare("api_key", **wanted), changed=False)
    succeeded(bare("api_key", **wanted, renew_before="10d", check=True), changed=True)
    assert file.read_text().strip() == old
    succeeded(bare("api_key", **wanted, renew_before="10d"), changed=True)
    new = file.read_text().strip()
    HeadscaleAPI(url=real_headscale.url, api_key=new).list_users()
    with pytest.raises(AuthError):
        HeadscaleAPI(url=real_headscale.url, api_key=old).list_users()
    succeeded(bare("api_key", **wanted, renew_before="10d"), changed=False)


def test_api_key_that_cannot_be_kept_is_not_left_valid(by_command: Run, module: Run) -> None:
    before = {prefix for prefix, key in listed(module).items() if not key["expired"]}
    assert "/proc" in failed(by_command("api_key", path="/proc/api_key"))
    assert {prefix for prefix, key in listed(module).items() if not key["expired"]} == before


def test_api_key_without_any_key(bare: Run, real_headscale: RealHeadscale, tmp_path: Path) -> None:
    message = failed(bare("api_key", url=real_headscale.url, path=str(tmp_path / "api")))
    assert "via=cli" in message


def test_api_key_is_expired_and_deleted_once(by_command: Run, module: Run, tmp_path: Path) -> None:
    file = tmp_path / "api"
    key = by_command("api_key", path=str(file))["api_key"]
    succeeded(module("api_key", check=True, id=key["id"], state="expired"), changed=True)
    succeeded(module("api_key", id=key["id"], state="expired"), changed=True)
    succeeded(by_command("api_key", id=key["id"], state="expired"), changed=False)
    assert [found["id"] for found in module("api_key_info", prefix=key["prefix"])["api_keys"]] == [key["id"]]
    assert key["id"] in [found["id"] for found in module("api_key_info", expired=True)["api_keys"]]
    succeeded(module("api_key", prefix=f"hskey-api-{key['prefix']}-***", state="absent"), changed=True)
    succeeded(by_command("api_key", id=key["id"], state="absent"), changed=False)
    succeeded(by_command("api_key", path=str(file), state="absent"), changed=True)
    assert not file.exists()


def test_api_key_command_that_fails(bare: Run, tmp_path: Path) -> None:
    assert "'no-such-headscale'" in failed(
        bare("api_key", via="cli", executable="no-such-headscale", path=str(tmp_path / "api"))
    )


def test_api_key_command_without_a_server(
    by_command: Run, bare: Run, real_headscale: RealHeadscale, tmp_path: Path
) -> None:
    config = yaml.safe_load(real_headscale.config.read_text())
    config["unix_socket"] = str(tmp_path / "none.sock")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    message = failed(
        bare(
            "api_key",
            via="cli",
            executable=real_headscale.executable,
            config=str(tmp_path / "config.yaml"),
            path=str(tmp_path / "api"),
        )
    )
    assert "apikeys list -o json' failed (exit 1)" in message


# -- through ansible-playbook

PLAYBOOK = """
- name: Keep a mesh
  hosts: localhost
  gather_facts: false
  module_defaults:
    group/meshctl.headscale.headscale:
      url: "{{ server }}"
      api_key_file: "{{ keys }}/api"
  tasks:
    - name: Make the first key
      meshctl.headscale.api_key:
        via: cli
        executable: "{{ executable }}"
        config: "{{ config }}"
        path: "{{ keys }}/api"
    - name: Keep a user
      meshctl.headscale.user:
        name: "{{ user }}"
    - name: Keep a key
      meshctl.headscale.preauthkey:
        user: "{{ user }}"
        reusable: true
        path: "{{ keys }}/join"
    - name: Keep a policy
      meshctl.headscale.policy:
        content:
          hosts: "{{ {user: '10.9.0.0/16'} }}"
          acls: []
    - name: List keys
      meshctl.headscale.preauthkey_info:
        user: "{{ user }}"
      register: found
    - name: There is one
      ansible.builtin.assert:
        that: found.preauthkeys | length == (0 if ansible_check_mode else 1)
"""


def play(text: str, directory: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook on this host."""
    (directory / "play.yml").write_text(text)
    (directory / "ansible.cfg").touch()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "HEADSCALE_"))},
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collection"),
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_NOCOLOR": "1",
    }
    everything = {"ansible_python_interpreter": sys.executable, "ansible_connection": "local", **variables}
    program = str(Path(sys.executable).parent / "ansible-playbook")
    command = [program, "-i", "localhost,", "-e", json.dumps(everything), *words, str(directory / "play.yml")]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=directory, check=False)


def test_playbook_changes_nothing_the_second_time(real_headscale: RealHeadscale, unique: str, tmp_path: Path) -> None:
    variables = {
        "server": real_headscale.url,
        "keys": str(tmp_path),
        "executable": real_headscale.executable,
        "config": str(real_headscale.config),
        "user": unique,
    }
    first = play(PLAYBOOK, tmp_path, "-vvv", "--diff", **variables)
    assert first.returncode == 0, first.stdout
    assert "changed=4" in first.stdout
    second = play(PLAYBOOK, tmp_path, "-vvv", "--diff", **variables)
    assert second.returncode == 0, second.stdout
    assert "changed=0" in second.stdout
    for name in ("api", "join"):
        secret = (tmp_path / name).read_text().strip()
        assert secret not in first.stdout + first.stderr + second.stdout + second.stderr


def test_playbook_failure_is_one_sentence(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    text = (
        "- hosts: localhost\n  gather_facts: false\n  tasks:\n    - meshctl.headscale.user:\n        name: alice\n"
        f"        url: http://127.0.0.1:{port}\n        api_key: some-secret-key\n"
    )
    done = play(text, tmp_path)
    assert done.returncode == 2
    assert f"http://127.0.0.1:{port} refuses the connection" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "some-secret-key" not in done.stdout + done.stderr.replace(text, "")


def test_key_file_that_others_can_read(real_headscale: RealHeadscale, api_key: str, tmp_path: Path) -> None:
    # As a task: a module that runs in the tests' own process leaves its warnings to the controller, if that is loaded.
    file = tmp_path / "key"
    file.write_text(api_key + "\n")
    text = (
        "- hosts: localhost\n  gather_facts: false\n  tasks:\n    - meshctl.headscale.user_info:\n"
        f"        url: {real_headscale.url}\n        api_key_file: {file}\n"
    )
    for mode, warned in ((0o600, False), (0o644, True)):
        file.chmod(mode)
        done = play(text, tmp_path)
        said = "".join((done.stdout + done.stderr).split())  # Ansible wraps its warnings, in the middle of words too
        assert done.returncode == 0, said
        assert (f"{file}canbereadbyusersotherthanitsowner" in said) is warned, said
        assert api_key not in said
