# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that several commands share; none may be empty, and `--json` takes effect before anything can go wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from meshctl_headscale import _inputs
from meshctl_headscale._exit import BadInputError

if TYPE_CHECKING:
    from click import UsageError as UsageError  # noqa: PLC0414 (exported)
else:
    # Click's, or that of the copy which newer versions of Typer carry.
    UsageError = typer.BadParameter.__base__

# Of options that can be given once.
_REMEDIES = {"inventory": "name one, or a directory that contains all of them", "lab": "name one lab"}
_YES = ("1", "true", "t", "yes", "y", "on")


class Answer:
    """Whether stdout belongs to JSON: errors need to know."""

    as_json = False


class Given:
    """Where options come from, if errors need to know."""

    extra_vars_in_environment = False


@dataclass(frozen=True, kw_only=True)
class Show:
    """How much is shown, and in which form."""

    as_json: bool = False
    quiet: bool = False
    verbose: int = 0


def not_empty(option: typer.CallbackParam, value: str | None) -> str | None:
    """Refuse an option without a value: the default would silently name another lab."""
    if value is not None and not value.strip():
        raise BadInputError(f"{option.opts[0]} is empty: give it a value, or leave it out.")
    return value


def none_empty(option: typer.CallbackParam, values: list[str] | None) -> list[str] | None:
    """Refuse a value without content, also one of separators alone: Ansible would ignore the option."""
    for value in values or ():
        not_empty(option, value.strip(" ,:"))
    return values


def _limits(option: typer.CallbackParam, values: list[str] | None) -> list[str] | None:
    """Refuse patterns without content, also in a file: Ansible would use all hosts."""
    for value in none_empty(option, values) or ():
        for file in (Path(word[1:]) for word in _inputs.limit_patterns(value) if word.startswith("@")):
            if not file.is_file():
                raise BadInputError(f"There is no file {file} for --limit {value}.")
            if not file.read_bytes().strip():
                raise BadInputError(f"The file {file} for --limit {value} is empty: write one pattern per line.")
    return values


def _extra_vars(context: typer.Context, values: list[str] | None) -> list[str] | None:
    """Take a JSON object or a file in the environment whole: Click splits the variable at spaces."""
    # By its name: Typer may bring its own copy of the class.
    source = getattr(context.get_parameter_source("extra_vars"), "name", "")
    Given.extra_vars_in_environment = source == "ENVIRONMENT"
    whole = os.environ.get("MESHCTL_EXTRA_VARS", "").strip()
    is_file = whole.startswith("@") and os.path.isfile(whole[1:])  # noqa: PTH113 (Path refuses a name that is too long)
    return [whole] if Given.extra_vars_in_environment and (whole.startswith("{") or is_file) else values


def option(*flags: str, envvar: str = "", **more: Any) -> Any:  # noqa: ANN401 - Typer's own
    """Return an option that a variable of the environment sets as well, by default `MESHCTL_LAB` for `--lab`."""
    long = next(flag for flag in flags if flag.startswith("--")).partition("/")[0]
    return typer.Option(*flags, envvar=envvar or f"MESHCTL_{long[2:].upper().replace('-', '_')}", **more)


def _answer(value: bool) -> bool:
    Answer.as_json = value
    return value


class Command(typer.core.TyperCommand):
    """A command that refuses a second inventory or lab: the first would silently have no effect."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - Click's, or Typer's copy of it
        """Parse the arguments of the command."""
        given = list(args)
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            _values, _rest, order = self.make_parser(ctx).parse_args(given)
            for parameter in order:
                once = parameter.name in _REMEDIES and not parameter.multiple
                if once and order.count(parameter) > 1:
                    raise BadInputError(f"{parameter.opts[0]} is given more than once: {_REMEDIES[parameter.name]}.")
        return rest


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether a command with wrong options was meant to answer in JSON: its options were not read then."""
    return "--json" in arguments or os.environ.get("MESHCTL_JSON", "").lower() in _YES


