# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""meshctl as a process: exit codes, streams, files, and what is left after an interruption.

The playbooks in `cli_project` return checks from an action plugin of their own: what is tested here is the
runner. Real ansible-playbook, real processes, no lab.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
PROJECT = Path(__file__).with_name("cli_project")
SECRET = "hskey-auth-abcdefghijkl-" + "s3cr3t" * 8
PATIENCE_S = 180


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition, not for a time."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE_S} s in vain for: {what}")


class Meshctl:
    """Starts meshctl in a directory of the test's own."""

    def __init__(self, directory: Path) -> None:
        """Let every run of this object work in `directory`."""
        self.directory = directory
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MESHCTL_", "ANSIBLE_"))},
            "PYTHONPATH": f"{ROOT / 'runner'}:{ROOT / 'collection'}",
            "MESHCTL_STATE_DIR": str(directory / "state"),
            "MESHCTL_INVENTORY": str(PROJECT / "hosts.yml"),
            "SOME_SECRET": SECRET,
            "TERM": "xterm-256color",
        }

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the whole command; the name of one of our playbooks becomes its path."""
        stories = [str(PROJECT / word) if (PROJECT / word).is_file() else word for word in words]
        return [sys.executable, "-m", "meshctl_headscale", *stories]

    def __call__(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            self.command(words), cwd=self.directory, env={**self.environment, **environment}, text=True,
            capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_S, check=False,
        )  # fmt: skip

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start, and go on."""
        return subprocess.Popen(
            self.command(words), cwd=self.directory, env=self.environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    @property
    def run_dir(self) -> Path:
        """Return the first run's directory."""
        return next(path for path in sorted((self.directory / "runs").iterdir()) if not path.is_symlink())


@pytest.fixture(scope="module", autouse=True)
def signals_as_in_a_terminal() -> None:
    """Heed what `nohup` and background jobs of a script have their children ignore: meshctl would ignore it too."""
    for number in (signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def meshctl(tmp_path: Path) -> Meshctl:
    return Meshctl(tmp_path)


# --- exit codes and streams


@pytest.mark.parametrize(
    ("story", "code", "sentence"),
    [
        ("passes.yml", 0, "2 passed"),
        ("fails.yml", 1, "client-node-9 is not connected"),
        ("bad_input.yml", 2, "Error: subnet-a and subnet-b overlap: give one of them another cidr."),
        ("could_not_run.yml", 3, "Error: nft is missing: install nftables."),
        ("unreachable.yml", 3, "client-node-1 cannot be reached"),
        ("empty.yml", 3, "Nothing was checked"),
        ("broken.yml", 3, "no_such_action_at_all"),
        ("no_such_story", 2, "There is no story 'no_such_story'"),
    ],
)
def test_exit_code_and_sentence(meshctl: Meshctl, story: str, code: int, sentence: str) -> None:
    done = meshctl("run", story)
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert not done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "passes.yml", "-i", "nowhere.yml"], "There is no inventory"),
        (["run", "passes.yml", "-l", "nobody"], "nobody"),
        (["run", "passes.yml", "-e", "nonsense"], "is not an extra variable"),
        (["run", "passes.yml", "-e", "@nowhere.yml"], "There is no file"),
        (["run", "--no-such-option"], "No such option"),
        (["report", "--format", "pdf"], "There is no format 'pdf'"),
        (["report", "no-such-run"], "There is no report of a run 'no-such-run'"),
    ],
)
def test_bad_input_is_a_sentence_and_2(meshctl: Meshctl, words: list[str], sentence: str) -> None:
    done = meshctl(*words)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_inventory_that_is_no_inventory_is_refused(meshctl: Meshctl, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text("all: [hosts: {")
    done = meshctl("run", "passes.yml", "-i", str(broken))
    assert done.returncode == 2, done.stderr
    assert "broken.yml" in done.stderr


def test_json_is_all_that_is_on_stdout(meshctl: Meshctl) -> None:
    done = meshctl("run", "fails.yml", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["counts"]["failed"] == 1
    refused = meshctl("run", "no_such_story", "--json")
    assert json.loads(refused.stdout)["exit_code"] == 2


def test_several_stories_are_one_run_that_halts_at_the_first_failure(meshctl: Meshctl) -> None:
    done = meshctl("run", "fails.yml", "passes.yml")
    assert done.returncode == 1
    assert re.search(r"^ passes .*not run", done.stderr, re.MULTILINE), done.stderr
    assert len([path for path in (meshctl.directory / "runs").iterdir() if not path.is_symlink()]) == 1


def test_an_assertion_is_one_line_and_verbose_lists_its_checks(meshctl: Meshctl) -> None:
    done = meshctl("run", "many.yml")
    assert done.returncode == 0
    assert "✓ reachable   100 pairs  100 passed  direct" in done.stderr
    assert done.stderr.count("client-node-1 →") == 0
    assert meshctl("run", "many.yml", "-v").stderr.count("client-node-1 →") == 100
    assert "✓ reachable   100 pairs  100 passed" in meshctl("report").stdout
    assert meshctl("report", "-v").stdout.count("client-node-1 →") == 100


def test_quiet_says_nothing_of_what_passed(meshctl: Meshctl) -> None:
    done = meshctl("run", "passes.yml", "--quiet")
    assert done.returncode == 0
    assert "client-node-1 →" not in done.stderr


def test_twice_verbose_shows_ansibles_own_output(meshctl: Meshctl) -> None:
    assert "PLAY [" not in meshctl("run", "passes.yml", "-v").stderr
    assert "PLAY [A story that passes]" in meshctl("run", "passes.yml", "-vv").stderr


def test_nothing_is_made_for_others_whatever_the_umask(meshctl: Meshctl) -> None:
    before = os.umask(0)
    try:
        assert meshctl("run", "passes.yml").returncode == 0
    finally:
        os.umask(before)
    for path in (meshctl.directory / "runs", meshctl.run_dir, meshctl.run_dir / "artifacts"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_runs_that_another_user_can_write_to_are_refused(meshctl: Meshctl) -> None:
    (meshctl.directory / "runs").mkdir()
    (meshctl.directory / "runs").chmod(0o777)
    done = meshctl("run", "passes.yml")
    assert done.returncode == 2
    assert "is writable by every user" in done.stderr
    assert "MESHCTL_RUNS_DIR" in done.stderr
    assert not list((meshctl.directory / "runs").iterdir())


def test_options_come_from_the_environment_too(meshctl: Meshctl) -> None:
    done = meshctl("run", "passes.yml", MESHCTL_JSON="1", MESHCTL_QUIET="1")
    assert json.loads(done.stdout)["verdict"] == "passed"


def test_report_shows_the_newest_run_again(meshctl: Meshctl) -> None:
    assert meshctl("run", "passes.yml").returncode == 0
    assert "2 passed" in meshctl("report").stdout
    assert json.loads(meshctl("report", "--query", "counts.passed").stdout) == 2
    assert Path(meshctl("report", "--format", "path").stdout.strip()) == meshctl.run_dir
    for form, start in (("junit", "<testsuites"), ("html", "<!DOCTYPE html>"), ("json", "{")):
        assert meshctl("report", "--format", form).stdout.lstrip().lower().startswith(start.lower())


def test_compare_says_what_broke(meshctl: Meshctl) -> None:
    meshctl("run", "passes.yml")
    meshctl("run", "fails.yml")
    runs = [path.name for path in sorted((meshctl.directory / "runs").iterdir()) if not path.is_symlink()]
    done = meshctl("report", "--compare", *runs)
    assert done.returncode == 1, done.stderr
    assert meshctl("report", "--compare", runs[0], runs[0]).returncode == 0


# --- what lands on the disk


def test_no_secret_lands_in_the_run_directory(meshctl: Meshctl, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.json"
    secrets.write_text(json.dumps({"mesh_api_key": SECRET}))
    done = meshctl("run", "passes.yml", "-e", f"@{secrets}", "-e", f"mesh_key={SECRET}")
    assert done.returncode == 0, done.stderr
    for path in meshctl.run_dir.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    assert meshctl.run_dir.stat().st_mode & 0o077 == 0
    assert (meshctl.run_dir / "artifacts").stat().st_mode & 0o077 == 0


def test_ansible_has_the_whole_environment_all_the_same(meshctl: Meshctl) -> None:
    seen = "{{ (lookup('env', 'SOME_SECRET') | length) ~ ' long' }}"
    done = meshctl("run", "passes.yml", "-vv", "-e", json.dumps({"shown": seen}))
    assert f"{len(SECRET)} long" in done.stderr


def test_log_has_the_time_on_every_line(meshctl: Meshctl) -> None:
    meshctl("run", "fails.yml")
    lines = (meshctl.run_dir / "meshctl.log").read_text().splitlines()
    assert any(line.split(" ", 1)[1].startswith("check failed demo.reachable.ipv4") for line in lines)
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S", line) for line in lines)


# --- interruption


class Waiting:
    """A run whose module waits for ever, and every process of it, by a mark in its command line."""

    def __init__(self, meshctl: Meshctl, command: str) -> None:
        """Start a run whose module is `command`, with MARK as what it is known by."""
        self.mark = f"meshctl-test-{uuid.uuid4().hex}"
        self._meshctl = meshctl
        variables = {"wait_command": command.replace("MARK", self.mark)}
        self.process = meshctl.start("run", "slow.yml", "-e", json.dumps(variables))
        self.directory = str(meshctl.directory)

    def pids(self) -> list[int]:
        """Return the processes that this run started, all but meshctl itself."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) in (self.process.pid, os.getpid()):
                continue
            with contextlib.suppress(OSError):
                environment, command = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
                if self.directory.encode() in environment + command or self.mark.encode() in command:
                    found.append(int(entry.name))
        return found

    def modules(self) -> list[int]:
        """Return the processes that the modules have become."""
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\0"):
                    found.append(pid)
        return found

    def temporary(self) -> list[Path]:
        """Return what Ansible keeps for itself while it runs."""
        return list(Path(self.directory).rglob("ansible-local-*"))

    def named(self, word: bytes) -> list[int]:
        """Return the processes that have `word` in their command line."""
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                if word in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found


@pytest.fixture
def waiting(meshctl: Meshctl) -> Iterator[Callable[..., Waiting]]:
    started: list[Waiting] = []

    def start(command: str = "sleep 4321 # MARK", modules: int = 2) -> Waiting:
        run = Waiting(meshctl, command)
        started.append(run)
        wait_until(lambda: len(run.modules()) >= modules or run.process.poll() is not None, "the modules to run")
        assert run.process.poll() is None, run.process.communicate()
        return run

    yield start
    for run in started:
        for pid in [*run.pids(), run.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.process.communicate()


# Each a module of another kind: one that ends on a signal, one that is a session of its own and ignores the gentle
# signals, and one whose child has left its parent and its session behind.
MODULES = {
    "plain": ("sleep 4321 # MARK", 2),
    "stubborn": ("trap '' INT TERM HUP; setsid sleep 4321 # MARK", 2),
    "daemon": ("setsid sleep 4321 </dev/null >/dev/null 2>&1 & sleep 4321 # MARK", 4),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("kind", MODULES)
def test_one_signal_stops_in_order_and_leaves_nothing(
    waiting: Callable[..., Waiting], meshctl: Meshctl, number: signal.Signals, kind: str
) -> None:
    run = waiting(*MODULES[kind])
    run.process.send_signal(number)
    out, err = run.process.communicate(timeout=PATIENCE_S)
    assert run.process.returncode == 130, err
    assert "stopping" in err
    assert not out
    assert not run.pids()
    assert json.loads((meshctl.run_dir / "report.json").read_text())["verdict"] == "interrupted"


def test_second_signal_kills_at_once(waiting: Callable[..., Waiting]) -> None:
    run = waiting(*MODULES["stubborn"])
    for pid in set(run.named(b"ansible-playbook")) - set(run.named(b"_guard.py")):
        # Nothing but SIGKILL ends a stopped process.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    run.process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    assert run.process.stderr
    wait_until(lambda: "stopping" in run.process.stderr.readline(), "the first signal to be answered")  # type: ignore[union-attr]
    run.process.send_signal(signal.SIGINT)
    run.process.communicate(timeout=PATIENCE_S)
    assert run.process.returncode == 130
    assert time.monotonic() - asked < 8, "the grace period of the first signal was not cut short"
    assert not run.pids()


@pytest.mark.parametrize("kind", MODULES)
def test_killing_meshctl_leaves_nothing(waiting: Callable[..., Waiting], kind: str) -> None:
    run = waiting(*MODULES[kind])
    assert run.temporary()
    run.process.kill()
    run.process.communicate()
    wait_until(lambda: not run.pids(), "everything to end after meshctl")
    assert not run.temporary()


def test_killing_ansible_leaves_nothing_and_is_reported(waiting: Callable[..., Waiting]) -> None:
    run = waiting(*MODULES["daemon"])
    children = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()
    ansible = Path(f"/proc/{children[0]}/task/{children[0]}/children").read_text().split()
    os.kill(int(ansible[0]), signal.SIGKILL)
    _out, err = run.process.communicate(timeout=PATIENCE_S)
    assert run.process.returncode == 3, err
    assert "Ansible was ended by SIGKILL" in err
    assert not run.pids()
    assert not run.temporary()


def test_killing_the_guard_leaves_nothing(waiting: Callable[..., Waiting]) -> None:
    run = waiting(*MODULES["plain"])
    children = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    _out, err = run.process.communicate(timeout=PATIENCE_S)
    assert run.process.returncode == 3, err
    wait_until(lambda: not run.pids(), "ansible-playbook to stop")


def test_what_keeps_a_pid_namespace_is_a_lab_and_stays(waiting: Callable[..., Waiting]) -> None:
    lab = "unshare --pid --fork --kill-child sleep 4321 </dev/null >/dev/null 2>&1 & sleep 4321 # MARK"
    if os.geteuid():
        lab = lab.replace("--pid", "--user --map-root-user --pid")
    if subprocess.run(["unshare", *lab.split()[1:4], "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user cannot make a PID namespace")
    run = waiting(lab, 4)
    run.process.send_signal(signal.SIGINT)
    run.process.communicate(timeout=PATIENCE_S)
    left = run.named(b"unshare")
    assert len(left) == 2
    assert sorted(run.pids()) == sorted([*left, *run.modules()])


def test_extra_variables_do_not_stay_on_disk(waiting: Callable[..., Waiting], meshctl: Meshctl) -> None:
    run = waiting()
    run.process.send_signal(signal.SIGINT)
    run.process.communicate(timeout=PATIENCE_S)
    assert not list(meshctl.run_dir.rglob("extravars*"))


# --- the terminal


def on_a_terminal(meshctl: Meshctl, *words: str, columns: int, **environment: str) -> tuple[int, str]:
    """Run meshctl with a terminal as stderr; return the exit code and what was drawn."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        meshctl.command(words), cwd=meshctl.directory, stdin=slave, stdout=slave, stderr=slave,
        env={**meshctl.environment, "COLUMNS": str(columns), **environment},
    )  # fmt: skip
    os.close(slave)
    drawn = b""
    while select.select([master], [], [], PATIENCE_S)[0]:
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        drawn += chunk
    os.close(master)
    return process.wait(timeout=PATIENCE_S), drawn.decode()


@pytest.mark.parametrize("columns", [80, 160])
def test_terminal_shows_checks_in_colour_and_within_its_width(meshctl: Meshctl, columns: int) -> None:
    code, drawn = on_a_terminal(meshctl, "run", "fails.yml", columns=columns)
    assert code == 1
    assert "\x1b[1;31m✗" in drawn
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn).replace("\r", "\n")
    assert max(len(line) for line in plain.splitlines()) <= columns
    assert "client-node-9 is not connected" in plain


def test_no_color_is_honoured(meshctl: Meshctl) -> None:
    _code, drawn = on_a_terminal(meshctl, "run", "fails.yml", columns=80, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", drawn)
