# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of a server are examined before they are deployed, and each finding names its line."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files import (
    config_keys,
    config_names,
    config_relays,
    derp_map,
    headscale,
    keys,
    policy,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files import examine as examine_module
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files.document import read_yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files.examine import examine, severity_of
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files.finding import Finding
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files.policy_mesh import Mesh, decidable
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files.settings import Settings, duration
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files.source import Source, read
from project import ROOT
from server_files import (
    CONFIG,
    CONFIG_CHANGES,
    DERP_MAP,
    MAP_CHANGES,
    POLICY,
    POLICY_CHANGES,
    USERS,
    Change,
)


@pytest.fixture(autouse=True)
def without_headscale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MESHCTL_CACHE_DIR", str(tmp_path / "cache"))


def _examined(directory: Path, config: str = CONFIG, derp: str = DERP_MAP) -> list[Finding]:
    (directory / "config.yaml").write_text(config)
    (directory / "derp.yaml").write_text(derp)
    found = examine(str(directory / "config.yaml"), None)
    assert not found.confirmed_by
    return [one for one in found.findings if one.id != "headscale.absent"]


def _policy(text: str) -> list[Finding]:
    return policy.findings(Source("policy.hujson", text), Mesh(users=USERS))


def _compare(change: Change, text: str, found: list[Finding]) -> None:
    """The change has this finding, at its line, and no other that matters more."""
    mine = [one for one in found if one.id == change.id and one.severity == change.severity]
    assert mine if change.id else not found, found
    assert any(one.stops for one in found) == change.stops, found
    rows = text.splitlines()
    if change.line:
        assert any(one.line and change.line in rows[one.line - 1] for one in mine), mine
    assert all(one.problem and one.remedy for one in found)


def test_good_files_have_no_findings(tmp_path: Path) -> None:
    assert _examined(tmp_path) == []
    assert _policy(POLICY) == []


@pytest.mark.parametrize("change", CONFIG_CHANGES, ids=str)
def test_each_trap_of_a_configuration_is_found(change: Change, tmp_path: Path) -> None:
    found = _examined(tmp_path, change.of(CONFIG))
    if change.id:
        _compare(change, change.of(CONFIG), found)
    else:
        assert found == []


_RECORD = "dns.extra_records: [{name: hs.example.com, type: A, value: 192.0.2.9}]"


@pytest.mark.parametrize(
    ("url", "domain", "more", "said"),
    [
        ("https://hs.example.com", "example.com", _RECORD, "and Headscale refuses to start"),
        ("https://hs.example.com", "example.com", "dns.magic_dns: false", "and Headscale refuses to start"),
        ("https://hs.example.com:8443", "hs.example.com", "", "and Headscale refuses to start"),
        ("https://hs.example.com:8443", "example.com", "", "which nodes resolve only if dns.extra_records has it"),
        ("https://hs.example.com:8443", "example.com", "dns.extra_records_path: /x", "which nodes resolve only if"),
        ("https://hs.example.com:8443", "example.com", _RECORD, ""),
        ("https://hs.example.com:8443", "example.com", "dns.magic_dns: false", ""),
        ("https://hs.Example.com", "example.com", "", "which nodes resolve only if"),
    ],
)
def test_headscale_refuses_a_domain_with_the_servers_name_only_as_it_compares_them(
    url: str, domain: str, more: str, said: str
) -> None:
    text = f"server_url: {url}\ndns.base_domain: {domain}\n{more}\n"
    settings = Settings(read_yaml(Source("c", text), "config", fold=True))
    found = [one for one in config_names.findings(settings) if one.id == "config.base_domain"]
    assert [said in one.problem for one in found] == [True] * bool(said)
    assert [one.stops for one in found] == ["refuses" in said] * bool(said)


@pytest.mark.parametrize(("automatic", "ids"), [("true", ["config.derp"]), ("false", [])])
def test_the_region_of_the_embedded_relay_is_in_a_map_where_headscale_does_not_add_it(
    automatic: str, ids: list[str], tmp_path: Path
) -> None:
    added = CONFIG.replace("region_id: 999", f"region_id: 999\n    automatically_add_embedded_derp_region: {automatic}")
    assert [one.id for one in _examined(tmp_path, added, DERP_MAP.replace("900", "999"))] == ids


