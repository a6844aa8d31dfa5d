# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An anonymous archive is made of any report and any answer: names are replaced where there are some, whatever else there is."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from meshctl_headscale._collect import archive

_DEEP = json.loads("[" * 900 + '{"HostName": "hidden-name"}' + "]" * 900)


@pytest.mark.parametrize(
    "topology",
    [
        [], None, "x", 1, {"hosts": []}, {"hosts": "x"}, {"hosts": {"hidden-name": []}}, {"hosts": {"hidden-name": None}},
        {"hosts": {"a": {"names": 1}}}, {"hosts": {"a": {"names": "abc"}}}, {"hosts": {"a": {"names": [[], {}, None]}}},
        {"hosts": {"a": {"router": {}, "subnet": [1], "mesh_name": 2}}}, {"hosts": {"": {"names": [""]}}},
    ],
    ids=str,
)  # fmt: skip
def test_a_report_of_any_shape_is_packed(tmp_path: Path, topology: object) -> None:
    run = tmp_path / "run"
    run.mkdir()
    report: dict[str, Any] = {"topology": topology, "HostName": "hidden-name"}
    (run / "report.json").write_text(json.dumps(report), encoding="utf-8")
    assert "hidden-name" not in _packed(tmp_path, run)


@pytest.mark.parametrize(
    "report", [[], 1, "hidden-name", None, [[{"HostName": "hidden-name"}]], _DEEP], ids=lambda _: ""
)
def test_a_document_of_any_shape_is_packed(tmp_path: Path, report: object) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (run / "meshctl.log").write_text(
        "hidden-name answers\n" if isinstance(report, list) and report else "", encoding="utf-8"
    )
    packed = _packed(tmp_path, run)
    assert report == "hidden-name" or "hidden-name" not in packed


def _packed(directory: Path, run: Path) -> str:
    """Return the texts of the anonymous archive of a run."""
    output = directory / "evidence.tar.gz"
    archive.pack(dict(archive.texts(run, None)), output, anonymous=True)
    with tarfile.open(output) as packed:
        files = [packed.extractfile(member) for member in packed.getmembers()]
        return "\n".join(file.read().decode() for file in files if file)
