# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn the options that several commands share into what the commands work with."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from meshctl_headscale import _collection
from meshctl_headscale._exit import BadInputError

# A host or group in a list that colons separate; those in brackets belong to a range.
_PATTERN = re.compile(r"(?:[^\s:\[\]]|\[[^\[\]]*\])+")


def inventory(name: str | None) -> str:
    """Return the path of an inventory that can be read."""
    from meshctl_headscale import _inventory
    from meshctl_headscale._project import project

    return _inventory.check(project().inventory(name))


def variables(name: str | None) -> dict[str, str]:
    """Return the variables of an inventory that are needed without a play."""
    from meshctl_headscale import _inventory

    return _inventory.variables(inventory(name))


def check_new_file(path: Path, option: str) -> None:
    """Refuse a path at which no file can be written, before anything else is done."""
    if path.is_dir():
        raise BadInputError(f"{option} is {path}, which is a directory: name a file in it.")
    if path.exists() and not path.is_file():
        raise BadInputError(f"{option} is {path}, which is not a regular file: name another file.")
    if path.is_symlink() and not path.exists():
        raise BadInputError(f"{option} is {path}, a link that leads nowhere: name another file.")
    if not path.absolute().parent.is_dir():
        raise BadInputError(f"The directory of {option} {path} does not exist. Create it, or name another file.")


@contextlib.contextmanager
def replacing(path: Path, *, mode: int) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of `path` once all of it is written; after an error, the old file stays."""
    handle, name = tempfile.mkstemp(prefix=".meshctl-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def lab_name(lab: str | None, name: str | None) -> str:
    """Return the name of the lab; an inventory is code, and is not read when the name is given."""
    return lab or variables(name)["lab_name"]


def lab_variables(lab: str | None) -> dict[str, Any]:
    """Return the extra variables that choose a lab."""
    return {"lab_name": _collection.lab.Lab(lab).name} if lab else {}


def command(*words: str, inventory: str | None, lab: str | None, no_deploy: bool = False) -> str:
    """Return the command for the report, without extra variables, which may be secret."""
    options = ["-i", inventory] if inventory else []
    options += ["--lab", lab] if lab else []
    options += ["--no-deploy"] if no_deploy else []
    return shlex.join(["meshctl", *words, *options])


def tags(given: list[str] | None) -> str:
    """Return the tags of an option that can be repeated, separated by commas."""
    return ",".join(tag.strip() for value in given or () for tag in value.split(",") if tag.strip())


def limit(given: Sequence[str]) -> str:
    """Return all values of --limit as one: Ansible applies `!` and `&` last, and to what all others have selected."""
    if len(given) == 1:
        return given[0]
    return ",".join(pattern for value in given for pattern in limit_patterns(value))


def limit_patterns(value: str) -> list[str]:
    """Return the patterns of one value of --limit, as Ansible splits it: in a list with commas, it splits at no colon."""
    # Its split_host_pattern does the same. To load that reads the ansible.cfg of the working directory, which may be
    # another user's.
    from ansible.errors import AnsibleError
    from ansible.parsing.utils.addresses import parse_address

    if "," in value:
        found = value.split(",")
    else:
        try:
            parse_address(value, allow_ranges=True)
            found = [value]
        except AnsibleError:
            found = _PATTERN.findall(value)
    return [pattern.strip() for pattern in found if pattern.strip()]


def print_json(data: object) -> None:
    """Print the answer as JSON."""
    print(_collection.visible.as_json(data))
