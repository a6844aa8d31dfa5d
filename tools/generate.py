#!/usr/bin/env python3
# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write everything that is generated and kept in the repository. A unit test fails while a file is not up to date."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
GENERATORS = ("docs/.site/generated.py", "tools/assertion_docs.py", "tools/story_playbooks.py", "tools/api_calls.py")

if __name__ == "__main__":
    for name in GENERATORS:
        runpy.run_path(str(ROOT / name), run_name="__main__")
