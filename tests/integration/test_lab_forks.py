# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scripts that run in machines without starting Python there: a fork must be what `nsenter` would have started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.bounds import Bounds
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.package import (
    LOADED,
    PACKAGE,
    USUAL,
    Job,
    Script,
    script_of,
)
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.remote import _READER, decode, encode
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import forkserver, supervisor
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.lab import Lab, environment

from .lab_driver import WITH_REPORT, LabDriver, Machine, standing, wait_for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="labs of other users than root have no such server"),
]

NODE = "client-node-1"
PYTHON = "/usr/bin/python3"

DESCRIBE = """
import json, os, resource, socket, stat, sys
def lines(path, names):
    with open(path) as file:
        return {line.split(":")[0]: line.split(":")[1].split() for line in file if line.split(":")[0] in names}
names = ["Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Umask"]
kinds = {}
for name in os.listdir("/proc/self/fd"):
    try:
        kinds[name] = stat.S_IFMT(os.stat("/proc/self/fd/" + name).st_mode)
    except OSError:
        pass  # the one that lists them
found = {
    "status": lines("/proc/self/status", [*names, "SigBlk", "SigIgn", "SigCgt"]),
    "namespaces": {name: os.readlink("/proc/self/ns/" + name) for name in sorted(os.listdir("/proc/self/ns"))},
    "places": [os.getcwd(), os.readlink("/proc/self/root"), os.stat("/").st_dev, os.stat("/").st_ino],
    "environment": dict(os.environ),
    "descriptors": kinds,
    "limits": [resource.getrlimit(number) for number in range(16)],
    "keys": open("/proc/keys").read().count("_ses") if os.path.exists("/proc/keys") else 0,
    "owner": os.stat("/proc/self/fd").st_uid,
    "parent": os.getppid(),
    "niceness": os.nice(0),
    "hostname": socket.gethostname(),
    "text": [sys.flags.utf8_mode, sys.stdout.encoding, sys.stdout.errors, sys.getfilesystemencoding()],
    "told": sys.stdin.read(),
}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def driver(machine: Machine) -> Iterator[LabDriver]:
    with standing(LabDriver(machine)) as found:
        found.build().succeeded()
        yield found


@pytest.fixture
def lab(driver: LabDriver, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(driver.machine.state_dir))
    return Lab(driver.name)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server; it must end with the last process that can ask it."""
    state = forkserver._State()
    monkeypatch.setattr(forkserver, "_state", state)
    forkserver.start(PACKAGE, script_of(USUAL).code)
    assert state.asking
    assert state.process
    yield state.process
    state.asking.close()
    state.process.wait(timeout=30)


def _run(lab: Lab, job: Job, bounds: Bounds) -> tuple[int, str, str] | None:
    """Run a script; return its status, output and errors, or None if there is no fork for it."""
    try:
        done = lab.run_python(NODE, job, bounds)
    finally:
        bounds.close()
    return done and (done[0], done[1].decode(), done[2].decode())


def _fork(lab: Lab, reader: str, *, seconds: float = 60, most_bytes: int = 1_000_000) -> tuple[str, int, str, str]:
    """Run a reader; return which limit it exceeded, its status, output and errors."""
    bounds = Bounds(seconds=seconds, most_bytes=most_bytes)
    done = _run(lab, Job(interpreter=PYTHON, reader=reader, data=b"hello"), bounds)
    assert done
    return bounds.exceeded, *done


