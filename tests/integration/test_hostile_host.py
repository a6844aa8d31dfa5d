# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One of four existing hosts is hostile: the verdicts about the other three are right, in time and in little memory."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab_driver import LabDriver
from .own_hosts import OwnMesh, Ran, needs_root, own_mesh

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(needs_root(), reason="entering the machines of own hosts is left to root"),
]

_HONEST, _HOSTILE = ("client-node-1", "client-node-2"), "client-node-3"
_PORT = 8088
_MOST_MB = 500
# A tailscaled that accepts and never answers costs one assertion its deadline, three times as long on a busy machine.
_SOCKET_S = 300

# What stands in for Python on the hostile host. Each conduct ignores polite signals.
_CONDUCTS = {
    "floods": "exec cat /dev/zero",
    "floods-errors": "exec cat /dev/zero >&2",
    "hangs": "while :; do sleep 1; done",
    "trickles": "while :; do printf x; sleep 0.3; done",
    "lies": 'printf \'\\n#meshctl-answer {"host":{"now":1e999},"observations":{"status":{"ok":true,"data":{"Self":7,"Peer":[[]],'
    '"Health":{"a":1},"Version":[],"TailscaleIPs":"%s"}}}}\\n\' "$(printf \'\\033]0;owned\\007\')"; exit 0',
    "megabytes": 'printf \'\\n#meshctl-answer {"host":{},"observations":{"status":{"ok":true,"data":{"Health":["\'; '
    "head -c 7000000 /dev/zero | tr '\\0' A; printf '\"]}}}}\\n'; exit 0",
    "many-values": "printf '\\n#meshctl-answer [0'; yes ,0 | head -c 7000000 | tr -d '\\n'; printf ']\\n'; exit 0",
}
# Each time that Python is started, the next conduct; `timeout` does nothing against it.
_PYTHON = """#!/bin/sh
trap '' TERM ALRM HUP INT PIPE
echo x >>/root/hostile/turns
case $(($(wc -l </root/hostile/turns) % {count})) in
{cases}
esac
"""
_TIMEOUT = '#!/bin/sh\nshift 3\nexec "$@"\n'
# What stands in for other programs: it hangs, floods or lies, whenever it is started.
_PROGRAM = """#!/bin/sh
trap '' TERM ALRM HUP INT PIPE
echo x >>/root/hostile/turns
case $(($(wc -l </root/hostile/turns) % 3)) in
0) exec cat /dev/zero ;;
1) printf '\\033]0;owned\\007{{ 7 * 7 }} %s\\n' "$*"; exit 0 ;;
*) while :; do sleep 1; done ;;
esac
"""
_PROGRAMS = ("tailscale", "ip", "nft", "ss", "journalctl", "uname", "date")
# A tailscaled that accepts, and then does as told.
_SOCKET = """
import os, socket, sys, threading, time
at = "/run/hostile.sock"
server = socket.socket(socket.AF_UNIX)
server.bind(at)
os.chmod(at, 0o666)
server.listen(64)
def serve(client, turn):
    try:
        client.recv(65536)
        if turn % 3 == 0:
            client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\n\\r\\n")
            while True:
                client.sendall(b"[" * 65536)
        elif turn % 3 == 1:
            while True:
                client.sendall(b"H")
                time.sleep(0.2)
        time.sleep(600)
    except OSError:
        pass
turn = 0
if os.fork():
    sys.exit()
os.setsid()
for stream in (0, 1, 2):
    os.dup2(os.open("/dev/null", os.O_RDWR), stream)
open("/run/hostile.pid", "w").write(str(os.getpid()))
while True:
    client, _ = server.accept()
    threading.Thread(target=serve, args=(client, turn), daemon=True).start()
    turn += 1
"""
# A service whose page does not end.
_PAGE = """
import os, socket, sys, threading
server = socket.create_server(("0.0.0.0", PORT))
def serve(client):
    try:
        client.recv(65536)
        client.sendall(b"HTTP/1.1 200 OK\\r\\nX-Evil: \\x1b]0;owned\\x07\\r\\n\\r\\n")
        while True:
            client.sendall(b"\\x1b]0;owned\\x07{{ 7 * 7 }}" * 4096)
    except OSError:
        pass
if os.fork():
    sys.exit()
os.setsid()
for stream in (0, 1, 2):
    os.dup2(os.open("/dev/null", os.O_RDWR), stream)
open("/run/page.pid", "w").write(str(os.getpid()))
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


@pytest.fixture
def own(own_lab: LabDriver, tmp_path: Path) -> Iterator[OwnMesh]:
    with own_mesh(own_lab, tmp_path / "own") as found:
        yield found


@contextlib.contextmanager
def _python(own: OwnMesh, conducts: list[str], *, timeout: bool) -> Iterator[None]:
    """Replace Python on the hostile host, and `timeout` as well."""
    cases = "\n".join(f"{number}) {_CONDUCTS[name]} ;;" for number, name in enumerate(conducts))
    python = own.lab.shell(_HOSTILE, "readlink -f /usr/bin/python3").strip()
    replaced = {python: _PYTHON.format(count=len(conducts), cases=cases)}
    if timeout:
        replaced["/usr/bin/timeout"] = _TIMEOUT
    with _replaced(own, replaced):
        yield


@contextlib.contextmanager
def _replaced(own: OwnMesh, replaced: dict[str, str]) -> Iterator[None]:
    """Put scripts in the place of programs on the hostile host."""
    script = "mkdir -p /root/hostile; : >/root/hostile/turns\n"
    for number, (path, content) in enumerate(replaced.items()):
        encoded = base64.b64encode(content.encode()).decode()
        script += f"echo {encoded} | base64 -d >/root/hostile/{number}; chmod 755 /root/hostile/{number}; "
        script += f"mount --bind /root/hostile/{number} {path}\n"
    own.lab.shell(_HOSTILE, script)
    try:
        yield
    finally:
        script = "".join(f"umount -l {path}\n" for path in replaced)
        # What is left of it: the kernel runs a script as `/bin/sh PATH`.
        named = "|".join(Path(path).name for path in replaced)
        script += (
            f"ps -e -o pid=,args= | awk '$2 == \"/bin/sh\" && $3 ~ /({named})$/ {{ print $1 }}' | xargs -r kill -9\n"
        )
        own.lab.shell(_HOSTILE, script + "rm -r /root/hostile")


@contextlib.contextmanager
def _socket(own: OwnMesh) -> Iterator[None]:
    """Put another server in the place of tailscaled's socket."""
    encoded = base64.b64encode(_SOCKET.encode()).decode()
    own.lab.shell(
        _HOSTILE,
        f"echo {encoded} | base64 -d | python3 -I -; until [ -S /run/hostile.sock ]; do sleep 0.1; done\n"
        "mount --bind /run/hostile.sock /run/tailscale/tailscaled.sock",
    )
    try:
        yield
    finally:
        own.lab.shell(
            _HOSTILE, "umount /run/tailscale/tailscaled.sock; kill -9 $(cat /run/hostile.pid); rm -f /run/hostile.*"
        )


