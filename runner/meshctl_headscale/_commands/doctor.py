# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`meshctl doctor`."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from meshctl_headscale import _inputs
from meshctl_headscale._exit import ExitCode
from meshctl_headscale._options import AsJson, ExtraVars, Inventory, LabName, Limit, Quiet, Show, Verbose


def doctor(
    mesh: Annotated[
        bool, typer.Option("--mesh", envvar="MESHCTL_MESH", help="Examine the mesh of the inventory instead.")
    ] = False,
    inventory: Inventory = None,
    lab: LabName = None,
    limit: Limit = None,
    extra_vars: ExtraVars = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Check that this machine can run a lab; with --mesh, find out what is wrong with a mesh.

    Names each problem and its remedy, and changes nothing. Exits with 3 if something is missing on this machine;
    with --mesh, exits as `meshctl run` does: with 1 if something is wrong.

    \b
    Examples:
      meshctl doctor
      meshctl doctor --json | jq '.findings[] | select(.verdict == "fail")'
      meshctl doctor --mesh                     examine the mesh of the embedded lab
      meshctl doctor --mesh -i hosts.yml        examine a mesh of existing hosts
    """
    if mesh:
        show = Show(as_json=as_json, quiet=quiet, verbose=verbose)
        _examine_mesh(inventory, lab, limit or [], extra_vars or [], show=show)
    from meshctl_headscale import _doctor, _tables

    found = _doctor.examine()
    if as_json:
        _inputs.print_json(found)
    else:
        _tables.findings(found)
    raise typer.Exit(int(ExitCode.PASSED if found["ok"] else ExitCode.COULD_NOT_RUN))


def _examine_mesh(
    inventory: str | None, lab: str | None, limit: list[str], extra_vars: list[str], *, show: Show
) -> NoReturn:
    """Run the playbook `doctor` and show its findings."""
    from meshctl_headscale import _run, _stories
    from meshctl_headscale._play import Request
    from meshctl_headscale._project import project

    variables, files = _run.parse_extra_vars(extra_vars)
    playbook = project().playbook("doctor")
    request = Request(
        playbooks=[playbook],
        inventory=_inputs.inventory(inventory),
        extra_vars={**variables, **_inputs.lab_variables(lab)},
        extra_files=files,
        limit=limit,
        verbosity=show.verbose,
    )
    result = _run.play(
        request,
        name="doctor",
        show=show,
        stories=_stories.select(project(), [str(playbook)]),
        command=_inputs.command("doctor", "--mesh", inventory=inventory, lab=lab),
    )
    _run.summary(result, show=show, title="run")
    if show.as_json:
        _inputs.print_json(_run.report_or_error(result))
    raise typer.Exit(int(result.code))
