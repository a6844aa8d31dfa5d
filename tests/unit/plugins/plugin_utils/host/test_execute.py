# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a host's programs are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import execute


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Return directories of programs: the daemon's, meshctl's own, and the only one on the path of the connection."""
    found = {name: tmp_path / name for name in ("daemon", "ours", "path")}
    for place in found.values():
        place.mkdir()
    monkeypatch.setattr(execute, "_DIRECTORY", str(found["ours"]))
    monkeypatch.setenv("PATH", f"{found['path']}:/usr/bin:/bin")
    return found


def _program(place: Path) -> None:
    path = place / "mesh-program"
    path.write_text(f"#!/bin/sh\necho {place.name}; exit 1\n")
    path.chmod(0o755)


def _said(**request: object) -> str:
    answer = execute.main({"commands": [["mesh-program"]], **request})
    return str(answer["said"])


def test_programs_are_found_next_to_the_daemon_then_in_our_directory_then_on_the_path(places: dict[str, Path]) -> None:
    directories = [str(places["daemon"])]
    assert _said(directories=directories) == "mesh-program is not installed on the host"
    for name in ("path", "ours", "daemon"):
        _program(places[name])
        assert _said(directories=directories) == name
    assert _said() == "ours"


def test_a_host_without_a_path_has_the_usual_one(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    _program(places["ours"])
    assert _said() == "ours"
    assert execute.main({"commands": [["true"]]}) == {"ok": True}
