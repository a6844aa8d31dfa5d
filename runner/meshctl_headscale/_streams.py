# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Handle a closed or full stdout as an error, and ignore failures to write to stderr."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_ESCAPE = "meshctl-escape"
# What reports contain, and what a path of invalid bytes becomes.
_UNUSUAL = "\N{CHECK MARK}\udcff"


class StdoutError(Exception):
    """The answer could not be written. Not an OSError, which could come from any other file."""


class _Stdout(io.FileIO):
    has_reader = True

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            # The reader has read enough, which does not affect the exit code. Typer would exit with 1.
            _Stdout.has_reader = False
            discard()
            return memoryview(data).nbytes
        except OSError as error:
            raise StdoutError(f"stdout cannot be written: {error.strerror}.") from None


class _Stderr(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            # The exit code still tells the result.
            return memoryview(data).nbytes


def take_over() -> None:
    """Replace stdout and stderr by streams that behave this way."""
    for number, how in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # A closed descriptor would be reused by the next file. Reserve it; writing to such a stdout fails.
            os.set_inheritable(os.open(os.devnull, how), True)
    codecs.register_error(_ESCAPE, _escaped)
    sys.stdout = _text(_Stdout(1, "w", closefd=False), sys.stdout, errors=_errors(sys.stdout))
    sys.stderr = _text(_Stderr(2, "w", closefd=False), sys.stderr, errors=getattr(sys.stderr, "errors", None))


def _errors(like: TextIO | None) -> str:
    """Return how a stream handles characters that its encoding does not have: never by an error."""
    if like is None:
        return _ESCAPE
    try:
        _UNUSUAL.encode(like.encoding, like.errors or "strict")
    except UnicodeEncodeError:
        return _ESCAPE
    return like.errors or _ESCAPE


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Escape characters that the encoding does not have as JSON does, so that JSON stays valid."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def _text(raw: io.FileIO, like: TextIO | None, *, errors: str | None) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(like, "encoding", None),
        errors=errors,
        line_buffering=bool(getattr(like, "line_buffering", False)),
        write_through=bool(getattr(like, "write_through", False)),
    )


def flush() -> None:
    """Flush stdout while an error can still change the exit code."""
    sys.stdout.flush()


def has_reader() -> bool:
    """Whether stdout still has a reader, as far as writing to it has shown."""
    return _Stdout.has_reader


def discard() -> None:
    """Discard the rest of the output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
