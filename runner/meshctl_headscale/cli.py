# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line: which commands there are, and how the program starts and ends."""

from __future__ import annotations

from meshctl_headscale import _signals

# isort: split
from typing import Annotated, NoReturn

import typer

from meshctl_headscale import _errors, _options, _streams, faults
from meshctl_headscale._commands import about, collect, deploy, doctor, history, init, lab, report, run, watch, why

# Plain help starts in a tenth of a second, and its examples keep their lines.
app = typer.Typer(
    name="meshctl",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(faults.app)


def _version(asked: bool) -> None:
    """Print the version of meshctl, as `--version` of every command line does."""
    if asked:
        from meshctl_headscale import _versions

        print(f"meshctl {_versions.own()}")
        raise typer.Exit


@app.callback()
def meshctl(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version of meshctl and exit."),
    ] = False,
) -> None:
    """Bring up a Headscale mesh, verify that it works, and find out what is wrong when it does not.

    \b
    First steps:
      meshctl doctor        check that this machine can run a lab
      meshctl run us1       bring up the lab and its mesh, and run the first story
      meshctl status        show the machines
      meshctl down          remove the lab

    Each command has examples: meshctl COMMAND --help.
    """


app.command()(deploy.up)
app.command()(deploy.down)
app.command()(run.run)
app.command()(lab.status)
app.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(
    lab.execute
)
app.command()(lab.logs)
app.command()(init.init)
app.command()(doctor.doctor)
app.command()(why.why)
app.command()(report.report)
app.command()(collect.collect)
app.command()(watch.watch)
app.command()(history.history)
app.command(name="list")(about.list_stories)
app.command()(about.version)
for _command in (*app.registered_commands, *faults.app.registered_commands):
    _command.cls = _options.Command


def main() -> NoReturn:
    """Run meshctl."""
    _signals.end_quietly()
    _streams.take_over()
    _errors.ended(lambda: app(prog_name="meshctl", standalone_mode=False))
