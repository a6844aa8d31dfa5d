# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the kinds of tests that `./bootstrap test` names, then print how long each took and the slowest tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from junitparser import JUnitXml

ROOT = Path(__file__).resolve().parents[1]
COLLECTION = ROOT / "collection/ansible_collections/meshctl/headscale"
RESULTS = ROOT / "build/tests"
SLOWEST = 10
# A file shares its labs, so it stays on one worker. The longest first, in the order of a directory's conftest.py.
SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
# Labs spend most of their time waiting, so four workers fit on two cores.
LABS_SIDE_BY_SIDE = ("-n", "4", *SIDE_BY_SIDE[2:])


@dataclass(frozen=True)
class Kind:
    """One kind of tests: commands that all run, even when an earlier one fails."""

    commands: tuple[tuple[str, ...], ...]
    at_once: int = 1
    """How many of the commands run side by side; the output of each is then shown when it ends."""
    needs_binaries: bool = False
    environment: dict[str, str] = field(default_factory=dict)


def _pytest(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)


KINDS: dict[str, Kind] = {
    # The quick ones first.
    "lint": Kind(at_once=2, commands=(
        ("ansible-lint", "-q"),
        ("mypy",),
        ("ruff", "check", "--output-format", "concise"),
        ("ruff", "format", "--check"),
        ("yamllint", "--strict", "."),
        (sys.executable, "docs/.site/prose.py"),
        ("mkdocs", "build", "--quiet", "--strict"),
        ("env", f"--chdir={COLLECTION}", "antsibull-changelog", "lint"),
    ), environment={"ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collection"), "NO_MKDOCS_2_WARNING": "1"}),
    # Many of them wait, so three workers fit on two cores.
    "unit": Kind((_pytest("tests/unit", "--ignore", "tests/unit/nix", "-n", "3"),)),
    "integration": Kind(
        (_pytest("tests/integration", "-m", "not libvirt and not slow", *LABS_SIDE_BY_SIDE),), needs_binaries=True
    ),
    "e2e": Kind((_pytest("tests/e2e", "-m", "not slow", *LABS_SIDE_BY_SIDE),), needs_binaries=True),
    "matrix": Kind((_pytest("tests/matrix", *SIDE_BY_SIDE),), needs_binaries=True),
    "nix": Kind((_pytest("-rs", "tests/unit/nix"),), environment={"MESHCTL_NIX_TOOLS": "required"}),
    "libvirt": Kind((_pytest("-rs", "tests/integration", "-m", "libvirt"),), needs_binaries=True),
    # Each takes minutes: kills at every moment, 50 nodes, more faults, the plain script, the commands of the docs.
    "slow": Kind((_pytest("tests/integration", "tests/e2e", "-m", "slow and not libvirt"),), needs_binaries=True),
}  # fmt: skip


def main(kinds: list[str]) -> int:
    """Run the kinds in this order; return the exit code."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    summary: list[tuple[str, bool, float]] = []
    for kind in kinds:
        print(f"\n=== {kind}", flush=True)
        began = time.monotonic()
        passed = _run(kind)
        summary.append((kind, passed, time.monotonic() - began))
    _print_slowest(kinds)
    print("\n=== summary")
    for kind, passed, seconds in summary:
        print(f"{kind:<12} {'passed' if passed else 'FAILED':<7} {seconds:4.0f} s")
    print(f"{'all':<12} {'':<7} {sum(seconds for *_, seconds in summary):4.0f} s")
    return 0 if all(passed for _, passed, _ in summary) else 1


def _run(name: str) -> bool:
    kind = KINDS[name]
    environment = {**os.environ, **kind.environment}
    # Built before the first test, so that no test waits minutes for them.
    if kind.needs_binaries and not _binaries():
        return False
    with ThreadPoolExecutor(kind.at_once) as pool:
        results = pool.map(lambda command: _command(name, command, environment), kind.commands)
        return all([*results])


def _binaries() -> bool:
    module = "ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries"
    return subprocess.run([sys.executable, "-m", module], stdout=subprocess.DEVNULL, check=False).returncode == 0


def _command(kind: str, command: tuple[str, ...], environment: dict[str, str]) -> bool:
    if "pytest" in command:
        command = (*command, f"--junitxml={RESULTS / kind}.xml")
    if kind == "libvirt" and os.geteuid():
        command = _as_root(command)
    shown = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if KINDS[kind].at_once > 1 else {}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, text=True, check=False, **shown
    )  # fmt: skip
    print(done.stdout or "", end="", flush=True)
    return done.returncode == 0


def _as_root(command: tuple[str, ...]) -> tuple[str, ...]:
    # The cache stays this user's, so that nothing is built twice.
    cache = os.environ.get("MESHCTL_CACHE_DIR") or f"{os.environ.get('XDG_CACHE_HOME', Path.home() / '.cache')}/meshctl"
    kept = (f"PATH={os.environ['PATH']}", f"MESHCTL_CACHE_DIR={cache}", "PYTHONDONTWRITEBYTECODE=1")
    return ("sudo", "env", *kept, *command)


def _print_slowest(kinds: list[str]) -> None:
    cases = [
        (case.time or 0.0, kind, f"{case.classname}::{case.name}")
        for kind in kinds
        if (path := RESULTS / f"{kind}.xml").exists()
        for suite in JUnitXml.fromfile(str(path))
        for case in suite
    ]
    if not cases:
        return
    print(f"\n=== the {SLOWEST} slowest tests")
    for seconds, kind, name in sorted(cases, reverse=True)[:SLOWEST]:
        print(f"{seconds:6.1f} s  {kind:<12} {name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
