# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn every error into one sentence on stderr, an exit code and, with `--json`, an object on stdout."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import typer

from meshctl_headscale import _streams
from meshctl_headscale._exit import ExitCode, MeshctlError, sentence
from meshctl_headscale._options import Answer, UsageError, asks_for_json


def ended(command: Callable[[], object]) -> NoReturn:
    """Run `command` and end the process with the exit code of the result."""
    try:
        try:
            _ended(command)
        finally:
            _streams.flush()
    except _streams.StdoutError as error:
        _streams.discard()
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(int(ExitCode.COULD_NOT_RUN))


def _ended(command: Callable[[], object]) -> NoReturn:
    try:
        _check_directory()
        code = command()
        sys.exit(code if isinstance(code, int) else int(ExitCode.PASSED))
    except UsageError as error:
        error.show()
        if asks_for_json(sys.argv[1:]):
            _print_json(error.format_message(), ExitCode.BAD_INPUT)
        sys.exit(int(ExitCode.BAD_INPUT))
    except typer.Abort:
        _complain("Nothing was entered.", ExitCode.INTERRUPTED)
    except MeshctlError as error:
        _complain(str(error), error.code)
    except _streams.StdoutError:
        raise
    except Exception as error:
        _expected(error)
        _missing(error)
        _refused(error)
        _internal(error)


def _check_directory() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        _complain("The working directory no longer exists. Change to another one.", ExitCode.COULD_NOT_RUN)


def _missing(error: Exception) -> None:
    """Report that the working directory or a temporary one is missing; do nothing if it is another error."""
    if not isinstance(error, FileNotFoundError) or error.filename is not None:
        return
    import tempfile

    _check_directory()
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        _complain(
            "No temporary directory can be written to (tried TMPDIR, /tmp, /var/tmp and the working directory): set TMPDIR "
            "to one that you own.",
            ExitCode.COULD_NOT_RUN,
        )


def _expected(error: Exception) -> None:
    """Report an error of Ansible or the collection; do nothing if it is another one."""
    from meshctl_headscale import _collection

    if type(error).__module__ == "ansible.errors" and str(error).startswith("Unable to create local directories"):
        # It does so as soon as it is loaded.
        remedy = "Set ANSIBLE_HOME to a directory that you own."
        _complain(f"Ansible cannot be loaded: {sentence(str(error))} {remedy}", ExitCode.COULD_NOT_RUN)
    errors = _collection.errors
    if isinstance(error, errors.HeadscaleError):
        bad = isinstance(error, errors.BadInput)
        _complain(sentence(str(error)), ExitCode.BAD_INPUT if bad else ExitCode.COULD_NOT_RUN)


# What the system says of a path that the user chose, or of the disk; the rest is a defect of meshctl.
_BAD_PATH = (
    errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EROFS, errno.ENXIO,
)  # fmt: skip
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO)


def _refused(error: Exception) -> None:
    """Report what the system refuses this user; do nothing if it is another error."""
    if not isinstance(error, OSError):
        return
    reason = error.strerror or str(error)
    if error.filename is not None and error.errno in _BAD_PATH:
        remedy = (
            "Name another one, or change its permissions." if isinstance(error, PermissionError) else "Check the path."
        )
        _complain(f"{error.filename} cannot be used: {reason}. {remedy}", ExitCode.BAD_INPUT)
    if error.errno in _FULL:
        where = f"{error.filename}: " if error.filename is not None else ""
        _complain(f"{where}{reason}.", ExitCode.COULD_NOT_RUN)


def _complain(message: str, code: ExitCode) -> NoReturn:
    from meshctl_headscale import _collection

    print(f"Error: {_collection.visible.text(message)}", file=sys.stderr)
    if Answer.as_json:
        _print_json(message, code)
    sys.exit(int(code))


def _print_json(message: str, code: ExitCode) -> None:
    from meshctl_headscale import _collection

    print(_collection.visible.as_json({"exit_code": int(code), "error": message}))


def _internal(error: Exception) -> NoReturn:
    """Write the traceback of a defect in meshctl to a file, and name the file."""
    import tempfile
    import traceback

    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", errors="backslashreplace", prefix="meshctl-error-", suffix=".log", delete=False
        ) as file:
            traceback.print_exception(error, file=file)
        details = f"{file.name} has the details"
    except OSError as problem:
        details = f"its details could not be written to a file ({problem.strerror})"
    _complain(
        f"meshctl itself failed ({type(error).__name__}: {error}). This is a defect; {details}.", ExitCode.COULD_NOT_RUN
    )
