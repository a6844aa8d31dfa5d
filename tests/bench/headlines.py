# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Injects the faults of the catalogue that the doctor can see, one after the other, and judges its headline.

    meshctl up --lab headlines
    python tests/bench/headlines.py --lab headlines                    all of them, which takes most of an hour
    python tests/bench/headlines.py --lab headlines control-down load

headlines.yml states what the headline of each fault must say, and of which host; or why the doctor is not the instrument.
A fault that harms nothing must have no headline. A fault may need a moment to take effect, so the doctor is run up to three
times until it has a headline; a first headline that is wrong counts as wrong. How long the look took that was judged stands
before the headline, and the median and the longest of them at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults import catalogue
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.engine import Engine
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.record import FaultError
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.lab import Lab

_PROJECT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).with_name("headlines.yml")
_LOOKS = 3
_WELL_S = 90.0
_MORE = r"; and \d+ more: "


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the headline of a fault must be."""

    says: str = ""
    """A regular expression; empty for no headline."""
    about: str = ""
    """An actor of the catalogue whose host the headline must name; empty for any."""


def expectations() -> tuple[dict[str, Expected], dict[str, str]]:
    """Return what is expected of the faults that the doctor can see, and why it cannot see the others."""
    stated = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    seen = {name: Expected(**entry) for name, entry in stated["seen"].items()}
    return seen, {
        name: str(stated["unseen"].get(name) or stated["families"][fault.family])
        for name, fault in catalogue.load().items()
        if name not in seen
    }


def is_right(expected: Expected, headline: str, hosts: Mapping[str, str]) -> bool:
    """Whether a headline names the cause and the host."""
    if not expected.says:
        return not headline
    host, first = hosts.get(expected.about, ""), re.split(_MORE, headline)[0]
    return bool(re.search(expected.says, first)) and (host in first or first.startswith("all "))


def is_only(headline: str) -> bool:
    """Whether no other finding stands beside the headline."""
    return not re.search(_MORE, headline)


def durations(times: Mapping[str, float]) -> str:
    """Say how long the doctor took, and for which fault the longest."""
    if not times:
        return "no duration was measured"
    longest = max(times, key=lambda name: times[name])
    return f"the doctor took {statistics.median(times.values()):.1f} s in the median, and at most {times[longest]:.1f} s ({longest})"


def doctor(lab: str, inventory: str, directory: Path, *, every: bool = False) -> str:
    """Return the doctor's headline."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", inventory, "-e", f"lab_name={lab}",
         str(_PROJECT / "playbooks" / "doctor.yml")],
        env={**os.environ, "ANSIBLE_CONFIG": str(_PROJECT / "ansible.cfg"), "MESHCTL_RUN_DIR": str(directory)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    report: dict[str, Any] = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    if not any(report["counts"].values()):
        raise FaultError(f"the doctor made no check: {done.stdout[-400:]}")
    for check in report["checks"] if every else ():
        if check["verdict"] in ("failed", "error"):
            print(f"           {check['id']}: {check['source']} -> {check['target']}: {check['hint']}", flush=True)
    return str(report.get("headline") or "")


def main() -> int:
    """Print each headline that is wrong, and the share of right ones."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "faults", nargs="*", help="ids of the catalogue; all that the doctor can see if there are none"
    )
    options.add_argument("--lab", required=True, help="a lab that is up, without a fault")
    options.add_argument("--inventory", default=str(_PROJECT / "inventory" / "lab.yml"))
    options.add_argument("--findings", action="store_true", help="print every finding, too")
    given = options.parse_args()
    seen, unseen = expectations()
    variables = yaml.safe_load(Path(given.inventory).read_text(encoding="utf-8"))["all"]["vars"]
    engine = Engine(
        Lab(given.lab), variables={"SERVER_URL": variables["mesh_server_url"], "DOMAIN": variables["mesh_domain"]}
    )
    chosen = catalogue.choose(given.faults or list(seen))
    right = only = judged = 0
    times: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="meshctl-headlines-") as directory:

        def look() -> str:
            return doctor(given.lab, given.inventory, Path(tempfile.mkdtemp(dir=directory)), every=given.findings)

        for fault in chosen:
            if fault.id not in seen:
                print(f"not seen   {fault.id}: {unseen[fault.id]}", flush=True)
                continue
            expected = seen[fault.id]
            try:
                headline, times[fault.id] = _headline(engine, fault, expected, look)
                _recover(look)
            except FaultError as exc:
                print(f"NOT JUDGED {fault.id}: {exc}", flush=True)
                continue
            good = is_right(expected, headline, vars(engine.actors))
            judged, right, only = judged + 1, right + good, only + (good and is_only(headline))
            print(
                f"{'right' if good else 'WRONG':<10} {fault.id}: ({times[fault.id]:.0f} s) {headline or 'no headline'}",
                flush=True,
            )
    if not given.faults:
        for name, reason in unseen.items():
            print(f"not seen   {name}: {reason}")
    print(
        f"{right} of {judged} headlines are right ({right / max(1, judged):.0%}), {only} of them alone; "
        f"{len(unseen)} faults are not seen"
    )
    print(durations(times))
    return 0 if right == judged else 1


def _headline(engine: Engine, fault: catalogue.Fault, expected: Expected, look: Any) -> tuple[str, float]:
    """Return the headline, and how long the doctor took for it."""
    took = 0.0
    with engine.injected(fault):
        for _look in range(_LOOKS if expected.says else 1):
            began = time.monotonic()
            headline = str(look())
            took = time.monotonic() - began
            if headline:
                return headline, took
    return "", took


def _recover(look: Any) -> None:
    """Wait until the doctor finds nothing, so that the next fault is alone."""
    until = time.monotonic() + _WELL_S
    while headline := look():
        if time.monotonic() > until:
            raise SystemExit(f"the mesh does not recover: {headline}")


if __name__ == "__main__":
    sys.exit(main())
