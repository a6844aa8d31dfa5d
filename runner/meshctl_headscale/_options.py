# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the options of all commands have in common: none is empty, and `--json` is known before anything goes wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from meshctl_headscale._exit import BadInputError

if TYPE_CHECKING:
    from click import UsageError as UsageError  # noqa: PLC0414 (exported)
else:
    # Click's, or that of the copy which newer versions of Typer carry.
    UsageError = typer.BadParameter.__base__

_YES = ("1", "true", "t", "yes", "y", "on")


class Answer:
    """Whether stdout belongs to JSON: errors need to know."""

    as_json = False


def not_empty(option: typer.CallbackParam, value: str | None) -> str | None:
    """Refuse an option without a value: it would silently be the default, and that is another lab."""
    if value is not None and not value.strip():
        raise BadInputError(f"{option.opts[0]} is empty: give it a value, or leave it out.")
    return value


def _answer(value: bool) -> bool:
    Answer.as_json = value
    return value


AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        envvar="MESHCTL_JSON",
        help="Print JSON and nothing else on stdout.",
        callback=_answer,
        # Before the others: what is wrong with them is said in JSON as well.
        is_eager=True,
    ),
]


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether a command that was used wrongly was to answer in JSON: its options have not been read then."""
    return "--json" in arguments or os.environ.get("MESHCTL_JSON", "").lower() in _YES
