# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of the API client that need no server."""

from __future__ import annotations

import importlib
import json
import ssl
import urllib.error
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils import _cli, _durations, _http, _hujson, _nodes, _shapes
from ansible_collections.meshctl.headscale.plugins.module_utils._answers import reason
from ansible_collections.meshctl.headscale.plugins.module_utils._api import HeadscaleAPI, connect
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import (
    ApiError,
    AuthError,
    BadAnswerError,
    BadInput,
    HeadscaleError,
    NotFoundError,
    TlsError,
    UnreachableError,
    WrongUrlError,
)
from ansible_collections.meshctl.headscale.plugins.module_utils._files import read_secret, write_secret
from ansible_collections.meshctl.headscale.plugins.module_utils._keys import chosen, lasts
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)
KEY = "hskey-auth-" + "A" * 12 + "-" + "b" * 64
API_KEY = "hskey-api-" + "A" * 12 + "-" + "b" * 64
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)

# -- durations and moments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24h", timedelta(hours=24)),
        ("90d", timedelta(days=90)),
        ("1h30m", timedelta(minutes=90)),
        ("1y2w3d", timedelta(days=365 + 14 + 3)),
        ("500ms", timedelta(milliseconds=500)),
        ("0s", timedelta()),
    ],
)
def test_durations(text: str, expected: timedelta) -> None:
    assert _durations.parse_duration(text, option="expiration") == expected


@pytest.mark.parametrize(
    "text", ["", " ", "24", "h", "-1h", "1.5h", "30m1h", "1h1h", "1 h", "1H", "never", "9" * 30 + "h"]
)
def test_texts_that_are_no_durations(text: str) -> None:
    with pytest.raises(BadInput, match=r"expiration is .*, which is not a duration"):
        _durations.parse_duration(text, option="expiration")


def test_duration_that_is_too_long() -> None:
    with pytest.raises(BadInput, match="290 years"):
        _durations.parse_duration("999y", option="expiration")


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)))
def test_moments_survive_being_written(moment: datetime) -> None:
    moment = moment.replace(tzinfo=NOW.tzinfo, microsecond=0)
    assert _durations.parse_moment(_durations.format_moment(moment)) == moment


def test_moments_of_go() -> None:
    assert _durations.parse_moment("2026-11-22T21:41:38.326176563Z").microsecond == 326176
    assert _durations.parse_moment("2026-11-22T22:41:38+01:00").hour == 21
    assert _durations.moment_or_none("0001-01-01T00:00:00Z") is None
    assert _durations.moment_or_none(None) is None