def _enter(lab: Lab, *command: str) -> str:
    return subprocess.run(
        supervisor.enter(lab.machine(NODE).pid, command),
        env=environment(),
        input="hello",
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_tasks_get_forks(driver: LabDriver) -> None:
    listen = {"seconds": 1, "addresses": ["127.0.0.1"]}
    tasks = [{"name": "Listen", "meshctl.headscale.serve": listen}]
    said = driver.tasks(NODE, tasks, "-vvv", **WITH_REPORT).succeeded().output
    assert f"<{NODE}> FORK {PYTHON}" in said
    assert "-ISc" not in said


@pytest.mark.usefixtures("server")
def test_a_fork_is_what_nsenter_would_have_started(lab: Lab) -> None:
    exceeded, status, output, errors = _fork(lab, DESCRIBE)
    assert (exceeded, status, errors) == ("", 0, "")
    found = json.loads(output)
    assert found == json.loads(_enter(lab, PYTHON, "-ISc", DESCRIBE))
    assert found["told"] == "hello"
    assert found["hostname"] == NODE
    assert found["status"]["Uid"] == ["0"] * 4
    assert str(Path("/proc/self/ns/user").readlink()) != found["namespaces"]["user"]


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SECRET", "hunter2-of-the-controller")
    return "hunter2-of-the-controller"


# The server starts after the secret is in the environment.
@pytest.mark.usefixtures("secret", "server")
def test_a_fork_cannot_read_what_the_controller_knows(lab: Lab, secret: str) -> None:
    seen = "import os, sys; print(open('/proc/self/environ').read(), os.environ, sys.argv, open('/proc/self/cmdline').read())"
    _exceeded, status, output, errors = _fork(lab, seen)
    assert (status, errors) == (0, "")
    assert secret not in output
    assert str(lab.directory) not in output
    assert str(Path(forkserver.__file__).parent) not in output


@pytest.mark.usefixtures("server")
def test_the_usual_script_is_loaded_and_others_do_not_see_it(lab: Lab) -> None:
    for loaded in (True, False):
        answer = _main(lab, LOADED if loaded else script_of(USUAL), loaded=loaded)
        assert answer["host"]["hostname"] == NODE
        assert answer["observations"]["a"]["ok"]
    other = "import sys\ndef main(request): return {'seen': [name for name in sys.modules if name.startswith('meshctl_sent')]}"
    assert _main(lab, Script({"__init__": other})) == {"seen": ["meshctl_sent"]}


def _main(lab: Lab, script: Script | str, *, loaded: bool = False) -> dict[str, Any]:
    data = encode(script, {"observe": [{"id": "a", "kind": "addresses"}]}, deadline_s=5, compiled=True)
    job = Job(interpreter=PYTHON, reader=_READER, data=data, loaded=loaded)
    done = _run(lab, job, Bounds(seconds=30, most_bytes=1_000_000))
    assert done
    return decode(*done, interpreter=PYTHON, deadline_s=5)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        ("import os; os._exit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("import signal, time; signal.alarm(1); time.sleep(60)", -signal.SIGALRM),
        ("raise ValueError('it is broken')", 1),
    ],
)
def test_how_a_script_ends(lab: Lab, reader: str, expected: int) -> None:
    exceeded, status, output, errors = _fork(lab, reader)
    assert (exceeded, status, output) == ("", expected, "")
    assert ("ValueError: it is broken" in errors) is (expected == 1)


@pytest.mark.usefixtures("server")
def test_what_does_not_end_is_ended(lab: Lab) -> None:
    hangs = "import subprocess, time; subprocess.Popen(['sleep', '4711']); print('begun', flush=True); time.sleep(600)"
    exceeded, _status, output, _errors = _fork(lab, hangs, seconds=3)
    assert (exceeded, output) == ("time", "begun\n")
    wait_for(lambda: "4711" not in _enter(lab, "ps", "-e", "-o", "args="), "the end of what the script has started")
    assert "time.sleep" not in _enter(lab, "ps", "-e", "-o", "args=")


@pytest.mark.usefixtures("server")
def test_what_says_too_much_is_ended(lab: Lab) -> None:
    exceeded, _status, output, _errors = _fork(
        lab, "import os\nwhile True: os.write(1, b'x' * 10000)", most_bytes=100_000
    )
    assert exceeded == "bytes"
    assert len(output) < 300_000


def test_a_machine_with_another_python_runs_that(lab: Lab, server: subprocess.Popen[bytes]) -> None:
    python = _enter(lab, "readlink", "-f", PYTHON).strip()
    _enter(lab, "sh", "-c", f"cp /bin/true /root/other && mount --bind /root/other {python}")
    job = Job(interpreter=PYTHON, reader="print(1)", data=b"")
    try:
        assert _run(lab, job, Bounds(seconds=30, most_bytes=1000)) is None
    finally:
        _enter(lab, "umount", python)
    assert _fork(lab, "print(1)")[2] == "1\n"
    server.kill()
    server.wait()
    assert _run(lab, job, Bounds(seconds=30, most_bytes=1000)) is None