@pytest.mark.parametrize("change", MAP_CHANGES, ids=str)
def test_each_trap_of_a_map_is_found(change: Change) -> None:
    text = change.of(DERP_MAP)
    found = derp_map.findings(Source("derp.yaml", text))
    _compare(Change("", "", change.id, change.severity, change.line, any(one.stops for one in found)), text, found)


@pytest.mark.parametrize("change", POLICY_CHANGES, ids=str)
def test_each_trap_of_a_policy_is_found(change: Change) -> None:
    _compare(change, change.of(POLICY), _policy(change.of(POLICY)))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{}", "everything"),
        ('{"acls": []}', "nothing"),
        ('{"ACLs": []}', "nothing"),
        ("[]", "refused"),
        (" ", "syntax"),
        ("", "everything"),
    ],
)
def test_policies_without_rules(text: str, kind: str) -> None:
    assert f"policy.{kind}" in [one.id for one in _policy(text)]


def test_a_policy_without_tests_is_worth_a_word() -> None:
    text = '{"acls": [{"action": "accept", "src": ["alice@"], "dst": ["bob@example.com:22"]}]}'
    assert [(one.id, one.severity) for one in _policy(text)] == [("policy.tests", "info")]


@pytest.mark.parametrize(
    "text",
    [
        '{"acls": [{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:tagged:22"]}]}',
        '{"acls": [{"action": "accept", "src": ["*"], "dst": ["autogroup:self:*"]}], '
        '"ssh": [{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["root"]}]}',
        '{"acls": [{"action": "accept", "src": ["alice@"], "dst": ["tag:a:20-30"]}], "tagOwners": {"tag:a": ["alice@"]}, '
        '"ssh": [{"action": "check", "src": ["autogroup:member"], "dst": ["autogroup:tagged"], "users": ["autogroup:nonroot"]}]}',
        '{"acls": [{"action": "accept", "src": ["alice@"], "dst": ["alice@:*"]}], '
        '"ssh": [{"action": "accept", "src": ["alice@"], "dst": ["alice@"], "users": ["alice"]}]}',
    ],
)
def test_rules_that_match_nodes_the_policy_does_not_name(text: str) -> None:
    assert [one.id for one in _policy(text) if one.severity != "info"] == []


# --- reading


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$ANSIBLE_VAULT;1.1;AES256\n6162\n", "Ansible Vault"),
        ("a: 1\nb: !vault |\n  $ANSIBLE_VAULT\n", "line 2, is encrypted with Ansible Vault"),
        ("a: 1\nb: '{{ secret }}'\n", "line 2, contains Jinja"),
        ("a: {{ secret }}\n", "line 1, contains Jinja"),
        ("a: 1\n{% if x %}\n", "line 2, contains Jinja"),
        ("a: &a [x, x]\n" + "".join(f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)),
         "too much data"),
        ("[" * 150 + "]" * 150, "too much data"),
        ("x: " + "y" * (300 << 10), "larger"),
    ],
)  # fmt: skip
def test_files_that_are_no_configuration_are_refused_in_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    began = time.monotonic()
    with pytest.raises(BadInput, match=said):
        examine(str(tmp_path / "config.yaml"), None)
    assert time.monotonic() - began < 20


def test_deep_nesting_and_broken_syntax_are_findings(tmp_path: Path) -> None:
    for text in ("[" * 5000, "a: [1\n", "\ta: 1\n", "a: 1\na: 2\n", "", "- a\n"):
        found = _examined(tmp_path, text)
        assert [one.severity for one in found] == ["high"], text
        assert found[0].stops


def test_only_regular_files_of_text_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("pipe", "binary", "absent", ".", "a\0b"):
        with pytest.raises(BadInput):
            read(str(tmp_path / name) if "\0" not in name else name)


def test_a_configuration_does_not_make_other_files_readable(tmp_path: Path) -> None:
    inside = tmp_path / "repository"
    inside.mkdir()
    (tmp_path / "outside.yaml").write_text("Secret: 1")
    (inside / "linked.yaml").symlink_to(tmp_path / "outside.yaml")
    for path in (str(tmp_path / "outside.yaml"), "../outside.yaml", "linked.yaml"):
        (inside / "config.yaml").write_text(CONFIG.replace("/etc/headscale/derp.yaml", path))
        found = examine(str(inside / "config.yaml"), None).findings
        assert "config.derp.file" in [one.id for one in found]
        assert not any("Secret" in one.evidence + one.problem for one in found)