# -- HuJSON


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1,}', {"a": 1}),
        ("[1, 2, ]", [1, 2]),
        ('// c\n{"a": [1, /* x, ] */ ], }', {"a": [1]}),
        ('{"url": "http://x/*y*/", "b": ",]"}', {"url": "http://x/*y*/", "b": ",]"}),
        (r'{"q": "\"//,}"}', {"q": '"//,}'}),
        ('{"a": 1 /* before */ , // after\n}', {"a": 1}),
    ],
)
def test_hujson(text: str, expected: object) -> None:
    assert _hujson.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "{", "[,]", "{,}", "[1,,]", ",", '{"a" 1}', "/* open", '"open', "{} {}", "NaN", '{"a":1,"a":1}', "[" * 9999],
)
def test_texts_that_are_not_hujson(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        _hujson.parse(text)


def test_hujson_error_names_the_line_of_the_original() -> None:
    with pytest.raises(ValueError, match="line 4"):
        _hujson.parse('{\n/* one\ntwo */ "a": 1,\n"b" 2}')


@given(ANY_JSON)
def test_hujson_reads_all_json(value: Any) -> None:
    assert _hujson.parse(json.dumps(value, indent=1)) == value


@given(st.text(max_size=60))
def test_hujson_never_breaks(text: str) -> None:
    assert _hujson.same(text, text)


def test_hujson_compares_meaning() -> None:
    assert _hujson.same('{"a": 1, "b": [1,],} // x', '{"b":[1],"a":1}')
    assert not _hujson.same('{"a": 1}', '{"a": true}')
    assert not _hujson.same('{"a": [1, 2]}', '{"a": [2, 1]}')
    assert not _hujson.same("{broken", "{broken too")


# -- shapes


def test_fields_that_the_server_leaves_out_have_their_zero_value() -> None:
    node = _shapes.node_with_state(_shapes.shaped("node", {"id": "7"}), now=NOW)
    assert node["online"] is False
    assert node["tags"] == []
    assert node["user"] is None
    assert node["expiry"] is None
    assert node["expired"] is False
    assert "given_name" in node


@given(st.sampled_from(sorted(_shapes.SHAPES)), ANY_JSON)
def test_any_answer_is_read_or_refused_in_words(kind: str, value: Any) -> None:
    try:
        _shapes.shaped(kind, value)
    except BadAnswerError as error:
        assert str(error).startswith("Headscale answered with")


@given(st.sampled_from(sorted(_shapes.SHAPES)), st.data())
def test_any_field_is_read_or_refused_in_words(kind: str, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(sorted(_shapes.SHAPES[kind])))
    try:
        record = _shapes.shaped(kind, {"id": "1", field: data.draw(ANY_JSON)})
    except BadAnswerError as error:
        assert f"{kind}.{field}" in str(error) or "." in str(error)
    else:
        assert record["id"].isdigit()


@pytest.mark.parametrize("value", [None, "", "x", "-1", 1.5, True, "٣", [], "9" * 21])
def test_ids_that_are_none(value: object) -> None:
    with pytest.raises(BadAnswerError, match=r"user\.id"):
        _shapes.shaped("user", {"id": value})


@pytest.mark.parametrize(
    ("changes", "expired", "usable"),
    [
        ({}, False, True),
        ({"expiration": "2029-12-31T23:59:59Z"}, True, False),
        ({"expiration": "0001-01-01T00:00:00Z"}, True, False),
        ({"expiration": None}, False, True),
        ({"used": True}, False, False),
        ({"used": True, "reusable": True}, False, True),
    ],
)
def test_which_preauthkeys_can_be_used(changes: dict[str, Any], expired: bool, usable: bool) -> None:
    raw = {"id": "1", "key": KEY, "expiration": "2030-01-02T00:00:00Z", **changes}
    key = _shapes.preauthkey_with_state(_shapes.shaped("preauthkey", raw), now=NOW)
    assert (key["expired"], key["usable"]) == (expired, usable)
    assert "b" * 64 not in repr(key)
    assert key["prefix"] == "A" * 12


def test_keys_are_told_apart_and_hidden() -> None:
    assert _shapes.masked(KEY) == "hskey-auth-AAAAAAAAAAAA-***"
    assert _shapes.masked("old-style-secret") == "***"
    assert _shapes.key_prefix("hskey-api-AAAAAAAAAAAA-***") == "A" * 12
    assert _shapes.key_prefix("A" * 12) == "A" * 12
    assert _shapes.key_prefix("abcdefg***") == "abcdefg"
    assert _shapes.is_secret(KEY, "auth")
    assert not _shapes.is_secret(KEY, "api")
    assert not _shapes.is_secret("hskey-auth-AAAAAAAAAAAA-***", "auth")
    assert _shapes.find_secret(f'{{"apiKey":"{API_KEY}"}}\n', "api") == API_KEY


def test_how_long_a_key_lasts() -> None:
    assert lasts({"expiration": None}, now=NOW, ahead=timedelta(days=9))
    assert lasts({"expiration": "2030-01-02T00:00:00Z"}, now=NOW, ahead=timedelta(hours=23))
    assert not lasts({"expiration": "2030-01-02T00:00:00Z"}, now=NOW, ahead=timedelta(hours=24))


# -- the client's answers to answers


class _Scripted(HeadscaleAPI):
    """A client whose server says one thing."""

    def __init__(self, status: int, body: str, *, kind: str = "application/json", location: str = "") -> None:
        super().__init__(url="http://127.0.0.1:1/", api_key=API_KEY)
        self._transport = _Says(_http.Reply(status, kind, body, location, None))  # type: ignore[assignment]


class _Says:
    def __init__(self, reply: _http.Reply) -> None:
        self.reply = reply

    def send(self, *_: object, **__: object) -> _http.Reply:
        return self.reply


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, "Unauthorized", AuthError, "does not accept the API key hskey-api-AAAAAAAAAAAA-"),
        (403, "", AuthError, "does not accept"),
        (500, '{"code":2,"message":"user not found","details":[]}', ApiError, "user not found (HTTP 500)"),
        (404, '{"code":5,"message":"node not found","details":[]}', NotFoundError, "node not found"),
        (404, '{"code":5,"message":"Not Found","details":[]}', WrongUrlError, "not the address"),
        (404, "<html>", WrongUrlError, "not the address"),
        (404, '{"title":"Not Found","status":404,"detail":"no such user"}', NotFoundError, "no such user (HTTP 404)"),
        (
            422,
            '{"title":"Unprocessable Entity","status":422,"detail":"validation failed",'
            '"errors":[{"message":"expected string","location":"body.name","value":1}]}',
            ApiError,
            "validation failed; expected string (HTTP 422)",
        ),
        (409, '{"title":"Conflict","status":409}', ApiError, "Conflict (HTTP 409)"),
        (502, "<html>bad gateway</html>", WrongUrlError, "HTTP 502"),
        (200, "[]", WrongUrlError, "HTTP 200"),
        (200, "", WrongUrlError, "HTTP 200"),
        (200, '{"users": 3}', BadAnswerError, "no list of users"),
        (200, '{"users": [null]}', BadAnswerError, "nothing where a user"),
        (200, '{"users": [{"id": "1", "name": 7}]}', BadAnswerError, "user.name"),
    ],
)
def test_answers_that_are_no_good(status: int, body: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(HeadscaleError) as caught:
        _Scripted(status, body).list_users()
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert "b" * 64 not in str(caught.value)


@given(st.sampled_from([200, 201, 301, 400, 401, 404, 409, 500, 503]), st.text(max_size=40) | ANY_JSON.map(json.dumps))
def test_no_answer_breaks_the_client(status: int, body: str) -> None:
    client = _Scripted(status, body)
    for call in (
        client.list_users,
        client.list_nodes,
        client.list_preauthkeys,
        client.list_api_keys,
        client.get_policy,
    ):
        try:
            result = call()
        except HeadscaleError:
            continue
        assert isinstance(result, (list, dict, type(None)))


def test_empty_lists() -> None:
    assert _Scripted(200, '{"users": null}').list_users() == []
    assert _Scripted(200, "{}").list_users() == []


def test_no_policy_is_no_error() -> None:
    for said in (
        "loading ACL from database: acl policy not found",
        'reading policy from path "": open : no such file or directory',
    ):
        assert _Scripted(500, json.dumps({"message": said})).get_policy() is None
    for said in ("database is locked", 'reading policy from path "/p": open /p: no such file or directory'):
        with pytest.raises(ApiError):
            _Scripted(500, json.dumps({"message": said})).get_policy()


def test_redirect_names_the_target() -> None:
    with pytest.raises(WrongUrlError, match=r"redirects to https://real:8443: set url"):
        _Scripted(301, "", location="https://real:8443/api/v1/user").list_users()


def test_reasons_of_several_lines() -> None:
    assert reason({"message": "one\n  two"}) == "one two"
    assert reason({"message": ""}) is None
    assert reason({"errors": [{"message": 3}, None]}) is None


@pytest.mark.parametrize("key", ["", "  ", "two words", "a\nb"])
def test_keys_that_cannot_be_sent(key: str) -> None:
    with pytest.raises(BadInput, match="API key"):
        HeadscaleAPI(url="http://127.0.0.1", api_key=key)


@pytest.mark.parametrize("url", ["https://me:s3cret@host", "https://:s3cret@host", "https://me@host/x"])
def test_a_password_in_the_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(BadInput, match="url holds") as caught:
        HeadscaleAPI(url=url, api_key="key")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1])
