# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run directory of unknown origin: whatever its files are and hold, each command shows it or says what is wrong with it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import report_builder
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import CouldNotRun
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import (
    columns,
    compare,
    html,
    junit,
    merge,
    model,
    reading,
    rundir,
    text,
)
from hypothesis import given
from hypothesis import strategies as st
from meshctl_headscale import _reports
from meshctl_headscale._collect import archive
from meshctl_headscale._exit import MeshctlError
from meshctl_headscale._history import facts
from sample import examples

_GOOD: dict[str, Any] = json.loads(json.dumps(report_builder.failing().documents()[1]))
_GOOD["passed"] = _GOOD["passed"][:3]
_ODD = (
    None, True, -1, 10**18, 1e300, "", "x", "\ud800", "2026-99-99T99:99:99Z", "9999-12-31T23:59:59Z", [], {}, [[]], {"a": [1]},
    {"hosts": [1]}, [{}], [None],
)  # fmt: skip


def _reference() -> model.Report:
    return model.parse(json.loads(json.dumps(_GOOD)))


def _uses(report: model.Report) -> dict[str, Callable[[], object]]:
    """Return all that is made of a report."""
    other, console = _reference(), text.console()
    return {
        "html": lambda: html.render(report),
        "junit": lambda: junit.render(report),
        "digest": lambda: text.as_text(report, detail="digest", width=100),
        "checks": lambda: text.as_text(report, detail="checks", width=100),
        "merged": lambda: rundir._dump(merge.merge([other, report], run_id="x").documents()[1]),
        "merged first": lambda: merge.merge([report, other], run_id="x").documents(),
        "older": lambda: json.dumps(compare.compare(report, other).as_dict()),
        "newer": lambda: text.comparison(compare.compare(model.visible(other), model.visible(report)), console),
        "history": lambda: facts.read(report),
    }


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from _places(value[key], (*path, key))
    elif isinstance(value, list):
        for number in range(min(len(value), 2)):
            yield from _places(value[number], (*path, number))


def _changed(path: tuple[Any, ...], value: Any, *, missing: bool) -> Any:
    if not path:
        return value
    made = json.loads(json.dumps(_GOOD))
    place = made
    for key in path[:-1]:
        place = place[key]
    if missing:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made


def _try_all(directory: Path, content: str) -> None:
    file = directory / "report.json"
    file.write_text(content, encoding="utf-8")
    try:
        report = model.load(file)
    except CouldNotRun as error:
        assert str(file) in str(error)
        assert len(str(error)) < 1000
        return
    for use in _uses(report).values():
        with contextlib.suppress(CouldNotRun, model.BadInput):
            use()


@examples(40)
@given(path=st.sampled_from(list(_places(_GOOD))), value=st.sampled_from(_ODD), missing=st.booleans())
def test_any_value_anywhere(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[Any, ...], value: Any, missing: bool
) -> None:
    _try_all(tmp_path_factory.getbasetemp(), json.dumps(_changed(path, value, missing=missing)))


# Where the schema says nothing: the fields that the rows of a table have in common, and its columns.
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("value", [{"a": [1]}, [None], 1e300, True], ids=str)
@pytest.mark.parametrize("field", ["id", "verdict", "story", "at", "hint", "duration_ms", "expected", "target"])
def test_a_wrong_field_of_passed_checks(tmp_path: Path, field: str, value: Any, missing: bool) -> None:
    table = _GOOD["passed"][0]
    columns_left = [column for column in table["columns"] if column["of"] != [field]]
    check = {name: known for name, known in table["check"].items() if not (missing and name == field)}
    changed = {**table, "check": check if missing else {**check, field: value}, "columns": columns_left}
    _try_all(tmp_path, json.dumps({**_GOOD, "passed": [changed]}))


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "9" * 30, "9" * 5000])
@pytest.mark.parametrize("field", ["duration_ms", "expected", "observed"])
def test_a_number_that_is_none(tmp_path: Path, field: str, number: str) -> None:
    made = json.dumps({**_GOOD, "checks": [{**_GOOD["checks"][0], field: "NUMBER"}]}).replace('"NUMBER"', number)
    file = tmp_path / "report.json"
    file.write_text(made)
    with pytest.raises(CouldNotRun, match="is not JSON of a report") as caught:
        model.load(file)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("depth", [101, 480, 990, 100_000])
