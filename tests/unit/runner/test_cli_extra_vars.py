# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Extra variables: what is wrong with them is said without their values, which may be secret."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn

import pytest
from meshctl_headscale import _inventory, _options, _play, _run
from meshctl_headscale._exit import BadInputError, MeshctlError
from meshctl_headscale.cli import app
from typer.testing import CliRunner


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("SECRET", "A value of -e is not an extra variable: write key=value, a JSON object, or @file."),
        ("=SECRET", "-e =… is not an extra variable: a name consists of letters, digits and underscores."),
        ("a-b=SECRET", "-e a-b=… is not an extra variable: a name consists of letters, digits and underscores."),
        ('{"a": "SECRET"', "-e is not JSON: Expecting ',' delimiter: line 1 column 15 (char 14)."),
        ('{"a":' * 20_000, "-e is not JSON: it is nested too deeply."),
        ("lab_name= ", "-e lab_name is empty: give it a value, or leave it out."),
        ('{"lab_name": null}', "-e lab_name is empty: give it a value, or leave it out."),
    ],
)
def test_what_is_wrong_with_an_extra_variable_is_said_without_its_value(given: str, message: str) -> None:
    with pytest.raises(BadInputError) as refused:
        _run.parse_extra_vars([given])
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ('{"a": "two words"}', ({"a": "two words"}, [])),
        (" @my vars.yml ", ({}, ["my vars.yml"])),
        ("@v.yml @w.yml a=b", ({"a": "b"}, ["v.yml", "w.yml"])),
        ("a=b c=d", ({"a": "b", "c": "d"}, [])),
        ('{"a": "SECRET word"', "MESHCTL_EXTRA_VARS is not JSON: Expecting ',' delimiter: line 1 column 20"),
        ("a=two SECRET", "A word of MESHCTL_EXTRA_VARS is not an extra variable: .* Spaces separate variables;"),
        ("a-b=SECRET", "a-b=… in MESHCTL_EXTRA_VARS is not an extra variable"),
        ("@nowhere a=b", "There is no file .*nowhere for @nowhere in MESHCTL_EXTRA_VARS"),
        ("lab_name=", "lab_name in MESHCTL_EXTRA_VARS is empty"),
    ],
)
def test_extra_variables_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, taken: tuple[dict[str, str], list[str]] | str
) -> None:
    for name in ("my vars.yml", "v.yml", "w.yml"):
        (tmp_path / name).write_text("x: 1")
    found = list[object]()

    def play(request: _play.Request, **_more: object) -> NoReturn:
        found.append((dict(request.extra_vars), [path.name for path in request.extra_files]))
        raise MeshctlError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_run, "play", play)
    done = CliRunner().invoke(app, ["run", "us1", "-i", "a,"], env={"MESHCTL_EXTRA_VARS": given})
    if isinstance(taken, str):
        assert isinstance(done.exception, BadInputError)
        assert re.search(taken, str(done.exception))
        assert "SECRET" not in str(done.exception)
    else:
        assert found == [taken]
    CliRunner().invoke(app, ["run", "us1", "-i", "a,", "-e", "lab_name=x"], env={"MESHCTL_EXTRA_VARS": given})
    assert found[-1] == ({"lab_name": "x"}, [])
    assert not _options.Given.extra_vars_in_environment


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lab_name: ''", "lab_name is empty: give it a value"),
        ("lab_name:", "lab_name is empty: give it a value"),
        ("a: 1\nb: {c: 1, c: 2}", r"c occurs twice \(line 2 and line 2\), and only the last"),
        ('{"a": 1,\n\t"b": {"c": 1,\n\t"c": 2}}', r"c occurs twice \(line 2 and line 3\), and only the last"),
        ('{"a": "\x7f", "b"\n: 1, "b": 2}', r"b occurs twice, and only the last"),
        ("x: &x {a: 1}\ny: &y {<<: *x, b: 2, b: 3}\nz: {<<: *y}", r"b occurs twice \(line 2 and line 2\), and only"),
        ("z: {<<: {b: 2, b: 3}}", r"b occurs twice \(line 1 and line 1\), and only"),
        ("a: 1\npw: *SECRET", r"is not YAML or JSON \(line 2\): write one"),
        ("a: 1\nday: 2024-13-45", r"is not YAML or JSON \(line 2\): write one"),
        ("", "has no variables: write one"),
        ("# nothing yet", "has no variables: write one"),
    ],
)
def test_what_is_wrong_with_a_file_of_variables_is_said_without_its_values(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "v.yml"
    file.write_text(text)
    with pytest.raises(BadInputError, match=rf"^The file {file} for -e @{file}:? {message}") as refused:
        _run.parse_extra_vars([f"@{file}"])
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "x: &x {a: 1}\ny:\n  z: &z {<<: *x, a: 2}\nw: {<<: *z}\n",
        "x: &x {a: 1}\ny:\n  z: &z {<<: [*x, *x]}\nw: {<<: *z, a: 3}\n",
        '{\n\t"a": 1,\n\t"b": {"c": "\\t"}\n}\n',
    ],
    ids=["merged over", "merged twice", "tabs"],
)
def test_a_file_of_variables_that_ansible_takes_is_taken(tmp_path: Path, text: str) -> None:
    file = tmp_path / "v.yml"
    file.write_text(text)
    assert _run.parse_extra_vars([f"@{file}"]) == ({}, [file])


@pytest.mark.parametrize("origin", ["{}", "{}:1:2"])
def test_a_file_of_variables_that_ansible_cannot_read_is_named(tmp_path: Path, origin: str) -> None:
    files = [tmp_path / "a.yml", tmp_path / "b.yml"]
    said = (
        "Failed to parse inventory with 'yaml' plugin.\n\n<<< caused by >>>\n\nno secrets found.\n"
        f"Origin: {origin.format(files[1])}\n\n[ERROR]: Completely failed to parse inventory source /x.yml\n"
    )
    assert str(_inventory.refusal(said, "/x.yml", files)).startswith(
        f"The file of variables {files[1]} cannot be read: no"
    )
    assert str(_inventory.refusal(said, "/x.yml", files[:1])).startswith("The inventory /x.yml cannot be read: no")
    files[1].write_text("$ANSIBLE_VAULT;1.1;AES256\n61\n")
    assert str(_inventory.refusal(said, "/x.yml", files)).startswith(
        f"The file of variables {files[1]} is encrypted with"
    )
