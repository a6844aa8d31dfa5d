# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets `meshctl run us1 us2 us3 us4 --down` beside the same work as a plain shell script, and shows how a run grows with the mesh.

    python tests/bench/bench.py                     two rounds of both, alternating
    python tests/bench/bench.py --rounds 5 --json
    python tests/bench/bench.py --growth 4,10,25,50

CPU seconds are those of every process that was started, the daemons of the labs included: this program adopts those
that lose their parent and waits for them. Wall seconds depend on what else the machine does; the ratio less so.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshctl_headscale import _collection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HERE = Path(__file__).resolve().parent
_PROJECT = _HERE.parent.parent
_PROGRAMS = ("headscale", "tailscale", "tailscaled", "derper")
_PR_SET_CHILD_SUBREAPER = 36
_LAB = f"bench{os.getpid()}"
# The work of an assertion that only waits for the mesh to change, from what `duration_ms` says over this.
_QUICK_S = 0.5
_STORIES = ("us1", "us2", "us3", "us4")


@dataclass(kw_only=True)
class Cost:
    """What a command took."""

    seconds: float
    cpu_s: float
    status: int
    peak_mb: float = 0.0
    output: str = ""


@dataclass(kw_only=True)
class Round:
    """One after the other, under the same conditions."""

    plain: Cost
    meshctl: Cost
    load: tuple[float, float] = (0.0, 0.0)
    stages: dict[str, float] = field(default_factory=dict)
    where: dict[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Return meshctl's wall seconds by the script's."""
        return self.meshctl.seconds / self.plain.seconds


def adopt() -> None:
    """Have processes that lose their parent become children of this one, so that their CPU time is counted."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run(command: Sequence[str], env: dict[str, str], *, watch: str = "") -> Cost:
    """Run a command to its end, and to the end of what it left behind; `watch` names processes whose memory counts."""
    before = _children_cpu()
    began = time.monotonic()
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        peak = _Peak(process.pid, watch)
        output = process.communicate()[0]
    seconds = time.monotonic() - began
    peak_mb = peak.stop()
    _reap()
    return Cost(
        seconds=seconds, cpu_s=_children_cpu() - before, status=process.returncode, peak_mb=peak_mb, output=output
    )


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _reap(*, patience_s: float = 3.0) -> None:
    """Wait for adopted processes that are ending; a lab that stands stays."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.05)
        except ChildProcessError:
            return


class _Peak:
    """The most memory that the processes below one, whose command has a word, had at a time."""

    def __init__(self, pid: int, word: str) -> None:
        self._pid, self._word = pid, word
        self._most = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if word:
            self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            found = [pid for pid in descendants(self._pid) if self._word in _command(pid)]
            self._most = max(self._most, sum(_field(pid, "smaps_rollup", "Pss") for pid in found) / 1024)

    def stop(self) -> float:
        """Return the most megabytes."""
        self._done.set()
        return self._most


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes below one, and it itself."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    except OSError:
        return
    for child in children:
        yield from descendants(int(child))


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _field(pid: int, file: str, name: str) -> int:
    """Return a field of a process's accounts, in kilobytes."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


# -- beside the plain script --


def programs() -> dict[str, str]:
    """Return the paths of the mesh's programs, from the environment or from where meshctl finds them."""
    found = {name: os.environ[name.upper()] for name in _PROGRAMS if os.environ.get(name.upper())}
    if len(found) < len(_PROGRAMS):
        cache = Path(os.environ.get("MESHCTL_CACHE_DIR") or Path.home() / ".cache" / "meshctl") / "bin"
        for path in sorted(cache.glob("*/*")):
            if path.name in _PROGRAMS:
                found.setdefault(path.name, str(path))
    if missing := [name for name in _PROGRAMS if name not in found]:
        sys.exit(
            f"{', '.join(missing)} cannot be found: run `meshctl up` once, or set {missing[0].upper()} to its path."
        )
    return found


def meshctl() -> str:
    """Return the path of meshctl: of this interpreter's environment, else of the search path."""
    beside = Path(sys.executable).with_name("meshctl")
    found = str(beside) if beside.exists() else shutil.which("meshctl")
    return found or sys.exit("meshctl is not installed: run ./bootstrap, or `pip install -e .`.")


def environment(directory: Path) -> dict[str, str]:
    """Return the environment of a run: a lab and a run directory of its own, the programs by path."""
    extra = {name.upper(): path for name, path in programs().items()}
    return {
        **os.environ,
        **extra,
        "MESHCTL_STATE_DIR": str(directory / "state"),
        "MESHCTL_RUNS_DIR": str(directory / "runs"),
        "MESHCTL_LAB": _LAB,
    }


def extra_vars() -> list[str]:
    """Return the options that give meshctl the same programs as the script."""
    return ["-e", json.dumps({"mesh_binaries": programs()})]


def one_round(directory: Path) -> Round:
    """Run the script, then meshctl."""
    env = environment(directory)
    load = os.getloadavg()[0]
    plain = run(["/bin/bash", str(_HERE / "plain.sh")], env)
    ours = run([meshctl(), "run", *_STORIES, "--down", *extra_vars()], env)
    found = Round(plain=plain, meshctl=ours, load=(load, os.getloadavg()[0]), stages=_stages(plain.output))
    for name, cost in (("plain.sh", plain), ("meshctl", ours)):
        if cost.status:
            sys.exit(f"{name} ended with {cost.status}; its last lines:\n" + "\n".join(cost.output.splitlines()[-40:]))
    report = max((directory / "runs").glob("*/report.json"), key=lambda path: path.stat().st_mtime)
    found.where = where_time_goes(report)
    found.stages |= {"checks of the script": _counted(plain.output)}
    return found


def _stages(output: str) -> dict[str, float]:
    lines = [line.split() for line in output.splitlines() if line.startswith("# ")]
    return {words[1]: int(words[2]) / 1000 for words in lines}


def _counted(output: str) -> float:
    return float(output.splitlines()[-1].split()[0])


def where_time_goes(report: Path) -> dict[str, float]:
    """Return the seconds of a run by what they were spent on.

    A look that a check is true at once is the probe's work; what an assertion needed beyond it was spent waiting for
    the mesh to become as expected; all other seconds of a story are Ansible's and the actions' that change something.
    """
    document = _collection.model.load(report).as_dict()
    waited, probed = 0.0, 0.0
    for slowest in _assertions(document["checks"]).values():
        waited += max(0.0, slowest - _QUICK_S)
        probed += min(slowest, _QUICK_S)
    stories = {story["id"]: story["duration_s"] for story in document["stories"]}
    told = sum(stories.values())
    return {
        **stories,
        "checks": float(len(document["checks"])),
        "up and start": round(document["duration_s"] - told, 1),
        "waiting for the mesh": round(waited, 1),
        "probes": round(probed, 1),
        "ansible and changes": round(told - waited - probed, 1),
    }


def _assertions(checks: list[dict[str, Any]]) -> dict[tuple[str, int], float]:
    """Return the seconds of each assertion: hosts run side by side, so the slowest of those that overlap counts."""
    found: dict[tuple[str, int], float] = {}
    group, last = 0, ("", 0.0)
    for check in sorted(checks, key=lambda check: check["at"]):
        name = ".".join(check["id"].split(".")[:2])
        at = datetime.fromisoformat(check["at"]).timestamp()
        seconds = check["duration_ms"] / 1000
        # The same assertion, of another host, overlaps with the one before.
        if name != last[0] or at - seconds > last[1]:
            group += 1
        last = (name, max(at, last[1]) if name == last[0] else at)
        found[name, group] = max(found.get((name, group), 0.0), seconds)
    return found


# -- memory and growth --


def inventory(clients: int, directory: Path) -> Path:
    """Write an inventory with so many clients, half of them in each subnet."""
    text = (_PROJECT / "inventory" / "lab.yml").read_text(encoding="utf-8")
    head, _clients, _rest = text.partition("    clients:\n")
    # The hosts behind these routes are left out.
    head = re.sub(r"    mesh_routes:\n(?:      - .*\n)+|    mesh_exit_nodes:.*\n", "", head)
    lines = ["    clients:", "      hosts:"]
    for number in range(1, clients + 1):
        net, last = (
            ("subnet-a", f"192.168.1.{10 + number // 2}") if number % 2 else ("subnet-b", f"10.0.0.{10 + number // 2}")
        )
        lines.append(f"        client-node-{number}: {{mesh_subnet: {net}, mesh_address: {last}}}")
    path = directory / f"lab-{clients}.yml"
    path.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def memory(directory: Path) -> dict[str, float]:
    """Return the megabytes (proportional set size) of a client machine by program, from a lab that stands."""
    status = json.loads(
        subprocess.run(
            [meshctl(), "status", "--json"], env=environment(directory), capture_output=True, text=True, check=False
        ).stdout
    )
    pids = [machine["pid"] for machine in status["machines"] if machine["kind"] == "client"]
    used: dict[str, float] = {}
    for pid in (pid for top in pids for pid in descendants(top)):
        name = Path(_command(pid).split(" ")[0]).name.rstrip(":")
        name = "s6" if name.startswith("s6-") else name
        used[name] = used.get(name, 0.0) + _field(pid, "smaps_rollup", "Pss") / 1024
    return {name: round(megabytes / len(pids), 1) for name, megabytes in sorted(used.items())}


def grow(clients: int, directory: Path, *, disruptive: bool, per_node: int) -> dict[str, Any]:
    """Return what a mesh of so many clients costs: up, US1 without and with disturbances, down."""
    env = environment(directory)
    sample = ["-e", json.dumps({"mesh_pairs": {"per_node": per_node}})] if per_node else []
    common = ["-i", str(inventory(clients, directory)), *extra_vars(), *sample]
    found: dict[str, Any] = {"clients": clients, "pairs": clients * (clients - 1)}
    try:
        for name, words in (
            ("up", ["up", *common]),
            ("us1", ["run", "us1", "--no-deploy", "-q", *common, "-e", "mesh_allow_disruptive=false"]),
            *([("us1 disruptive", ["run", "us1", "--no-deploy", "-q", *common])] if disruptive else []),
        ):
            cost = run([meshctl(), *words], env, watch="ansible-playbook")
            found[name] = {
                "s": round(cost.seconds, 1),
                "cpu_s": round(cost.cpu_s, 1),
                "peak_mb": round(cost.peak_mb),
                "status": cost.status,
            }
            if cost.status:
                found[name]["output"] = cost.output.splitlines()[-30:]
                break
            if name == "up":
                found["memory"] = memory(directory)
    finally:
        found["down_s"] = round(run([meshctl(), "down"], env).seconds, 1)
    return found


# -- what is printed --


def _say(rounds: list[Round]) -> None:
    print(f"{'round':>5} {'plain.sh':>10} {'cpu':>6} {'meshctl':>10} {'cpu':>6} {'ratio':>6} {'load':>11}")
    for number, one in enumerate(rounds, start=1):
        print(
            f"{number:>5} {one.plain.seconds:>9.1f}s {one.plain.cpu_s:>5.1f}s {one.meshctl.seconds:>9.1f}s "
            f"{one.meshctl.cpu_s:>5.1f}s {one.ratio:>6.2f} {one.load[0]:>5.1f}-{one.load[1]:<5.1f}"
        )
    print(f"\nratio (median): {statistics.median(one.ratio for one in rounds):.2f}\n")
    for title, key in (("plain.sh", "stages"), ("meshctl", "where")):
        print(f"{title}: " + ", ".join(f"{name} {_median(rounds, key, name):g}" for name in getattr(rounds[0], key)))


def _median(rounds: list[Round], key: str, name: str) -> float:
    return float(round(statistics.median(getattr(one, key).get(name, 0.0) for one in rounds), 1))


def _say_growth(row: dict[str, Any]) -> None:
    parts = [f"{row['clients']:>3} clients {row['pairs']:>5} pairs"]
    for name in ("up", "us1", "us1 disruptive"):
        if cost := row.get(name):
            parts.append(
                f"{name} {cost['s']}s (cpu {cost['cpu_s']}s, ansible {cost['peak_mb']} MB, status {cost['status']})"
            )
    print(", ".join(parts), flush=True)
    print(
        "    a client machine, MB: " + ", ".join(f"{name} {used}" for name, used in row.get("memory", {}).items()),
        flush=True,
    )


def main() -> int:
    """Run what was asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="rounds of plain.sh and meshctl (0: none)")
    parser.add_argument("--growth", default="", metavar="N,N…", help="numbers of clients, such as 4,10,25,50")
    parser.add_argument(
        "--per-node", type=int, default=0, metavar="K", help="check K peers of each node in --growth, not all"
    )
    parser.add_argument("--no-disruptive", action="store_true", help="leave out US1 with disturbances in --growth")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    asked = parser.parse_args()
    adopt()
    rounds, growth = [], []
    with tempfile.TemporaryDirectory(prefix="meshctl-bench-") as name:
        for number in range(asked.rounds):
            rounds.append(one_round(Path(name)))
            print(f"round {number + 1} of {asked.rounds}: ratio {rounds[-1].ratio:.2f}", file=sys.stderr)
        if rounds and not asked.json:
            _say(rounds)
        for clients in map(int, filter(None, asked.growth.split(","))):
            growth.append(grow(clients, Path(name), disruptive=not asked.no_disruptive, per_node=asked.per_node))
            if not asked.json:
                _say_growth(growth[-1])
    if asked.json:
        for one in rounds:
            one.plain.output = one.meshctl.output = ""
        print(
            json.dumps({"rounds": [{**asdict(one), "ratio": one.ratio} for one in rounds], "growth": growth}, indent=2)
        )
    return int(
        any(cost["status"] for row in growth for cost in row.values() if isinstance(cost, dict) and "status" in cost)
    )


if __name__ == "__main__":
    sys.exit(main())