@contextlib.contextmanager
def _page(own: OwnMesh) -> Iterator[dict[str, object]]:
    """Serve a page without an end on the hostile host; yield the variables that make it the service."""
    encoded = base64.b64encode(_PAGE.replace("PORT", str(_PORT)).encode()).decode()
    own.lab.shell(
        _HOSTILE, f"echo {encoded} | base64 -d | python3 -I -; until [ -s /run/page.pid ]; do sleep 0.1; done"
    )
    try:
        yield {"mesh_service_host": _HOSTILE, "mesh_service_port": _PORT, "mesh_service_body": "Welcome"}
    finally:
        own.lab.shell(_HOSTILE, "kill -9 $(cat /run/page.pid); rm -f /run/page.pid")


class Memory:
    """The most memory that the processes below this one used together, in MB: their own share, and with shared pages."""

    own = resident = 0.0

    def look(self) -> None:
        """Add the processes up."""
        own = resident = 0
        for pid in _below(os.getpid()):
            with contextlib.suppress(OSError, ValueError):
                found = dict(
                    line.split(":", 1)
                    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()[1:]
                )
                own += int(found["Pss"].split()[0])
                resident += int(found["Rss"].split()[0])
        self.own, self.resident = max(self.own, own / 1024), max(self.resident, resident / 1024)


