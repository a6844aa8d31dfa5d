# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers that are valid and large: judges and findings take time in proportion to them, and checks stay small."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import healthy_mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.action.client_info import describe
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.summary import summary
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor import config_text, log_lines
from ansible_collections.meshctl.headscale.plugins.plugin_utils._evidence import files
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.brief import brief
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import pairs, visible
from doctor import CONFIG, JSON, examine_client, examine_server, node
from hypothesis import given
from hypothesis import strategies as st
from meshctl_headscale import _events
from meshctl_headscale._collect import archive, pseudonyms
from sample import examples

_LONG = 200_000
_RELAY = {"HostName": "relay.example.com", "IPv4": "203.0.113.9", "DERPPort": 8443, "STUNPort": 3478}
_CLIENT: dict[str, Any] = {
    "status": {"BackendState": "Running", "Health": ["could not connect to the x relay server"],
               "Self": {"PublicKey": "nodekey:1", "DNSName": "a.mesh.internal.", "TailscaleIPs": ["100.64.0.1"], "Relay": "home"},
               "Peer": {"nodekey:2": {"HostName": "b", "TailscaleIPs": ["100.64.0.2"], "Online": True}}},
    "prefs": {"ControlURL": "https://h", "AdvertiseRoutes": ["10.0.0.0/8"]},
    "derpmap": {"Regions": {"1": {"RegionCode": "home", "Nodes": [_RELAY]}}},
    "addresses": [{"name": "tailscale0", "up": True, "addresses": ["100.64.0.1/32"]}],
    "server": [{"url": "https://h/health", "outcome": "answered", "status": 200, "body": "x", "headers": {"server": "nginx"}}],
}  # fmt: skip
_SERVER: dict[str, Any] = {
    "nodes": {"nodes": [node(1, "a", availableRoutes=["10.0.0.0/8"], tags=["tag:x"]), node(2, "b", online=False)]},
    "log": {"lines": ["2026-11-22T22:03:42Z FTL github.com/juanfont/headscale/hscontrol/app.go:1 > failed to connect to `x"]},
}  # fmt: skip
_JUDGES: dict[str, tuple[Any, Callable[[Any], list[Check]]]] = {
    **healthy_mesh.CASES,
    "doctor.client": (_CLIENT, lambda data: examine_client(data, server_url="https://h")),
    "doctor.server": (_SERVER, examine_server),
    "doctor.server.down": ({"log": _SERVER["log"], "listening": []}, examine_server),
}


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, entry in inner for found in _places(entry, (*path, key)))]