def test_no_time_at_all_is_refused_and_not_taken_for_the_default(timeout: float) -> None:
    with pytest.raises(BadInput, match="timeout is"):
        connect({"url": "http://127.0.0.1", "api_key": "key", "timeout": timeout}, environ={})


@pytest.mark.parametrize("text", ["", "hello\n", "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"])
def test_a_ca_path_without_certificates_is_named(tmp_path: Path, text: str) -> None:
    junk = tmp_path / "ca.pem"
    junk.write_text(text)
    api = HeadscaleAPI(url="https://127.0.0.1:1", api_key="key", ca_path=str(junk))
    with pytest.raises(BadInput, match=r"ca_path is .*ca\.pem"):
        api.list_users()


def test_connect_takes_the_environment_last(tmp_path: Path) -> None:
    environ = {"HEADSCALE_URL": "http://from-env", "HEADSCALE_API_KEY": "env-key"}
    assert connect({}, environ=environ).url == "http://from-env"
    assert connect({"url": "http://option"}, environ=environ).url == "http://option"
    (tmp_path / "key").write_text("file-key\n")
    assert connect({"api_key_file": str(tmp_path / "key")}, environ=environ).api_key == "file-key"
    assert connect({"api_key": "given"}, environ=environ).api_key == "given"
    with pytest.raises(BadInput, match="set url"):
        connect({}, environ={})
    with pytest.raises(BadInput, match="is empty"):
        (tmp_path / "key").write_text("\n")
        connect({"api_key_file": str(tmp_path / "key")}, environ=environ)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (urllib.error.URLError(ConnectionRefusedError(111, "refused")), UnreachableError),
        (ConnectionResetError(104, "reset"), UnreachableError),
        (TimeoutError("timed out"), UnreachableError),
        (urllib.error.URLError(ssl.SSLError(1, "WRONG_VERSION_NUMBER")), TlsError),
        (ValueError("unknown url type"), BadInput),
        (urllib.error.URLError("unknown"), BadInput),
    ],
)
def test_failed_requests_are_one_sentence(error: BaseException, kind: type[Exception]) -> None:
    said = _http.explain(error, url="http://127.0.0.1:8080/api/v1/user", transport=_http.Transport())
    assert isinstance(said, kind)
    assert "http://127.0.0.1:8080" in str(said)
    assert "/api/v1" not in str(said)


