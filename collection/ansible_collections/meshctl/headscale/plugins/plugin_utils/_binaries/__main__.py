# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fill the cache from a shell: `python -m ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries`."""

from __future__ import annotations

import sys

from ansible_collections.meshctl.headscale.plugins.plugin_utils._binaries import (
    PROGRAMS,
    BinariesError,
    Sources,
    find,
)


def _say(text: str) -> None:
    """Write one progress line to stderr."""
    print(text, file=sys.stderr, flush=True)


def main(programs: list[str]) -> int:
    """Find every program (all when none is named), print where each one is, and return the exit code."""
    try:
        found = find(programs or PROGRAMS, sources=Sources.from_environment(), progress=_say)
    except BinariesError as exc:
        _say(f"error: {exc}")
        return 3
    except KeyboardInterrupt:
        _say("interrupted: no partial result is kept")
        return 130
    for name, program in found.items():
        print(f"{name} {program.version} {program.source} {program.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
