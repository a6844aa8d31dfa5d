# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the options of all commands have in common: none is empty, and `--json` is known before anything goes wrong."""

from __future__ import annotations

from typing import Annotated

import typer

from meshctl_headscale._exit import BadInputError


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
