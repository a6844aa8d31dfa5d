# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measures what costs CPU on a lab that is up: another `up`, and each story without it.

    python tests/bench/standing.py
    python tests/bench/standing.py --rounds 5 --lab NAME us1 us3

CPU seconds are those of all processes that the command starts, and of the probes. The lab's own daemons do not count: they
have been started before. The least of several rounds is printed, because other work on the machine only adds to it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from bench import Cost, meshctl, run

_STORIES = ("us1", "us2", "us3", "us4")


def main() -> int:
    """Bring the lab up, and print what each command costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stories", nargs="*", default=list(_STORIES), metavar="STORY")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lab", default="standing", help="a lab that is not up is brought up, and removed at the end")
    asked = parser.parse_args()
    lab = ["--lab", asked.lab]
    stood = subprocess.run([meshctl(), "status", *lab], capture_output=True, check=False).returncode == 0
    playbook = [sys.executable, "-m", "ansible", "playbook", "playbooks/up.yml", "-e", f"lab_name={asked.lab}"]
    commands = {
        "meshctl up": [meshctl(), "up", *lab],
        "ansible-playbook playbooks/up.yml": playbook,
        **{f"meshctl run {name} --no-deploy": [meshctl(), "run", name, "--no-deploy", *lab] for name in asked.stories},
    }
    try:
        if not stood and (first := run([meshctl(), "up", *lab], dict(os.environ))).status:
            sys.exit(f"The lab did not come up:\n{first.output[-2000:]}")
        return max(_measure(name, command, asked.rounds) for name, command in commands.items())
    finally:
        if not stood:
            run([meshctl(), "down", *lab], dict(os.environ))


def _measure(name: str, command: list[str], rounds: int) -> int:
    """Print the least that a command costs; return the worst exit code."""
    costs: list[Cost] = [run(command, dict(os.environ)) for _round in range(rounds)]
    cpu_s, seconds = min(cost.cpu_s for cost in costs), min(cost.seconds for cost in costs)
    print(f"{name:36} {cpu_s:6.1f} CPU s {seconds:7.1f} s   load {os.getloadavg()[0]:.0f}", flush=True)
    return max(cost.status for cost in costs)


if __name__ == "__main__":
    sys.exit(main())
