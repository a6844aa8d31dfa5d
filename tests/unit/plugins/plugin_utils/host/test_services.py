# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services of the lab's machines: what is said to s6, and when."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import apply
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.apply import managers

# As s6 2.11 is: it listens at once, and has a status some time after s6-svscan was told to look.
_S6 = {
    "s6-svscanctl": 'touch "$STATE/told"',
    "s6-svok": "true",
    "s6-svstat": (
        '[ -e "$STATE/told" ] || exit 1; echo >>"$STATE/looks"; [ "$(wc -l <"$STATE/looks")" -gt 3 ] || exit 1\n'
        '[ "$1" = -o ] && echo false || touch "$STATE/status"'
    ),
    "s6-svc": '[ -e "$STATE/status" ] || { echo "s6-svlisten1: fatal: unable to s6_svstatus_read" >&2; exit 111; }',
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in _S6.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("STATE", str(tmp_path))
    for name in ("home", "scan", "logs"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(managers, "_S6_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(managers, "_S6_SCAN", str(tmp_path / "scan"))
    monkeypatch.setattr(managers, "_LOGS", str(tmp_path / "logs"))
    return tmp_path


def _start() -> dict[str, object]:
    answer: dict[str, object] = apply.main(
        {"name": "it", "command": ["/bin/true"], "manager": "s6", "state": "started"}
    )
    return answer


def test_service_is_started_only_once_it_has_a_status(machine: Path) -> None:
    answer = _start()
    assert not answer.get("failed"), answer
    assert (machine / "scan" / "it").is_symlink()


def test_service_whose_start_was_cut_off_after_the_link_is_taken_up(machine: Path) -> None:
    (machine / "home" / "it").mkdir()
    (machine / "scan" / "it").symlink_to(machine / "home" / "it")
    answer = _start()
    assert not answer.get("failed"), answer
    assert (machine / "told").exists()
