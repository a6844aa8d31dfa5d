# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests with real programs share."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import longest
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries import PROGRAMS, BinariesError, Sources, find
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import preflight

from .lab_driver import LabDriver, Machine, make_machine, standing, wait_for
from .own_hosts import settled

# Each takes minutes.
LONGEST_FIRST = (
    "test_own_hosts",
    "test_faults",
    "test_awx",
    "test_soak",
    "test_hostile_host",
    "test_watch",
    "test_doctor_mesh",
    "test_policy",
    "test_doctor_server",
    "test_lab_lines",
    "test_lab_failures",
    "test_two_users",
    "test_policy_story",
    "test_routes",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files."""
    longest.first(items, LONGEST_FIRST)


def pytest_configure() -> None:
    """Have a test run that is told to end take its labs down first."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _cannot(reason: str) -> NoReturn:
    """Skip on a developer's machine; in continuous integration a test that cannot run is a failed one."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def programs() -> dict[str, Path]:
    """Return the real headscale, tailscale, tailscaled and derper: from the cache, else built."""
    try:
        found = find(PROGRAMS, sources=Sources.from_environment(), progress=lambda _text: None)
    except BinariesError as exc:
        _cannot(f"no mesh programs: {exc}")
    return {name: Path(program.path) for name, program in found.items()}


@pytest.fixture(scope="session")
def lab_possible() -> None:
    """Skip where this machine cannot run a lab."""
    missing = [finding for finding in preflight.examine() if finding.verdict == "fail"]
    if missing:
        _cannot("; ".join(f"{finding.what}: {finding.remedy}" for finding in missing))


def _machine(programs: dict[str, Path], *, ordinary: bool) -> Iterator[Machine]:
    made = make_machine(programs, ordinary=ordinary)
    yield made
    labs = made.state_dir / "labs"
    left = [entry.name for entry in labs.iterdir()] if labs.is_dir() else []
    shutil.rmtree(made.home)
    assert not left, f"labs were left: {left}"


@pytest.fixture(scope="session")
def machine(programs: dict[str, Path], lab_possible: None) -> Iterator[Machine]:
    """Return the user who runs the tests, with directories of its own."""
    yield from _machine(programs, ordinary=False)


@pytest.fixture(scope="session")
def ordinary(programs: dict[str, Path], lab_possible: None) -> Iterator[Machine]:
    """Return an ordinary user with an accessible /dev/net/tun."""
    yield from _machine(programs, ordinary=True)


@pytest.fixture(scope="session", params=["own", "ordinary"])
def user(request: pytest.FixtureRequest) -> Machine:
    """Return root and then an ordinary user; the same test holds for both."""
    if request.param == "ordinary" and os.geteuid():
        pytest.skip("the tests run as an ordinary user already")
    found: Machine = request.getfixturevalue("machine" if request.param == "own" else "ordinary")
    return found


@pytest.fixture
def new_lab(machine: Machine) -> Iterator[Callable[..., LabDriver]]:
    """Return a maker of labs that are taken down after the test."""
    made: list[LabDriver] = []

    def make(**arguments: object) -> LabDriver:
        made.append(LabDriver(**{"machine": machine, **arguments}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for driver in made:
        with standing(driver):
            pass


@pytest.fixture(scope="session")
def mesh(user: Machine) -> Iterator[LabDriver]:
    """Return the seed mesh, which tests only look at."""
    with standing(LabDriver(user)) as driver:
        driver.play("up.yml").succeeded()
        yield driver


@pytest.fixture(scope="session")
def bare(machine: Machine) -> Iterator[LabDriver]:
    """Return the seed lab without a mesh: machines, routers and lines, which tests only look at."""
    with standing(LabDriver(machine)) as driver:
        driver.build().succeeded()
        yield driver


@pytest.fixture(scope="module")
def own_lab(machine: Machine) -> Iterator[LabDriver]:
    """Return a mesh whose machines the tests of one file may turn into existing hosts, and deploy anew."""
    with standing(LabDriver(machine)) as driver:
        driver.play("up.yml").succeeded()
        wait_for(lambda: settled(driver), "the mesh is there")
        yield driver
