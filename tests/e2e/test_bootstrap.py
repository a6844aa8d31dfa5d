# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The README's one command, as far as it can be tried where everything is set up already."""

from __future__ import annotations

import os
import re
import resource
import subprocess
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import preflight

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
BOOTSTRAP = ROOT / "bootstrap"


def _bootstrap(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BOOTSTRAP), *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_every_use(tmp_path: Path) -> None:
    done = _bootstrap("--help", cwd=tmp_path)
    assert done.returncode == 0
    for words in ("run STORY", "test [KIND", "lint, unit, integration, e2e"):
        assert words in done.stdout


@pytest.mark.parametrize(("arguments", "words"), [(("test", "units"), "choose from"), (("--run",), "no option")])
def test_a_typing_error_is_named_before_anything_is_set_up(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    done = _bootstrap(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(
    not (ROOT / ".venv" / ".meshctl-stamp").exists(), reason="this checkout was not set up by bootstrap"
)
def test_with_nothing_to_do_it_is_quick_and_quiet(tmp_path: Path) -> None:
    assert _bootstrap(cwd=tmp_path).returncode == 0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = _bootstrap(cwd=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time, and not the clock's: other tests may run at the same time.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_it_installs_every_program_that_the_lab_asks_for() -> None:
    table = re.search(r"declare -A packages=\((.*?)\)", BOOTSTRAP.read_text(), re.DOTALL)
    assert table is not None
    installed = dict(re.findall(r"\[([\w-]+)\]=([\w-]+)", table[1]))
    assert set(preflight.PROGRAMS) - set(installed) == set()


def _function(name: str) -> str:
    found = re.search(rf"^{name}\(\) \{{.*?^\}}", BOOTSTRAP.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="installing packages needs root")
def test_packages_cannot_start_services_while_they_are_installed(tmp_path: Path) -> None:
    """An apt-get that tries to start a service reaches `true`; the machine's own program is back at once."""
    starter = Path("/usr/sbin/invoke-rc.d")
    before = starter.read_bytes()
    (tmp_path / "apt-get").write_text(f'#!/bin/sh\ncmp -s {starter} /bin/true && echo "replaced for $*"\n')
    (tmp_path / "apt-get").chmod(0o755)
    script = f'as_root() {{ "$@"; }}\n{_function("quiet_apt")}\nquiet_apt install it\n'
    done = subprocess.run(
        ["bash", "-euc", script],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "replaced for install it\n"
    assert starter.read_bytes() == before
    assert not Path("/usr/sbin/policy-rc.d.meshctl").exists()