@pytest.mark.parametrize("one", ["[", '{"a":'])
def test_a_deep_value(tmp_path: Path, one: str, depth: int) -> None:
    deep = one * depth + "1" + ("]" if one == "[" else "}") * depth
    file = tmp_path / "report.json"
    file.write_text(json.dumps({**_GOOD, "inventory": {**_GOOD["inventory"], "deep": "DEEP"}}).replace('"DEEP"', deep))
    with pytest.raises(CouldNotRun, match="nested more than 100 levels deep"):
        model.load(file)


def _claims(rows: int, **fields: Any) -> dict[str, Any]:
    check = {**_GOOD["passed"][0]["check"], "source": "a", "target": "b", "at": "", "duration_ms": 1, **fields}
    return {"places": [[0, 1, rows]], "check": check, "columns": []}


@pytest.mark.parametrize(
    "tables",
    [
        [_claims(9_000_000)],
        [_claims(100_000)] * 90,
        [_claims(200_000, evidence={"a": {str(number): {} for number in range(1000)}})],
        [{**_claims(200_000), "columns": [{"of": ["hint"], "texts": [["a" * 99_000, "b"]]}]}],
    ],
    ids=["rows", "tables", "values", "text"],
)
def test_a_small_table_does_not_become_much(tmp_path: Path, tables: list[Any]) -> None:
    file = tmp_path / "report.json"
    file.write_text(json.dumps({**_GOOD, "checks": [], "passed": tables}))
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (3 << 30), hard))
    try:
        with pytest.raises(CouldNotRun, match="more than 50000000 values, or 1000000000 characters"):
            model.load(file)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_many_passed_checks_are_read() -> None:
    table = _claims(50_000)
    assert len(columns.decode([], [table])) == 50_000


def _pipe(file: Path) -> None:
    os.mkfifo(file)


def _socket(file: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(file.parent):
        listener.bind(file.name)


def _endless(file: Path) -> None:
    file.symlink_to("/dev/zero")


def _large(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(reading.LARGEST + 1)


@pytest.mark.parametrize("make", [_pipe, _socket, _endless, _large])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "report.json")
    with pytest.raises(CouldNotRun, match="cannot be read"):
        model.load(tmp_path)


@pytest.mark.parametrize("form", ["json", "junit", "html"])
@pytest.mark.parametrize("content", [b"\x1b]0;owned\x07\xc2\x9b31m\xe2\x80\xae", b"\xff\xfe"], ids=["escapes", "bytes"])
def test_a_file_of_a_run_is_not_printed_raw(tmp_path: Path, form: str, content: bytes) -> None:
    (tmp_path / _reports._FILES[form]).write_bytes(content)
    with contextlib.suppress(MeshctlError):
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(_reports.render(tmp_path, form))


def test_links_in_a_run_are_not_packed(tmp_path: Path) -> None:
    run, secret = tmp_path / "run", tmp_path / "diary"
    run.mkdir()
    secret.write_text("dear diary")
    (run / "report.json").symlink_to(secret)
    (run / "meshctl.log").write_text("a line")
    (tmp_path / "elsewhere" / "ansible").mkdir(parents=True)
    (tmp_path / "elsewhere" / "ansible" / "stdout").write_text("dear diary")
    (run / "artifacts").symlink_to(tmp_path / "elsewhere")
    assert dict(archive.texts(run, None)) == {"run/meshctl.log": "a line"}
