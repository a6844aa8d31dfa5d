# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a drill refuses before it begins, and the line that it prints for each fault."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from meshctl_headscale import faults
from meshctl_headscale.cli import app
from typer.testing import CliRunner


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none/figures.json", "does not exist"),
        ("", "is a directory"),
        ("other.yml", "is not a file of a drill's figures"),
        ("new.json", "drilled"),
        ("old.json", "drilled"),
    ],
)
def test_a_file_of_figures_is_checked_before_the_drill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    def run(*_arguments: object) -> NoReturn:
        raise RuntimeError("drilled")

    monkeypatch.setattr(faults, "_run", run)
    (tmp_path / "other.yml").write_text("all: {}")
    (tmp_path / "old.json").write_text("{}")
    done = CliRunner().invoke(app, ["faults", "drill", "--fault", "loss-30", "--write", str(tmp_path / name)])
    assert said in str(done.exception)


def test_addresses_stay_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    said = "printer sees fd00:a::20 [bold]"
    outcome = {
        "id": "router-wrong-source-overlapped", "caught": True, "named": False, "false_alarms": [said], "recovered": True, "good": False,
        "seconds": 1.0, "expected": "red", "problems": [], "hints": [said],
    }  # fmt: skip
    show = faults._progress()
    show({"event": "runner_item_on_ok", "event_data": {"res": {"outcome": outcome}}})
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("router-wrong-source-overlapped  caught")
    assert lines[1:] == [f"    {said}"] * 2
