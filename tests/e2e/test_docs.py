# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every command of the documentation, page by page, in an empty directory and with labs of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pages
import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _paths

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
# The README speaks to people only: what is not run of it, and why, stands here. Other pages say it in a comment.
README = {
    "./bootstrap run us1": "test_bootstrap.py and CI run it: it sets up what these tests run in",
    "./bootstrap test": "it runs these tests",
    "source .venv/bin/activate": "these tests run in an environment that has meshctl",
}
Shell = Callable[[str], subprocess.CompletedProcess[str]]


def _commands(page: Path) -> list[pages.Block]:
    return [block for block in pages.blocks(page) if block.commands or block.what == "file"]


PAGES = [page for page in pages.pages() if any(block.commands and block.what != "not run" for block in _commands(page))]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Return what runs a line as a person would type it; nothing that it has built is left."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MESHCTL_"))}
    # Where the sources are the lab's own directories: the programs are those that stand in the cache.
    environment = {
        **kept,
        "MESHCTL_CACHE_DIR": str(_paths.cache_dir()),
        "MESHCTL_STATE_DIR": str(tmp_path / "state"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NO_COLOR": "1",
    }
    work = tmp_path / "work"
    work.mkdir()

    def run(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    yield run
    labs = tmp_path / "state" / "labs"
    # What begins with a dot is a lab's lock.
    for lab in sorted(labs.glob("[!.]*")):
        run(f"meshctl down --lab {lab.name}")


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_commands_of_a_page_do_what_it_says(page: Path, shell: Shell, tmp_path: Path) -> None:
    ran = 0
    for block in _commands(page):
        if block.what == "file":
            (tmp_path / "work" / block.value).write_text(block.body)
            continue
        expected = int(block.value) if block.what == "exit code" else 0
        for number, line in enumerate(block.commands, start=1):
            if block.what == "not run" or (page.name == "README.md" and line in README):
                continue
            if "meshctl report" in line and not ran:
                # A page about reports begins where there is one.
                assert shell("meshctl run us2").returncode == 0
            done = shell(line)
            last = number == len(block.commands)
            wanted = expected if last else 0
            where = f"{page.relative_to(ROOT)}:{block.line}: {line}"
            assert done.returncode == wanted, f"{where}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            assert "Traceback" not in done.stdout + done.stderr, where
            ran += 1
    assert ran


def test_what_is_not_run_of_the_readme_stands_in_it() -> None:
    commands = {line for block in pages.blocks(ROOT / "README.md") for line in block.commands}
    assert set(README) - commands == set()


def test_the_inventory_of_the_readme_is_one(shell: Shell, tmp_path: Path) -> None:
    (block,) = [block for block in pages.blocks(ROOT / "README.md") if block.language == "yaml"]
    assert yaml.safe_load(block.body)["all"]["vars"]["mesh_backend"] == "lab"
    (tmp_path / "work" / "mine.yml").write_text(block.body)
    done = shell("meshctl up -i mine.yml")
    assert done.returncode == 0, done.stdout + done.stderr
