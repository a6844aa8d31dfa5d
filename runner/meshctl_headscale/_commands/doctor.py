# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`meshctl doctor`."""

from __future__ import annotations

from typing import Annotated, Any, NoReturn

import typer

from meshctl_headscale import _inputs
from meshctl_headscale._exit import BadInputError, ExitCode
from meshctl_headscale._options import (
    AsJson,
    ExtraVars,
    Inventory,
    LabName,
    Limit,
    MinSeverity,
    Quiet,
    Show,
    Slices,
    Verbose,
    none_empty,
    not_empty,
    option,
)  # fmt: skip

_MESH_ONLY = ("inventory", "lab", "slices", "limit", "extra_vars")


def doctor(
    context: typer.Context,
    mesh: Annotated[bool, option("--mesh", help="Examine the mesh of the inventory instead of this machine.")] = False,
    config: Annotated[
        str | None,
        option(
            "--config",
            metavar="FILE",
            callback=not_empty,
            help="Examine this configuration of Headscale, and the DERP maps next to it.",
        ),
    ] = None,
    policy: Annotated[
        str | None, option("--policy", metavar="FILE", callback=not_empty, help="Examine this policy of Headscale.")
    ] = None,
    users: Annotated[
        list[str] | None,
        option(
            "--user",
            metavar="NAME",
            callback=none_empty,
            help="User that exists on the server; others in the policy are reported. Repeatable.",
        ),
    ] = None,
    headscale: Annotated[
        str | None,
        option(
            "--headscale",
            metavar="FILE",
            callback=not_empty,
            show_default="the one in the cache",
            help="headscale program to read the files as well; it contacts nothing.",
        ),
    ] = None,
    min_severity: MinSeverity = None,
    inventory: Inventory = None,
    lab: LabName = None,
    slices: Slices = None,
    limit: Limit = None,
    extra_vars: ExtraVars = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Check that this machine can run a lab, or find out what is wrong with a mesh or with files for a server.

    Names each problem and its remedy, and changes nothing. Exits with 3 if something is missing on this machine;
    with --mesh, exits as `meshctl run` does: with 1 if something is wrong. With --config or --policy, contacts nothing,
    and exits with 1 if there is a finding.

    \b
    Examples:
      meshctl doctor
      meshctl doctor --json | jq '.findings[] | select(.verdict == "fail")'
      meshctl doctor --mesh                     examine the mesh of the embedded lab
      meshctl doctor --mesh -i hosts.yml        examine a mesh of existing hosts
      meshctl doctor --config config.yaml --policy policy.hujson
    """
    if not mesh:
        _refuse_unused(context, files=bool(config or policy))
    if config or policy:
        if mesh:
            raise BadInputError("--mesh cannot be combined with --config or --policy: run them one after the other.")
        _examine_files(config, policy, users, headscale, min_severity, as_json=as_json)
    if users or headscale:
        raise BadInputError("--user and --headscale require --config or --policy.")
    if mesh:
        from meshctl_headscale import _collection

        show = Show(as_json=as_json, quiet=quiet, verbose=verbose)
        severity = _collection.examine.severity_of(min_severity) if min_severity else ""
        _examine_mesh(inventory, lab, limit or [], extra_vars or [], severity, slices=slices, show=show)
    if min_severity:
        raise BadInputError("--min-severity requires --mesh, --config or --policy.")
    from meshctl_headscale import _doctor, _tables

    found = _doctor.examine()
    if as_json:
        _inputs.print_json(found)
    else:
        _tables.findings(found)
    raise typer.Exit(int(ExitCode.PASSED if found["ok"] else ExitCode.COULD_NOT_RUN))


def _refuse_unused(context: typer.Context, *, files: bool) -> None:
    """Refuse options that would have no effect; a variable of the environment may be set for all commands."""
    # By its name: Typer may bring its own copy of the class.
    sources = {name: getattr(context.get_parameter_source(name), "name", "") for name in _MESH_ONLY}
    unused = [f"--{name.replace('_', '-')}" for name, source in sources.items() if source == "COMMANDLINE"]
    if not unused:
        return
    named = " and ".join(filter(None, [", ".join(unused[:-1]), unused[-1]]))
    if files:
        raise BadInputError(f"{named} cannot be combined with --config or --policy, which examine only these files.")
    verb = "requires" if len(unused) == 1 else "require"
    raise BadInputError(f"{named} {verb} --mesh: without it, only this machine is examined.")


def _examine_files(
    config: str | None,
    policy: str | None,
    users: list[str] | None,
    program: str | None,
    severity: str | None,
    *,
    as_json: bool,
) -> NoReturn:
    """Examine files and show the findings."""
    from meshctl_headscale import _collection, _tables

    wanted = _collection.examine.severity_of(severity)
    found = _collection.examine.examine(config, policy, users=users or None, program=program).result(wanted)
    if as_json:
        _inputs.print_json(found)
    else:
        _tables.files(found)
    raise typer.Exit(int(ExitCode.PASSED if found["ok"] else ExitCode.FAILED))


def _examine_mesh(
    inventory: str | None,
    lab: str | None,
    limit: list[str],
    extra_vars: list[str],
    severity: str,
    *,
    slices: int | None,
    show: Show,
) -> NoReturn:
    """Run the playbook `doctor` and show its findings."""
    from meshctl_headscale import _run, _sliced, _stories
    from meshctl_headscale._play import Request
    from meshctl_headscale._project import project

    variables, files = _run.parse_extra_vars(extra_vars)
    chosen = {"mesh_min_severity": severity} if severity else {}
    playbook = project().playbook("doctor")
    request = Request(
        playbooks=[playbook],
        inventory=_inputs.inventory(inventory),
        extra_vars={**variables, **chosen, **_inputs.lab_variables(lab)},
        extra_files=files,
        limit=limit,
        verbosity=show.verbose,
    )
    words = ["--mesh", *(["--slices", str(slices)] if slices else [])]
    about: dict[str, Any] = {
        "name": "doctor",
        "show": show,
        "stories": _stories.select(project(), [str(playbook)]),
        "command": _inputs.command("doctor", *words, inventory=inventory, lab=lab),
    }
    result = _sliced.play(request, slices, **about) if slices else _run.play(request, **about)
    _run.summary(result, show=show, title="run")
    if show.as_json:
        _inputs.print_json(_run.report_or_error(result))
    raise typer.Exit(int(result.code))
