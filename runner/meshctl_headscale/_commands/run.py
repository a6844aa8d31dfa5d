# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`meshctl run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshctl_headscale import _inputs
from meshctl_headscale._exit import ExitCode
from meshctl_headscale._options import (
    AsJson,
    ExtraVars,
    Inventory,
    LabName,
    Limit,
    Quiet,
    Show,
    SkipTags,
    Slices,
    Stories,
    Tags,
    Verbose,
    option,
)

if TYPE_CHECKING:
    from meshctl_headscale._play import Request
    from meshctl_headscale._run import Result


def run(
    story: Stories = None,
    inventory: Inventory = None,
    lab: LabName = None,
    deploy: Annotated[
        bool, option("--deploy/--no-deploy", help="Bring up the lab and the mesh first, or use them as they are.")
    ] = True,
    keep_going: Annotated[bool, option("--keep-going", "-k", help="Continue after a story that failed.")] = False,
    down_after: Annotated[bool, option("--down", help="Remove the lab at the end, whatever the result.")] = False,
    collect_evidence: Annotated[
        bool, option("--collect", help="If the run fails, create an archive of evidence (`meshctl collect`).")
    ] = False,
    slices: Slices = None,
    limit: Limit = None,
    extra_vars: ExtraVars = None,
    tags: Tags = None,
    skip_tags: SkipTags = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run stories against the mesh and write a report.

    Shows one line for each assertion, failures in full, and a verdict. The report (report.json, junit.xml,
    report.html) and meshctl.log are in a new directory below `runs/`. Ctrl-C stops cleanly and, in a lab, undoes what
    the story disturbed; a second Ctrl-C stops at once. The lab stays up.

    \b
    Exit codes:
      0    every check passed
      1    a check failed
      2    wrong usage or input
      3    the run was not possible (something is missing, a host does not answer, nothing was checked)
      130  interrupted

    \b
    Examples:
      meshctl run                       run all stories
      meshctl run us1                   run one
      meshctl run us2 us4 --keep-going  run two, the second even if the first fails
      meshctl run us1 --no-deploy       use the mesh as it is
      meshctl run all --down            remove the lab at the end
      meshctl run us1 -v                list every check
      meshctl run us1 us2 --slices 4    divide the hosts of a large mesh among four processes
      meshctl run us1 -e mesh_latency_budget_ms=20
      meshctl run all -i hosts.yml -e mesh_allow_disruptive=false
      meshctl run us1 --json | jq .verdict
    """
    from meshctl_headscale import _run, _sliced, _stories
    from meshctl_headscale._play import Request
    from meshctl_headscale._project import project

    show = Show(as_json=as_json, quiet=quiet, verbose=verbose)
    selected = _stories.select(project(), story or [])
    wanted, skipped = _inputs.tags(tags), _inputs.tags(skip_tags)
    _stories.check_tags(project(), selected, f"{wanted},{skipped}")
    parts = _stories.parts(project(), selected)
    if slices:
        _stories.check_slices(project(), parts)
    variables, files = _run.parse_extra_vars(extra_vars or [])
    own: dict[str, Any] = _inputs.lab_variables(lab)
    own |= {"mesh_keep_going": True} if keep_going else {}
    own |= {} if deploy else {"mesh_deploy": False}
    request = Request(
        playbooks=_stories.playbooks(selected, deploy=deploy and not slices),
        inventory=_inputs.inventory(inventory),
        extra_vars={**variables, **own},
        extra_files=files,
        limit=limit or [],
        tags=wanted,
        skip_tags=skipped,
        verbosity=verbose,
    )
    if not deploy and any(chosen.path.parent == project().playbooks for chosen in selected):
        _require_lab(request)
    names = [chosen.name for chosen in selected]
    words = [*names, *(["--slices", str(slices)] if slices else [])]
    about: dict[str, Any] = {
        "name": "-".join(names),
        "show": show,
        "stories": parts,
        "command": _inputs.command("run", *words, inventory=inventory, lab=lab, no_deploy=not deploy),
    }
    result = _sliced.play(request, slices, **about, deploy=deploy) if slices else _run.play(request, **about)
    _run.summary(result, show=show, title="run")
    if collect_evidence and result.code in (ExitCode.FAILED, ExitCode.COULD_NOT_RUN):
        _collect(request, result)
    if result.ended.asked_once and len(result.not_run) < len(parts) and deploy and not down_after:
        _restore(request, result, show)
    code = _down(request, result, show) if down_after else result.code
    if as_json:
        _inputs.print_json(_run.report_or_error(result))
    raise typer.Exit(int(code))


def _require_lab(request: Request) -> None:
    """Say at once that the lab is not up, instead of waiting for each of its machines."""
    from meshctl_headscale import _labs

    known = _known(request)
    if known["mesh_backend"] == "lab":
        _labs.running(str(known["lab_name"]))


def _known(request: Request) -> dict[str, Any]:
    """Return the variables of the inventory and the command line."""
    from meshctl_headscale import _inventory

    return {**_inventory.variables(request.inventory, request.extra_files), **request.extra_vars}


def _restore(request: Request, result: Result, show: Show) -> None:
    """Undo what an interrupted story disturbed: Ansible runs no `always` section then. Existing hosts stay as they are."""
    from dataclasses import replace

    from meshctl_headscale import _collection, _run
    from meshctl_headscale._project import project

    known = _known(request)
    if known["mesh_backend"] == "hosts" or not _collection.lab.Lab(str(known["lab_name"])).record:
        return
    _run.stderr_console().print("Undoing what the story disturbed. Ctrl-C leaves the lab as it is.", style="yellow")
    again = replace(request, playbooks=[project().playbook("up")], limit=(), tags="", skip_tags="")
    ended = _run.play(again, name="up", show=show, run_dir=result.run_dir / "up", command="meshctl up")
    _run.summary(ended, show=show, title="up")


def _collect(request: Request, result: Result) -> None:
    """Create the archive of a run that failed, in its directory; a problem with that does not change the verdict."""
    from meshctl_headscale import _run
    from meshctl_headscale._commands import collect
    from meshctl_headscale._exit import MeshctlError

    wanted = {
        "inventory": request.inventory,
        "extra_vars": request.extra_vars,
        "extra_files": request.extra_files,
        "limit": request.limit,
    }
    path = result.run_dir / f"{result.run_dir.name}-evidence.tar.gz"
    try:
        collect.create(result.run_dir, path, wanted, anonymous=False, quiet=True)
        _run.stderr_console().print(f"Evidence: {_run.shown_path(path)}", soft_wrap=True)
    except MeshctlError as error:
        _run.stderr_console().print(f"No evidence was collected: {error}", style="yellow", soft_wrap=True)


def _down(request: Request, result: Result, show: Show) -> ExitCode:
    """Remove the lab after a run; return the exit code of both."""
    from dataclasses import replace

    from meshctl_headscale import _run
    from meshctl_headscale._project import project

    ending = replace(request, playbooks=[project().playbook("down")], limit=(), tags="", skip_tags="")
    # A directory below the run's, so that the report of the run stays as it is.
    ended = _run.play(ending, name="down", show=show, run_dir=result.run_dir / "down", command="meshctl down")
    _run.summary(ended, show=show, title="down")
    return ended.code if result.code == ExitCode.PASSED else result.code
