# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs all stories again and again, and stops at the first run that does not pass.

    python tests/bench/soak.py --runs 50            on one lab, brought up once
    python tests/bench/soak.py --runs 50 --fresh    from nothing each time

Prints a line for each run, and in the end the seconds of each story (least, median, most) and the checks that came
near their budget. What did not pass keeps its run directory, and its lab.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshctl_headscale import _collection

# A check that needed more than this part of its budget is told.
_NEAR = 0.5
# Seconds in which a check may become true where it carries no budget of its own; see the modules.
_DEADLINES = {
    "registered": 30.0, "connected": 30.0, "reachable": 30.0, "path": 30.0, "encrypted": 20.0, "isolated": 6.0,
    "listening": 10.0, "http": 15.0, "resolves": 30.0, "unreachable": 30.0, "addressed": 3.0,
}  # fmt: skip


@dataclass(kw_only=True)
class Soak:
    """What all runs so far have shown."""

    passes: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    near: dict[str, tuple[float, str]] = field(default_factory=dict)
    failed: str = ""

    def take(self, report: dict[str, Any]) -> None:
        """Take a run's report."""
        for story in report["stories"]:
            self.seconds.setdefault(story["id"], []).append(story["duration_s"])
        self.seconds.setdefault("run", []).append(report["duration_s"])
        for check in report["checks"]:
            part, what = _used(check)
            if part > _NEAR and part > self.near.get(check["id"], (0.0, ""))[0]:
                self.near[check["id"]] = (part, what)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        stories = {
            name: {"min": min(found), "median": round(statistics.median(found), 1), "max": max(found)}
            for name, found in self.seconds.items()
        }
        near = {name: {"part": round(part, 2), "check": what} for name, (part, what) in self.near.items()}
        return {"passes": self.passes, "failed": self.failed, "seconds": stories, "near": near}


def _used(check: dict[str, Any]) -> tuple[float, str]:
    """Return the part of its budget that a check needed, and what it was."""
    whom = f"{check['source']} -> {check['target']}" if check["target"] else check["source"]
    parts = [check[key] if isinstance(check[key], dict) else {} for key in ("evidence", "expected", "observed")]
    evidence, expected, observed = parts
    spent: list[tuple[float, float]] = []
    if isinstance(evidence.get("after_s"), float) and evidence.get("budget_s"):
        spent.append((evidence["after_s"], evidence["budget_s"]))
    if isinstance(observed.get("after_s"), float) and expected.get("within_s"):
        spent.append((observed["after_s"], expected["within_s"]))
    if deadline := _DEADLINES.get(check["id"].split(".")[1]):
        spent.append((check["duration_ms"] / 1000, deadline))
    if not spent or check["verdict"] == "skipped":
        return 0.0, ""
    took, budget = max(spent, key=lambda pair: pair[0] / pair[1])
    return took / budget, f"{check['id']} {whom}: {took:.1f} of {budget:g} s"


def meshctl() -> str:
    """Return the path of meshctl: of this interpreter's environment, else of the search path."""
    beside = Path(sys.executable).with_name("meshctl")
    found = str(beside) if beside.exists() else shutil.which("meshctl")
    return found or sys.exit("meshctl is not installed: run ./bootstrap, or `pip install -e .`.")


def _reports(runs: Path) -> set[Path]:
    """Return the reports there are, each by its own directory and not by the link to the latest."""
    return {path for path in runs.glob("*/report.json") if not path.parent.is_symlink()}


def one_run(soak: Soak, *, runs: Path, fresh: bool, arguments: list[str], keep: bool) -> bool:
    """Run all stories once; whether they passed."""
    before = _reports(runs)
    command = [meshctl(), "run", "all", "-q", *arguments, *(["--down"] if fresh else [])]
    done = subprocess.run(
        command, env={**os.environ, "MESHCTL_RUNS_DIR": str(runs)}, capture_output=True, text=True, check=False
    )
    written = sorted(_reports(runs) - before)
    if written:
        soak.take(_collection.model.load(written[-1]).as_dict())
    if done.returncode or not written:
        soak.failed = str(written[-1].parent) if written else f"meshctl ended with {done.returncode} and left no report"
        print(done.stderr[-4000:], file=sys.stderr)
        return False
    soak.passes += 1
    if not keep:
        shutil.rmtree(written[-1].parent)
    return True


def soak(*, number: int, runs: Path, fresh: bool, arguments: list[str], keep: bool = False) -> Soak:
    """Run all stories so many times, or until they do not pass."""
    runs.mkdir(parents=True, exist_ok=True)
    found = Soak()
    for count in range(1, number + 1):
        began = time.monotonic()
        passed = one_run(found, runs=runs, fresh=fresh, arguments=arguments, keep=keep)
        word = "passed" if passed else "DID NOT PASS"
        print(f"run {count} of {number}: {word}, {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
        if not passed:
            return found
    subprocess.run([meshctl(), "down"], capture_output=True, check=False)
    return found


def _say(found: Soak, number: int) -> None:
    summary = found.as_dict()
    print(f"{found.passes} of {number} passed")
    for name, seconds in summary["seconds"].items():
        print(f"  {name:<5} {seconds['min']:>6.1f} {seconds['median']:>6.1f} {seconds['max']:>6.1f} s")
    for near in sorted(summary["near"].values(), key=lambda entry: -entry["part"]):
        print(f"  near its budget: {near['check']}")
    if found.failed:
        print(f"stopped: {found.failed}")


def main() -> int:
    """Run what was asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50, help="how many runs (50)")
    parser.add_argument("--fresh", action="store_true", help="each run from nothing, and away with the lab after it")
    parser.add_argument("--keep", action="store_true", help="keep the run directories of passing runs as well")
    parser.add_argument("--directory", type=Path, default=Path("runs") / "soak", help="where the runs are (runs/soak)")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else on stdout")
    parser.add_argument("arguments", nargs="*", help="more arguments for meshctl run, after --")
    asked = parser.parse_args()
    found = soak(
        number=asked.runs,
        runs=asked.directory.absolute(),
        fresh=asked.fresh,
        arguments=asked.arguments,
        keep=asked.keep,
    )
    if asked.json:
        print(json.dumps(found.as_dict(), indent=2))
    else:
        _say(found, asked.runs)
    return int(bool(found.failed))


if __name__ == "__main__":
    sys.exit(main())
