# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines of a service's log that are asked for, and how far back they were looked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import service


def _log(path: Path) -> dict[str, object]:
    found: dict[str, object] = service.log({"paths": [str(path)], "unit": "x", "words": ["start"]}, 1e9)
    return found


@pytest.mark.parametrize(
    ("written", "since", "lines"),
    [
        (["1 begin", "2 start", "3 more", "4 end"], "1 begin", ["2 start", "4 end"]),
        # Only the end of a long file is read, from the middle of a line on.
        ([f"{number} {'x' * 92}" for number in range(10000, 12000)], f"11339 {'x' * 74}", [f"11999 {'x' * 92}"]),
        ([f"{number} start" for number in range(60)], "19 start", [f"{number} start" for number in range(19, 60)]),
        (["x" * 70_000], "x" * 80, ["x" * 1000]),
        ([], "", []),
    ],
    ids=["whole", "long", "many lines", "one line", "empty"],
)
def test_lines_and_where_the_search_began(tmp_path: Path, written: list[str], since: str, lines: list[str]) -> None:
    path = tmp_path / "current"
    path.write_text("".join(f"{line}\n" for line in written), encoding="utf-8")
    assert _log(path) == {"from": str(path), "since": since, "lines": lines}