def _larger(value: Any) -> Any:
    """Return a hostile value in place of one."""
    if isinstance(value, str):
        return value + " github.com/could not connect to the " * (_LONG // 37)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return 1e308
    return value * (4000 // len(value)) if isinstance(value, list) and value else value


def _replaced(value: Any, path: tuple[Any, ...]) -> Any:
    if not path:
        return _larger(value)
    inner = _replaced(value[path[0]], path[1:])
    if isinstance(value, dict):
        return {**value, path[0]: inner}
    return [*value[: path[0]], inner, *value[path[0] + 1 :]]


@pytest.mark.parametrize("name", list(_JUDGES))
def test_one_large_field_costs_little_and_leaves_small_checks(name: str) -> None:
    answer, judge = _JUDGES[name]
    for where in _places(answer):
        began = time.process_time()
        made = summary(judge(_replaced(answer, where)))
        assert time.process_time() - began < 4, where
        few = len(made["checks"]) < 1000
        assert few or where[-1] == "nodes", where
        assert max(len(json.dumps(check)) for check in made["checks"]) < 1_000_000, where
        assert len(made["msg"]) < 100_000, where


@examples(30)
@given(st.dictionaries(st.sampled_from(["id", "hint", "observed", "evidence"]), JSON))
def test_a_small_check_stays_as_it_is(check: dict[str, Any]) -> None:
    assert repr(brief(check)) == repr(visible.data(check))


def test_a_large_check_says_what_is_missing() -> None:
    found = brief(
        {"hint": "x" * 5000, "observed": ["y" * 1000] * 100, "evidence": {str(n): "z" * 1000 for n in range(100)}}
    )
    assert found["hint"].endswith("x… (1000 more characters)")
    assert found["observed"][-1] == "… 36 more"
    assert found["evidence"]["…"] == "37 more"


def test_a_failed_task_acts_on_no_terminal() -> None:
    acts = "\x1b]0;x\x07\x9b31m\u202e\u200f\u2028\U000e0041"
    fields = {"source": acts, "target": acts, "verdict": "failed", "expected": [acts], "observed": {acts: acts}}
    made = summary([Check(id="a.b", story="a", assertion="b", hint=f"日本\u3000語 {acts}", **fields)])
    shown = json.dumps(made, ensure_ascii=False)
    assert not set(acts) & set(shown) - set("]0;x31m")
    assert "日本\u3000語" in shown


def test_facts_of_a_client_stay_small() -> None:
    huge = ["A" * 100_000] * 50 + [f"100.64.{n // 250}.{n % 250}" for n in range(5000)]
    me = dict.fromkeys(("PublicKey", "ID", "HostName", "DNSName", "Relay"), "B" * 1_000_000)
    fact = describe(
        {"BackendState": "C" * 1_000_000, "Health": huge, "Self": {**me, "Addrs": huge, "TailscaleIPs": huge}}
    )
    assert len(json.dumps(fact)) < 100_000


@pytest.mark.parametrize("unit", ["github.com/", "github.com/ > ", "a", "1-", "1-1 ", " ", "\x1b[0;", "\x1b["])
def test_lines_of_a_log_are_read_in_linear_time(unit: str) -> None:
    line = unit * (2_000_000 // len(unit))
    began = time.process_time()
    log_lines.without_time(line)
    log_lines.without_places(line)
    assert time.process_time() - began < 1


def test_a_line_of_a_log_loses_its_time_and_place() -> None:
    line = "2026-11-22 22:03:42.1 2026-11-22T22:03:42Z \x1b[31mFTL\x1b[0m github.com/juanfont/headscale/app.go:1 > no > database"
    assert log_lines.without_time(line) == "FTL no > database"


@pytest.mark.parametrize(
    ("text", "raised"),
    [
        ("prefixes: &a {v4: *a}", BadInput),
        ("&a [*a]", BadInput),
        (
            "a: &a [x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\n"
            + "d: ["
            + "*c, " * 200
            + "]",
            BadInput,
        ),
        ("a: " + "x" * (1 << 20), BadInput),
        ("? [a]\n: b", BadInput),
        ("[" * 5000, ValueError),
        ("a: [", ValueError),
        ("- a", ValueError),
        ("", ValueError),
    ],
    ids=["refers to itself", "also", "aliases", "large", "key", "deep", "broken", "list", "empty"],
)
def test_an_odd_configuration_is_refused(text: str, raised: type[Exception]) -> None:
    began = time.process_time()
    with pytest.raises(raised, match=r"c\.yaml"):
        config_text.read(text, "c.yaml")
    assert time.process_time() - began < 4


def test_a_configuration_is_plain_data() -> None:
    text = (
        "a: 2026-01-01\nb: !!binary aGk=\nc: !!set {x}\n1: 2\n2026-01-02: d\ne: !!python/object/apply:os.system [id]\n"
    )
    found = config_text.read(text, "c.yaml")
    assert found == {"a": "2026-01-01", "b": "aGk=", "c": {"x": None}, "1": 2, "2026-01-02": "d", "e": ["id"]}
    json.dumps(config_text.read(CONFIG + text, "c.yaml"))


_OBSERVATION = JSON | st.fixed_dictionaries({"ok": st.just(True), "data": JSON})
_OBSERVATIONS = JSON | st.dictionaries(st.sampled_from(["status", "../x", "missing.json"]), _OBSERVATION)


@given(JSON | st.fixed_dictionaries({"observations": _OBSERVATIONS, "failure": JSON}))
def test_evidence_of_any_shape_is_written(tmp_path_factory: pytest.TempPathFactory, answer: Any) -> None:
    directory = tmp_path_factory.mktemp("evidence")
    assert set(files.write(answer, ["status", "prefs"], directory / "host")) <= {
        "status.json", "status.txt", "prefs.json", "prefs.txt", "missing.json",
    }  # fmt: skip
    assert [path.name for path in directory.iterdir()] == ["host"]


def test_a_host_does_not_choose_how_many_files_there_are(tmp_path: Path) -> None:
    answer = {"observations": {str(number): {"ok": True, "data": {}} for number in range(50_000)}}
    assert files.write(answer, ["status"], tmp_path) == ["missing.json"]


def _anonymous(tmp_path: Path, found: dict[str, str]) -> str:
    archive.pack(found, tmp_path / "a.tar.gz", anonymous=True)
    import tarfile

    with tarfile.open(tmp_path / "a.tar.gz") as opened:
        return "".join(opened.extractfile(member).read().decode() for member in opened)  # type: ignore[union-attr]


def test_many_names_are_replaced_in_linear_time(tmp_path: Path) -> None:
    names = [f"secret-{number}" for number in range(30_000)]
    began = time.process_time()
    made = _anonymous(
        tmp_path, {"hosts/a/status.json": json.dumps([{"HostName": name} for name in names]), "b.txt": " ".join(names)}
    )
    assert time.process_time() - began < 15
    assert "secret-" not in made


@pytest.mark.parametrize("unit", ["a", "a.", "@", "a@", "1.1.1.1-", ":", "a:", "nodekey:", "00:"])
def test_names_and_addresses_are_found_in_linear_time(unit: str) -> None:
    began = time.process_time()
    pseudonyms.Pseudonyms({"abc": "host"}).text(unit * (200_000 // len(unit)))
    assert time.process_time() - began < 3


def test_a_document_whose_names_are_not_known_is_left_out(tmp_path: Path) -> None:
    cut = json.dumps([{"HostName": "secret-host"}])[:-1]
    made = _anonymous(tmp_path, {"hosts/a/status.json": cut})
    assert "secret-host" not in made
    assert "Left out: it is not a complete JSON document" in made


@pytest.mark.parametrize("name", ["²", "9" * 6000, "node-10", "٣"])
def test_nodes_of_any_name_have_an_order(name: str) -> None:
    assert sorted(["node-2", name, "a"], key=pairs._natural)


def test_a_long_error_has_a_first_sentence() -> None:
    began = time.process_time()
    said = _events._error("first" + " " * 200_000 + "second\n\nTraceback (most recent call last)")
    assert time.process_time() - began < 2
    assert said == "first second"