def test_values_are_read_as_go_reads_them() -> None:
    text = "a: yes\nb: True\nc: 0770\nd: 0o17\ne: ~\nf: 1.5\ng: '1'\nbase: &b {x: 1}\nh: {<<: *b, y: 2}\nLog: {Level: info}\n"
    data: dict[str, Any] = read_yaml(Source("c", text), "config", fold=True).data
    assert data["a"] == "yes"
    assert data["b"] is True
    assert (data["c"], data["d"], data["e"], data["f"], data["g"]) == (0o770, 0o17, None, 1.5, "1")
    assert data["h"] == {"x": 1, "y": 2}
    assert data["log"] == {"level": "info"}


def test_durations_are_read_as_go_reads_them() -> None:
    found = [duration(value) for value in ("30m", "1h30m", "500ms", "1d", "30", 30, "", "-5s", None, True)]
    assert found[:4] == [1800, 5400, 0.5, None]
    # Without a unit, these are nanoseconds.
    assert found[4:6] == pytest.approx([30e-9, 30e-9])
    assert found[6:] == [None, -5, None, None]


def test_secrets_are_no_evidence(tmp_path: Path) -> None:
    more = "oidc: {issuer: 'https://u:secret@id', client_secret: secret, client_secret_path: /x}\n"
    more += "database: {postgres: {pass: secret}}\n"
    found = _examined(
        tmp_path, CONFIG.replace("database:\n  type: sqlite\n  sqlite:\n    path: /var/lib/headscale/db.sqlite\n", more)
    )
    assert {"config.oidc", "config.secret"} <= {one.id for one in found}
    assert "secret@" not in str(found)
    assert not any(word in one.evidence for one in found for word in ("secret: secret", "pass: secret"))


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ("oidc: {client_scret: hunter2hunter2}", "oidc.client_scret is set"),
        ("noise: {private_key: 'privkey:hunter2'}", "noise.private_key is set"),
        ("derp: {urls: ['htps//relay/map?token=hunter2']}", "derp.urls: ['htps//relay/map?token=[redacted]']"),
        ("derp: {urls: ['htps://u:hunter2@relay/map']}", "derp.urls: ['htps://***@relay/map']"),
        ("oidc: {extra_params: [{client_secret: hunter2}]}", "oidc.extra_params: [{'client_secret': '[redacted]'}]"),
    ],
)
def test_a_setting_that_is_no_good_may_hold_a_secret(more: str, shown: str) -> None:
    settings = Settings(read_yaml(Source("c", more), "config", fold=True))
    found = [*config_keys.findings(settings), *config_relays.findings(settings)]
    assert shown in [one.evidence for one in found]
    assert "hunter2" not in str(found)


# --- severity


def test_severities_filter_and_order(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CONFIG.replace("127.0.0.1:9090", ":9090").replace("level: info", "level: debug"))
    found = examine(str(tmp_path / "c.yaml"), None)
    counts = {severity: len(found.result(severity)["findings"]) for severity in ("info", "low", "medium", "high")}
    # Without its map, and without headscale.
    assert counts == {"info": 4, "low": 2, "medium": 1, "high": 0}
    assert found.result("high") == {**found.result("high"), "ok": True, "below": 4}
    assert [one["severity"] for one in found.result("info")["findings"]] == ["medium", "low", "info", "info"]
    assert severity_of(" High ") == "high"
    with pytest.raises(BadInput, match="write one of info, low, medium, high"):
        severity_of("fatal")


# --- headscale


def test_the_copy_for_headscale_has_no_secrets_and_no_other_servers(tmp_path: Path) -> None:
    more = "oidc: {issuer: 'https://id.example.com', client_secret: hidden}\ncli: {address: remote, api_key: hidden}\n"
    text = CONFIG.replace("type: sqlite", "type: postgres\n  postgres: {host: db.example.com, pass: hidden}")
    text = text.replace("urls: []", "urls: [https://derp.example.com]") + more
    copy = json.dumps(headscale.copy_of(Settings(read_yaml(Source("c", text), "config", fold=True)), tmp_path))
    assert "hidden" not in copy
    for host in ("id.example.com", "db.example.com", "derp.example.com", "remote", "/var/lib", "/etc/headscale"):
        assert host not in copy
    assert json.loads(copy)["dns"]["base_domain"] == "mesh.internal"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("yes", "wrote too much"),
        ("sleep 60", "did not end"),
        ("kill -9 $$", None),
        ("env; exit 1", "PWD="),
    ],
)
def test_a_program_that_is_not_headscale_is_bounded(
    script: str, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headscale, "_LONGEST_S", 1.0)
    monkeypatch.setenv("HEADSCALE_SERVER_URL", "https://elsewhere")
    program = tmp_path / "headscale"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    settings = Settings(read_yaml(Source("c", CONFIG), "config", fold=True))
    answer = headscale.ask(str(program), settings, "")
    assert said is None or said in (answer.why_not or answer.config or "")
    assert "elsewhere" not in str(answer)


