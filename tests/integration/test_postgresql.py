# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Headscale on Debian's PostgreSQL: it works, and the doctor says what keeps it from starting."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._api import HeadscaleAPI
from doctor import examine_server, problems

from .api_fixtures import RealHeadscale, find_program, free_ports, running
from .broken_mesh import CONFIG, SERVER, BrokenMesh, roots
from .lab_driver import LabDriver, Machine, standing, wait_for

pytestmark = pytest.mark.integration
_PASSWORD, _BLANKS = "the-password-of-the-test", "a password with blanks"


@dataclass
class PostgreSQL:
    """A running server with one database."""

    directory: Path
    program: Path
    port: int

    def run(self, command: str, *words: str) -> None:
        """Run a command of PostgreSQL; it refuses to run as root."""
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        subprocess.run([*as_user, str(self.program / command), *words], check=True, stdout=subprocess.DEVNULL)

    def settings(self, **changed: Any) -> dict[str, Any]:
        """Return headscale's settings for this database."""
        given = {
            "host": "127.0.0.1",
            "port": self.port,
            "name": "postgres",
            "user": "headscale",
            "pass": _PASSWORD,
            "ssl": False,
        }
        return {"database": {"type": "postgres", "postgres": {**given, **changed}}}


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not installed")
    # Not below pytest's own directory, which only root can enter.
    directory = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    server = PostgreSQL(directory, found[-1].parent, free_ports(1)[0])
    (directory / "password").write_text(_PASSWORD)
    if os.geteuid() == 0:
        known = pwd.getpwnam("postgres")
        for path in (directory, directory / "password"):
            os.chown(path, known.pw_uid, known.pw_gid)
    data, log = str(directory / "data"), str(directory / "log")
    server.run("initdb", "-D", data, "-A", "scram-sha-256", "-U", "headscale", f"--pwfile={directory / 'password'}")
    server.run("pg_ctl", "-D", data, "-l", log, "-w", "-o", f"-h 127.0.0.1 -p {server.port} -k {directory}", "start")
    yield server
    server.run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    shutil.rmtree(directory)


@pytest.mark.slow
def test_headscale_works_on_postgresql(postgresql: PostgreSQL, tmp_path: Path) -> None:
    with running(tmp_path, more=postgresql.settings()) as server:
        api = HeadscaleAPI(url=server.url, api_key=server.new_api_key())
        api.create_user(name="alice")
        assert [user["name"] for user in api.list_users()] == ["alice"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "remedy"),
    [
        ({"pass": "wrong"}, "correct database.postgres.user and database.postgres.pass"),
        ({"name": "absent"}, "create that database"),
        ({"host": "nowhere.invalid"}, "correct database.postgres.host"),
        ({"port": None}, "start PostgreSQL"),
        ({"pass": _BLANKS}, "use a password without blanks"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_keeps_headscale_from_starting(
    changed: dict[str, Any], remedy: str, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    given = {key: free_ports(1)[0] if value is None else value for key, value in changed.items()}
    server = RealHeadscale(tmp_path, find_program("headscale"), more=postgresql.settings(**given))
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen([server.executable, "serve", "-c", str(server.config)], stdout=file, stderr=file)
    wait_for(lambda: process.poll() is not None, "headscale has given up")
    seen = {"log": {"from": str(log), "lines": log.read_text().splitlines()}, "listening": []}
    hint = problems(examine_server({"nodes": None, **seen}))["doctor.start"]
    assert remedy in hint
    assert "headscale does not start" in hint
    assert "blanks" not in hint.replace("without blanks", "")
    assert _PASSWORD not in hint


@pytest.fixture(scope="module")
def patient(machine: Machine) -> Iterator[BrokenMesh]:
    with standing(LabDriver(machine)) as lab:
        lab.vars["mesh_database"] = {"type": "postgres"}
        lab.play("up.yml").succeeded()
        found = BrokenMesh(lab)
        wait_for(found.online, "everybody is online")
        yield found


def test_a_mesh_on_postgresql_has_no_findings(patient: BrokenMesh) -> None:
    assert patient.examine() == []
    password = patient.sh(SERVER, "cat /etc/headscale/database_password").strip()
    seen = patient.sh(
        SERVER, f"cat {CONFIG} /var/log/meshctl/*/current; tr '\\0' ' ' </proc/$(pgrep -o headscale)/cmdline"
    )
    assert password
    assert password not in seen
    assert not list(patient.lab.directory.rglob("db.sqlite"))


@pytest.mark.slow
def test_a_mesh_on_postgresql_is_deployed_again_and_passes_the_stories(patient: BrokenMesh) -> None:
    assert patient.lab.play("up.yml").succeeded().changed() == []
    for story in ("us1", "us4"):
        patient.lab.play(f"stories/{story}.yml", seconds=400).succeeded()


@pytest.mark.slow
def test_a_mesh_whose_postgresql_is_stopped(patient: BrokenMesh) -> None:
    # Without the second signal, PostgreSQL waits for headscale to leave.
    patient.sh(SERVER, "s6-svc -di /etc/service/postgresql; s6-svc -r /etc/service/headscale")
    try:
        log = "tail -n 20 /var/log/meshctl/headscale/current"
        wait_for(lambda: "dial error" in patient.sh(SERVER, log), "headscale misses its database")
        findings = patient.examine()
    finally:
        patient.sh(SERVER, "s6-svc -u /etc/service/postgresql")
        wait_for(patient._serving, "headscale has its database again", seconds=60)
    assert roots(findings) == {"doctor.start"}
    assert "start PostgreSQL, or correct database.postgres.host and database.postgres.port" in patient.headline