def _below(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int(entry.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(entry.parent.name))
    found, ahead = [], [pid]
    while ahead:
        found += (below := parents.get(ahead.pop(), []))
        ahead += below
    return found


@contextlib.contextmanager
def _measured() -> Iterator[Memory]:
    memory, stop = Memory(), threading.Event()

    def watch() -> None:
        while not stop.wait(0.2):
            memory.look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield memory
    finally:
        stop.set()
        watcher.join()


def _run_all(
    own: OwnMesh, name: str, capsys: pytest.CaptureFixture[str], *, seconds: float = 400, **variables: object
) -> Ran:
    """Run all stories, print what that cost, and hold it to the limit."""
    began = time.monotonic()
    with _measured() as memory:
        ran = own.play("all.yml", "-e", json.dumps({"mesh_keep_going": True, **variables}), seconds=seconds)
    with capsys.disabled():
        print(
            f"\n{name}: {time.monotonic() - began:.0f} s, controller {memory.own:.0f} MB "
            f"({memory.resident:.0f} MB with shared pages counted in each process)"
        )
    assert memory.own < _MOST_MB
    return ran


def _judged_rightly(ran: Ran) -> None:
    """Every bad check is about the hostile host, and every check of the others was made and passed."""
    bad = [check for check in ran.checks() if check["verdict"] in ("failed", "error")]
    assert bad
    assert not [check for check in bad if _HOSTILE not in (check["source"], check["target"])], ran.bad()
    for source in _HONEST:
        for target in (*_HONEST, _HOSTILE):
            if source != target:
                for check in ("us1.reachable.ipv4", "us1.reachable.ipv6", "us1.path", "us4.resolves.name"):
                    assert ran.checks(check, source=source, target=target, verdict="passed"), (check, source, target)
        assert ran.checks("us1.connected", source=source, verdict="passed"), source
    (other,) = ran.checks("us2.encrypted", source=_HONEST[0], target=_HONEST[1])
    assert other["verdict"] == "passed"
    assert ran.checks("us1.registered", verdict="passed")
    # What the host sent reaches neither the terminal nor the report as it is, nor at length.
    text = (ran.run_dir / "report.json").read_text(encoding="utf-8")
    assert "\x1b]0" not in ran.output + text
    assert len(text) < 3_000_000
    assert len(ran.output) < 1_000_000


def test_a_hostile_python(own: OwnMesh, capsys: pytest.CaptureFixture[str]) -> None:
    # The first one comes last. The host floods at first, which ends the first story for it.
    conducts = ["hangs", "floods", "megabytes", "lies", "trickles"]
    with _page(own) as service, _python(own, conducts, timeout=True):
        ran = _run_all(own, "a hostile Python, timeout and page", capsys, **service)
    _judged_rightly(ran)
    assert {check["verdict"] for check in ran.checks("us1.", source=_HOSTILE)} <= {"error", "skipped"}
    for source in _HONEST:
        fetched = ran.checks("us3.http", source=source, target=_HOSTILE)
        assert {check["verdict"] for check in fetched} == {"failed"}, "the page is not the expected one"
    assert any("it is not asked again in this story" in check["hint"] for check in ran.checks("us1.", source=_HOSTILE))


@pytest.mark.slow
@pytest.mark.parametrize("conduct", list(_CONDUCTS))
@pytest.mark.parametrize("timeout", [False, True], ids=["honest-timeout", "hostile-timeout"])
def test_each_conduct(own: OwnMesh, capsys: pytest.CaptureFixture[str], conduct: str, timeout: bool) -> None:
    with _python(own, [conduct], timeout=timeout):
        ran = _run_all(own, f"Python {conduct}", capsys)
    _judged_rightly(ran)


@pytest.mark.slow
def test_a_hostile_tailscaled(own: OwnMesh, capsys: pytest.CaptureFixture[str]) -> None:
    with _socket(own):
        ran = _run_all(own, "a hostile socket of tailscaled", capsys, seconds=_SOCKET_S)
    _judged_rightly(ran)
    for check in ("us1.path", "us2.path"):
        hints = {found["hint"] for found in ran.checks(check, source=_HOSTILE)}
        assert len(hints) == 1
        assert "it is not asked again in this story" in hints.pop()


@pytest.mark.slow
def test_hostile_programs(own: OwnMesh, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """All programs but Python, and the socket, are hostile: stories ask none of them, and `collect` does."""
    found = own.lab.shell(_HOSTILE, f"for name in {' '.join(_PROGRAMS)}; do command -v $name || true; done").split()
    assert {Path(path).name for path in found} >= {"tailscale", "ip", "nft"}
    scripts = {**dict.fromkeys(found, _PROGRAM), "/usr/bin/timeout": _TIMEOUT}
    with _socket(own), _replaced(own, scripts):
        ran = _run_all(own, "hostile programs and socket", capsys, seconds=_SOCKET_S)
        with _measured() as memory:
            collected = own.play("collect.yml", "-e", json.dumps({"evidence_dest": str(tmp_path / "evidence")}))
    _judged_rightly(ran)
    assert memory.own < _MOST_MB
    assert "\x1b]0" not in collected.output
    for host in _HONEST:
        names = {path.name for path in (tmp_path / "evidence" / host).iterdir()}
        assert {"status.json", "addresses.txt", "routes4.txt"} <= names
    hostile = list((tmp_path / "evidence" / _HOSTILE).iterdir())
    assert sum(path.stat().st_size for path in hostile) < 20_000_000
    assert not any("\x1b" in path.read_text(encoding="utf-8") for path in hostile)
