# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`meshctl report`."""

from __future__ import annotations

from typing import Annotated

import typer

from meshctl_headscale._exit import BadInputError, ExitCode
from meshctl_headscale._options import not_empty, option


def report(
    run_names: Annotated[
        list[str] | None,
        typer.Argument(
            envvar="MESHCTL_REPORT_RUN",
            metavar="RUN",
            show_default="the newest",
            help="A run: its directory, its name, or part of its name. With --merge, all runs to merge.",
        ),
    ] = None,
    form: Annotated[
        str | None,
        option(
            "--format",
            "-f",
            metavar="text|json|junit|html|path",
            callback=not_empty,
            show_default="text",
            help="`path` prints the directory of the run.",
        ),
    ] = None,
    query: Annotated[
        str | None,
        option(
            "--query", metavar="JMESPATH", callback=not_empty, help="Print what this expression finds in the report."
        ),
    ] = None,
    compare: Annotated[
        tuple[str, str] | None, option("--compare", metavar="OLD NEW", help="Show what broke and what became slower.")
    ] = None,
    merge: Annotated[
        bool, option("--merge", help="Merge the reports of slices (each RUN) into that of a new run, and show it.")
    ] = False,
    verbose: Annotated[
        int,
        option(
            "--verbose", "-v", count=True, show_default=False, help="List every check, and the addresses of the nodes."
        ),
    ] = 0,
) -> None:
    """Show the report of a run, query it, compare two runs, or merge the reports of slices.

    With --compare, exits with 1 if NEW has a failure that OLD did not have. OLD and NEW can also be times,
    in UTC or relative (`2h` is two hours ago): the last run that had begun by then, of the same stories as the other run.

    With --merge, exits with 1 unless every check passed.

    \b
    Examples:
      meshctl report                                  show the newest run
      meshctl report -v                               list all of its checks
      meshctl report us2 --format html > us2.html     export the newest run of us2
      xdg-open "$(meshctl report --format path)/report.html"
      meshctl report --query "checks[?verdict=='failed'].[id, source, target]"
      meshctl report --compare 20260101T120000Z-all 20260102T120000Z-all
      meshctl report --merge job-17 job-18 job-19     merge the reports of three slices
      meshctl report --compare 24h now                compare the run of 24 hours ago with the newest one
    """
    from meshctl_headscale import _reports

    form, names = form or "text", run_names or []
    if form not in _reports.FORMATS:
        raise BadInputError(f"There is no format {form!r}. The formats are: {', '.join(_reports.FORMATS)}.")
    if compare:
        if names or query or merge:
            raise BadInputError("--compare names both runs: leave out RUN, --query and --merge.")
        raise typer.Exit(int(_compare(*compare, form)))
    if query and form not in ("text", "json"):
        raise BadInputError(f"--query prints JSON: leave out --format {form}.")
    directory = _reports.merge(names) if merge else _reports.find(_only(names))
    if query:
        print(_reports.query(directory, query))
    else:
        print(_reports.render(directory, form, every=verbose > 0).rstrip("\n"))
    if merge:
        raise typer.Exit(int(_reports.code(directory)))


def _only(names: list[str]) -> str | None:
    if len(names) > 1:
        raise BadInputError(f"{len(names)} runs are named: name one, or merge them with --merge.")
    return next(iter(names), None)


def _compare(old: str, new: str, form: str) -> ExitCode:
    from meshctl_headscale import _reports

    if form not in ("text", "json"):
        raise BadInputError(f"A comparison has the formats text and json, not {form}.")
    text, broke = _reports.compare(*_reports.find_two(old, new), form)
    print(text.rstrip("\n"))
    return ExitCode.FAILED if broke else ExitCode.PASSED