# -- nodes


def _node(**changes: Any) -> dict[str, Any]:
    raw = {
        "id": "1",
        "name": "debian",
        "givenName": "n1",
        "user": {"id": "1", "name": "alice"},
        "nodeKey": "nodekey:ab",
    }
    return _shapes.node_with_state(_shapes.shaped("node", {**raw, **changes}), now=NOW)


def test_tagged_nodes_belong_to_nobody() -> None:
    assert _nodes.owner(_node()) == "alice"
    assert _nodes.owner(_node(tags=["tag:x"])) == ""
    assert _nodes.owner(_node(user=None)) == ""


def test_nodes_are_found_by_each_property() -> None:
    nodes = [_node(), _node(id="2", givenName="n2", nodeKey="nodekey:cd")]
    assert _nodes.the_one(nodes, {"node_key": "cd"}) == nodes[1]
    assert _nodes.the_one(nodes, {"name": "n1", "user": None}) == nodes[0]
    assert _nodes.the_one(nodes, {"name": "n1", "user": "bob"}) is None
    with pytest.raises(BadInput, match=r"Several nodes have hostname 'debian': id 1 .*, id 2 "):
        _nodes.the_one(nodes, {"hostname": "debian"})


# -- the command


def _commanded(status: int, output: str, errors: str = "") -> _cli.ApiKeyCommand:
    return _cli.ApiKeyCommand(lambda _: (status, output, errors), executable="headscale", config=None)