def story_names(incomplete: str) -> list[str]:
    """Complete the name or the alias of a story."""
    from meshctl_headscale import _stories
    from meshctl_headscale._project import project

    return [word for story in _stories.stories(project()) for word in story.words if word.startswith(incomplete)]


def node_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a machine of the lab."""
    from meshctl_headscale import _collection, _inputs, _labs
    from meshctl_headscale._exit import MeshctlError

    try:
        _lab, record = _labs.running(_inputs.lab_name(ctx.params.get("lab"), ctx.params.get("inventory")))
    except (MeshctlError, _collection.errors.HeadscaleError):
        return []
    return [name for name in sorted(record.machines) if name.startswith(incomplete)]


Stories = Annotated[
    list[str] | None,
    typer.Argument(
        envvar="MESHCTL_STORIES",
        autocompletion=story_names,
        metavar="STORY",
        show_default="all",
        help="Stories (see `meshctl list`), `all`, or paths of playbooks.",
    ),
]
Inventory = Annotated[
    str | None,
    option(
        "--inventory",
        "-i",
        metavar="PATH",
        callback=not_empty,
        show_default="lab.yml, the embedded lab",
        help="Ansible inventory with the topology, or the name of one that meshctl ships.",
    ),
]
LabName = Annotated[
    str | None,
    option(
        "--lab",
        metavar="NAME",
        callback=not_empty,
        show_default="lab_name of the inventory",
        help="Name of the lab; several labs can be up at the same time.",
    ),
]
ExtraVars = Annotated[
    list[str] | None,
    option(
        "--extra-vars",
        "-e",
        metavar="KEY=VALUE|@FILE",
        callback=_extra_vars,
        help="Variable for Ansible, or a file of variables (use a file for secrets). Repeatable.",
    ),
]
Limit = Annotated[
    list[str] | None,
    option("--limit", "-l", metavar="PATTERN", callback=_limits, help="Only these hosts or groups. Repeatable."),
]
Slices = Annotated[
    int | None,
    option(
        "--slices",
        metavar="N",
        min=1,
        # One slice is the whole.
        callback=lambda number: None if number == 1 else number,
        show_default=False,
        help="Divide the hosts among this many Ansible processes, and skip what disrupts the mesh.",
    ),
]
Tags = Annotated[
    list[str] | None,
    option(
        "--tags", "-t", metavar="TAG,…", callback=none_empty, help="Run only tasks with one of these tags. Repeatable."
    ),
]
SkipTags = Annotated[
    list[str] | None,
    option("--skip-tags", metavar="TAG,…", callback=none_empty, help="Skip tasks with one of these tags. Repeatable."),
]
Check = Annotated[bool, option("--check", help="Change nothing; show what would change.")]
Verbose = Annotated[
    int,
    option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        help="List every check; -vv adds Ansible's output, and -vvv that of ansible-playbook -v.",
    ),
]
Quiet = Annotated[bool, option("--quiet", "-q", help="Show only failures and the summary.")]
AsJson = Annotated[
    bool,
    option(
        "--json",
        help="Print JSON and nothing else on stdout.",
        callback=_answer,
        # Before the others, so that errors in them are JSON too.
        is_eager=True,
    ),
]
MinSeverity = Annotated[
    str | None,
    option(
        "--min-severity",
        metavar="SEVERITY",
        callback=not_empty,
        show_default="medium",
        help="Show findings of this severity and higher ones: info, low, medium or high.",
    ),
]
Node = Annotated[
    str, typer.Argument(envvar="MESHCTL_NODE", autocompletion=node_names, metavar="NODE", help="A machine of the lab.")
]
HistoryFile = Annotated[
    Path | None,
    option(
        "--history",
        metavar="FILE",
        show_default="one for each inventory and lab, in the state directory",
        help="The file of the history.",
    ),
]