# --- the table of settings


def test_the_table_of_settings_is_that_of_the_pinned_headscale() -> None:
    pinned = (
        (ROOT / "tools" / "headscale" / "go.mod").read_text().split("github.com/juanfont/headscale v")[1].split()[0]
    )
    assert pinned == keys.VERSION, "run `python tools/headscale_keys.py`"
    spec = importlib.util.spec_from_file_location("headscale_keys", ROOT / "tools" / "headscale_keys.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cache = Path(os.environ.get("GOMODCACHE") or Path.home() / "go" / "pkg" / "mod")
    source = cache / "github.com" / "juanfont" / f"headscale@v{pinned}"
    if not source.is_dir():
        pytest.skip("the source of headscale is not here")
    assert json.loads(json.dumps(module.table(source, pinned))) == json.loads(module.TARGET.read_text())


def test_everything_that_is_refused_is_told_at_once() -> None:
    """Headscale names the first only, so a policy would have to be corrected line by line."""
    text = """{
      "groups": {"group:a": ["bob"], "group:b": ["group:a"]},
      "hosts": {"db": "100.64.0.300"},
      "acls": [
        {"action": "accept", "src": ["group:a"], "dst": ["db:*"]},
        {"action": "drop", "src": ["alice@"], "dst": ["db:*"]},
        {"action": "accept", "src": ["alice@"], "dst": ["tag:none:22"]},
        ["a list"],
      ],
      "grants": "none",
      "bogus": 1,
    }"""
    found = sorted((one.line or 0, one.problem.removeprefix("Headscale refuses the policy: ")) for one in _policy(text))
    assert found == [
        (2, "group:a of the policy contains 'bob': a user's name contains @, as in alice@"),
        (2, "group:b of the policy contains the group group:a: list its users instead"),
        (3, "hosts of the policy: 'db' is '100.64.0.300': write a name without : or @, and an address"),
        (6, "acl 2 of the policy has the action 'drop': the only one is accept"),
        (7, "the policy names tag:none, which its tagOwners do not define: add it to tagOwners"),
        (8, "acls of the policy is not a list of rules"),
        (10, "grants of the policy is not a list of rules"),
        (11, "Headscale does not know the key 'bogus', and refuses the policy"),
    ]


@pytest.mark.parametrize(
    ("users", "name", "remedy"),
    [
        (["alice", "default"], "defualt@", "write default@, if that is meant"),
        (["alice@", "default@"], "defualt@", "write default@, if that is meant"),
        (["bob@example.com"], "bobb@example.com", "write bob@example.com, if that is meant"),
        (["bob@example.com"], "carol@example.com", "correct the name, or create the user"),
        (["bob@example.com"], "bob@example.org", "correct the name, or create the user"),
    ],
)
def test_no_other_user_is_suggested_than_a_misspelled_one(users: list[str], name: str, remedy: str) -> None:
    text = f'{{"acls": [{{"action": "accept", "src": ["{name}"], "dst": ["*:22"]}}]}}'
    (found,) = [one for one in policy.findings(Source("p", text), Mesh(users=users)) if one.id == "policy.user"]
    assert found.remedy == remedy


@pytest.mark.parametrize(("key", "remedy"), [("autoAprovers", "write autoApprovers"), ("postures", "remove it")])
def test_a_key_that_headscale_does_not_know(key: str, remedy: str) -> None:
    (found,) = [one for one in _policy(f'{{"{key}": {{}}, "acls": []}}') if one.id == "policy.key"]
    assert found.remedy == remedy


_HOSTS = {"hosts": {"server": "100.64.0.10"}, "tagOwners": {"tag:web": ["alice@"]}}
_SSH = {"ssh": [{"action": "accept", "src": ["alice@"], "dst": ["tag:web"], "users": ["root"]}]}


@pytest.mark.parametrize(
    ("target", "ssh"),
    [
        ("tag:web:22", {}),
        # Which node the server is decides.
        ("server:22", {"policy.undecided": "info"}),
        ("100.64.0.0/16:22", {"policy.undecided": "info"}),
        ("server:23", {"policy.never": "medium"}),
        ("tag:web:23", {"policy.never": "medium"}),
        ("bob@:22", {"policy.never": "medium"}),
    ],
)
def test_an_ssh_rule_without_effect(target: str, ssh: dict[str, str]) -> None:
    rule = {"action": "accept", "src": ["alice@"], "dst": [target]}
    found = _policy(json.dumps({**_HOSTS, "acls": [rule], "S_SH": _SSH["ssh"]}))
    assert {one.id: one.severity for one in found if "ssh rule" in one.problem} == ssh


def test_an_ssh_rule_of_another_family() -> None:
    document = {**_HOSTS, "acls": [{"action": "accept", "src": ["alice@"], "dst": ["server:22"]}], **_SSH}
    mesh = Mesh(prefixes={"ipv6": "fd7a:115c:a1e0::/48"})
    assert "policy.never" in [one.id for one in policy.findings(Source("p", json.dumps(document)), mesh)]


@pytest.mark.parametrize(("said", "ids"), [("", []), ("refused", ["policy.refused"]), (None, ["policy.refused"])])
def test_headscale_itself_decides_what_is_refused(
    said: str | None, ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policy.hujson").write_text('{"acls": "none"}')
    monkeypatch.setattr(
        headscale, "ask", lambda *_given: headscale.Answer(policy=said, why_not="" if said is not None else "it hangs")
    )
    monkeypatch.setattr(examine_module, "_program", lambda _given: ("/headscale", "headscale 0.29.3"))
    found = examine(None, str(tmp_path / "policy.hujson")).findings
    assert [one.id for one in found if one.id != "headscale.absent"] == ids


def test_headscale_is_asked_again_without_the_tests_that_its_made_up_nodes_do_not_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headscale._Asking, "_fill", lambda _self, _nodes: None)
    program = tmp_path / "headscale"
    # Like headscale, it fails for the server, which no made-up node is, and for a closed port.
    program.write_text(
        """#!/bin/sh
[ "$3" = configtest ] && exit 0
grep -q 'server:443\\|"dst": \\["server"\\]\\|tag:web:80' "$6" && echo "Error: test(s) failed" && exit 1
exit 0
"""
    )
    program.chmod(0o755)
    rule = {"action": "accept", "src": ["alice@"], "dst": ["tag:web:443"]}
    tests = [{"src": "alice@", "accept": ["server:443"], "deny": ["tag:web:22"]}]
    document = {
        **_HOSTS,
        "acls": [rule],
        **_SSH,
        "tests": tests,
        "sshTests": [{"src": "alice@", "dst": ["server"], "accept": ["root"]}],
    }
    assert headscale.ask(str(program), None, json.dumps(document)).policy == ""
    tests.append({"src": "alice@", "accept": ["tag:web:80"]})
    assert headscale.ask(str(program), None, json.dumps(document)).policy == "test(s) failed"


def test_only_what_cannot_be_decided_is_left_out() -> None:
    document = {
        **_HOSTS,
        "acls": [{"action": "accept", "src": ["alice@"], "dst": ["tag:web:443"]}],
        "tests": [
            {"src": "alice@", "accept": ["server:443", "tag:web:80"]},
            {"src": "alice@", "accept": ["server:443"]},
            {"src": "alice@"},
        ],
        "ssh_tests": [
            {"src": "alice@", "dst": ["tag:web", "server"], "accept": ["root"]},
            {"src": "server", "dst": ["tag:web"], "accept": ["root"]},
            {"src": "alice@", "dst": ["10.0.0.1"], "accept": ["root"]},
        ],
    }
    kept = decidable(document, Mesh().nodes(document))
    assert kept["tests"] == [{"src": "alice@", "accept": ["tag:web:80"]}, {"src": "alice@"}]
    assert [(one["src"], one["dst"]) for one in kept["sshTests"]] == [("alice@", ["tag:web"]), ("alice@", ["10.0.0.1"])]
    assert kept["acls"] == document["acls"]