def test_command_of_both_lines_is_read() -> None:
    old = '[{"id": 1, "prefix": "hskey-api-AAAAAAAAAAAA-***", "expiration": {"seconds": 4102444800, "nanos": 5}}]'
    new = (
        '[{"id": "1", "prefix": "hskey-api-AAAAAAAAAAAA-***", "expiration": "2100-01-01T00:00:00Z", "createdAt": null}]'
    )
    for text in (old, new, f'{{"apiKeys": {new}}}'):
        (key,) = _commanded(0, text).list_api_keys()
        assert (key["id"], key["prefix"], key["expired"]) == ("1", "A" * 12, False)
        assert _durations.parse_moment(key["expiration"]).year == 2100
    assert _commanded(0, "null").list_api_keys() == []
    for text in (f'"{API_KEY}"', API_KEY, f'{{"apiKey": "{API_KEY}"}}'):
        assert _commanded(0, text).create("1d") == API_KEY


def test_command_that_fails_says_why_and_shows_no_key() -> None:
    with pytest.raises(HeadscaleError, match=r"failed \(exit 1\): cannot connect\."):
        _commanded(1, API_KEY, 'noise\n{"error": "cannot connect"}\n').create("1d")
    with pytest.raises(HeadscaleError, match="it said nothing"):
        _commanded(1, API_KEY).create("1d")


@given(ANY_JSON)
def test_no_output_of_the_command_breaks_it(value: Any) -> None:
    try:
        _commanded(0, json.dumps(value)).list_api_keys()
    except HeadscaleError as error:
        assert str(error)


# -- modules


class _StopsError(Exception):
    """What a linter's stand-in raises."""


@pytest.mark.parametrize(
    "name", [f"{kind}{twin}" for kind in ("api_key", "node", "policy", "preauthkey", "user") for twin in ("", "_info")]
)
def test_modules_ask_for_the_class_when_they_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A linter puts a class of its own in its place; with another one it would run the module for real."""

    def stop(**specification: Any) -> None:
        assert specification["supports_check_mode"]
        assert specification["argument_spec"]["api_key"]["no_log"]
        raise _StopsError

    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule", stop)
    with pytest.raises(_StopsError):
        importlib.import_module(f"ansible_collections.meshctl.headscale.plugins.modules.{name}").main()


# -- files


def test_secret_files_are_closed_and_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_secret(str(path), "one")
    assert path.stat().st_mode & 0o777 == 0o600
    inode = path.stat().st_ino
    write_secret(str(path), "two")
    assert path.stat().st_ino != inode
    assert read_secret(str(path)) == "two"
    assert list(tmp_path.iterdir()) == [path]
    assert read_secret(str(tmp_path / "none")) is None


def test_files_that_hold_something_else(tmp_path: Path) -> None:
    (tmp_path / "two-lines").write_text("a\nb\n")
    with pytest.raises(BadInput, match="more than one line"):
        read_secret(str(tmp_path / "two-lines"))
    with pytest.raises(BadInput, match="cannot be read"):
        read_secret(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "kept", "found"),
    [
        ({"id": "2", "prefix": None}, None, "2"),
        ({"id": "3", "prefix": "aaaaaaaaaaaa"}, None, None),
        ({"id": None, "prefix": "aaaaaaaaaaaa"}, None, "1"),
        ({"id": None, "prefix": None}, API_KEY, "2"),
        ({"id": None, "prefix": None}, None, None),
    ],
)
def test_a_key_is_chosen_by_its_id_its_prefix_or_its_file(
    options: dict[str, Any], kept: str | None, found: str | None
) -> None:
    records = [{"id": "1", "prefix": "aaaaaaaaaaaa"}, {"id": "2", "prefix": "A" * 12}]
    record = chosen(records, options, kept)
    assert (record and record["id"]) == found
