# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Of headscale's configuration, only the settings that are examined leave the host."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files.keys import FORMER, REMOVED
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.records import setting
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.allowed import NAMED, SHOWN, allowed_config
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.base import Unseen
from hypothesis import given
from hypothesis import strategies as st
from sample import examples

CONFIG = """---
# A comment with a secret: S3CRET
server_url: https://h.example.com:443   # where clients go
"listen_addr": 0.0.0.0:8080
noise:
  private_key_path: /var/lib/headscale/noise.key
database:
  type: postgres
  postgres: {host: db, user: h, "pass": S3CRET}
  dsn: postgres://h:S3CRET@db/headscale
oidc:
  "client_secret": 'S3CRET'
  client_id: |
    S3CRET
    server_url: S3CRET
  extra_params:
    domain_hint: S3CRET
  scope: ["openid", "S3CRET"]
  allowed_users:
  - S3CRET@example.com
derp:
  server:
    enabled: false
    private_key_path: /var/lib/headscale/derp.key
  urls:
  - https://user:S3CRET@derp.example.com/map   # S3CRET
  - "https://controlplane.tailscale.com/derpmap/default"
  paths: []
dns:
  magic_dns: true
  base_domain: mesh.internal
  override_local_dns: true
  nameservers:
    global: [1.1.1.1, "9.9.9.9"]
    split:
      S3CRET.example.com:
        - 10.0.0.1
  extra_records:
    - name: S3CRET
      value: S3CRET
tls_key_path: /etc/key.pem
tls_letsencrypt_cache_dir: S3CRET
S3CRET: S3CRET
"""


def test_the_settings_that_are_examined_are_kept_and_nothing_else() -> None:
    assert yaml.safe_load(allowed_config(CONFIG)) == {
        "server_url": "https://h.example.com:443",
        "listen_addr": "0.0.0.0:8080",
        "noise": {"private_key_path": "/var/lib/headscale/noise.key"},
        "tls_key_path": "/etc/key.pem",
        "derp": {
            "server": {"enabled": False, "private_key_path": "/var/lib/headscale/derp.key"},
            "urls": ["https://derp.example.com/map", "https://controlplane.tailscale.com/derpmap/default"],
            "paths": [],
        },
        "dns": {
            "magic_dns": True,
            "base_domain": "mesh.internal",
            "override_local_dns": True,
            "nameservers": {"global": ["1.1.1.1", "9.9.9.9"]},
            "extra_records": "set",
        },
        "database": {"type": "postgres"},
        **({"oidc": None}),
    }


def test_of_a_database_everything_is_told_but_the_password() -> None:
    text = "database:\n  type: postgres\n  postgres:\n    host: db\n    port: 5432\n    pass: S3CRET\n    ssl: false\n"
    known = {"host": "db", "port": 5432, "ssl": False}
    assert yaml.safe_load(allowed_config(text)) == {"database": {"type": "postgres", "postgres": known}}


def test_the_doctor_is_told_of_every_setting_that_it_looks_for() -> None:
    refused = {known["instead"] for known in REMOVED.values() if known["refused"]} - {"", "node.expiry"}
    assert {*REMOVED, *refused} == NAMED - set(FORMER)


@pytest.mark.parametrize("name", sorted(NAMED))
@pytest.mark.parametrize(
    ("value", "is_set"), [(" S3CRET", True), ("\n- S3CRET", True), (" {a: S3CRET}", True), (" null", False)]
)
def test_an_old_setting_is_named_without_its_value(name: str, value: str, is_set: bool) -> None:
    above, _dot, key = name.rpartition(".")
    text = f"{above}:\n  {key}:{value.replace(chr(10), chr(10) + '  ')}\n" if above else f"{key}:{value}\n"
    found = allowed_config(text + "server_url: x\n")
    assert "S3CRET" not in found
    assert (setting(yaml.safe_load(found), name) is not None) == is_set


@pytest.mark.parametrize(
    "text",
    [
        "derp: {urls: [S3CRET]}",
        "derp: &a\n  urls: []",
        "server_url: *a",
        "server_url: |\n  S3CRET",
        "server_url: 'a\n  S3CRET'",
        "server_url: a\n  S3CRET",
        "dns:\n  nameservers:\n    global: [1.1.1.1,\n     S3CRET]",
        "derp:\n  urls:\n    - token: S3CRET",
        "derp:\n  ? S3CRET\n",
    ],
)
def test_yaml_of_another_form_is_not_examined(text: str) -> None:
    with pytest.raises(Unseen, match="not examined") as caught:
        allowed_config(text)
    assert "S3CRET" not in str(caught.value)


_KEYS = st.sampled_from([*{part for name in SHOWN | NAMED for part in name.split(".")}, "client_secret", "pass", "x"])
_SECRETS = st.sampled_from(
    ["S3CRET", "p://u:S3CRET@h/d", "S3CRET\nserver_url: S3CRET\n", "- S3CRET", "a: S3CRET", "'S3CRET"]
)
_TREES = st.recursive(
    _SECRETS | st.lists(_SECRETS, max_size=2), lambda inner: st.dictionaries(_KEYS, inner, max_size=4), max_leaves=12
)


def _without_shown(tree: Any, above: str = "") -> Any:
    """Return a configuration whose secrets are all in settings that are not shown."""
    if not isinstance(tree, dict):
        return tree
    return {key: _without_shown(value, f"{above}{key}.") for key, value in tree.items() if f"{above}{key}" not in SHOWN}


@examples(300)
@given(
    st.dictionaries(_KEYS, _TREES, max_size=5),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, '"', "|", ">", "'"]),
)
def test_no_secret_leaves_the_host_however_the_file_is_written(
    tree: dict[str, Any], flow: bool | None, quotes: str | None
) -> None:
    text = yaml.safe_dump(_without_shown(tree), default_flow_style=flow, default_style=quotes)
    with contextlib.suppress(Unseen):
        assert "S3CRET" not in allowed_config(text)


@given(st.text(alphabet="ab:- \n'\"[]{}|>#&*server_url", max_size=80))
def test_any_text_is_reduced_or_refused(text: str) -> None:
    with contextlib.suppress(Unseen):
        allowed_config(text)


def test_the_settings_below_a_former_section_are_named_one_by_one() -> None:
    text = "server_url: x\ndns_config: # S3CRET\n  nameservers:\n    - S3CRET\n  extra_records: [{name: S3CRET}]\n  other: S3CRET\n"
    found = allowed_config(text)
    assert yaml.safe_load(found)["dns_config"] == {"nameservers": "set", "extra_records": "set"}
    assert yaml.safe_load(allowed_config("server_url: x\ndns_config: {domains: [S3CRET]}\n")) == {"server_url": "x"}


@pytest.mark.parametrize(
    ("given", "kept"), [("policy:\n  mode: file\n  path: /p", True), ("policy: {mode: file}", False)]
)
def test_the_mode_of_a_policy_is_left_out_in_a_form_that_is_not_examined(given: str, kept: bool) -> None:
    said = allowed_config(f"server_url: https://h\n{given}\n")
    assert "server_url: https://h" in said
    assert ("mode: file" in said) is kept
    assert "/p" not in said
