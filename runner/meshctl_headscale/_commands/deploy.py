# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`meshctl up` and `meshctl down`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import typer

from meshctl_headscale import _inputs
from meshctl_headscale._exit import ExitCode
from meshctl_headscale._options import AsJson, Check, ExtraVars, Inventory, LabName, Quiet, Show, Verbose

if TYPE_CHECKING:
    from meshctl_headscale._play import Request
    from meshctl_headscale._run import Result


def up(
    inventory: Inventory = None,
    lab: LabName = None,
    extra_vars: ExtraVars = None,
    check: Check = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Bring up the lab and its mesh.

    Changes only what differs from the inventory. If it fails half-way, it takes down what it started.

    \b
    Examples:
      meshctl up                        bring up the seed lab (inventory/lab.yml)
      meshctl up --check                show what would change
      meshctl up -i my-lab.yml          use your own topology
      meshctl up --lab second           bring up a second lab next to the first
    """
    show = Show(as_json=as_json, quiet=quiet, verbose=verbose)
    _play("up", inventory, lab, extra_vars, check=check, show=show)


def down(
    inventory: Inventory = None,
    lab: LabName = None,
    extra_vars: ExtraVars = None,
    check: Check = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Remove the lab and everything that belongs to it.

    Works from the record of what was built, even if the inventory has changed since or the lab is incomplete.
    With --lab, no inventory is read.

    \b
    Examples:
      meshctl down
      meshctl down --lab second
    """
    show = Show(as_json=as_json, quiet=quiet, verbose=verbose)
    _play("down", inventory, lab, extra_vars, check=check, show=show)


def _play(
    name: str, inventory: str | None, lab: str | None, extra_vars: list[str] | None, *, check: bool, show: Show
) -> NoReturn:
    """Run the playbook `up` or `down`; after `up`, show the machines."""
    from meshctl_headscale import _inventory, _run, _tables
    from meshctl_headscale._play import Request
    from meshctl_headscale._project import project

    variables, files = _run.parse_extra_vars(extra_vars or [])
    variables |= _inputs.lab_variables(lab)
    recorded = _backend(lab) if name == "down" and lab else None
    request = Request(
        playbooks=[project().playbook(name)],
        # A lab is removed by its record. A host that an inventory names is reached over SSH unless told otherwise.
        inventory="localhost," if recorded else _inputs.inventory(inventory),
        extra_vars={**({"mesh_backend": recorded, "ansible_connection": "local"} if recorded else {}), **variables},
        extra_files=files,
        check=check,
        verbosity=show.verbose,
    )
    known = _inventory.variables(request.inventory, [] if recorded else files)
    lab_name = str(lab or variables.get("lab_name") or known["lab_name"])
    command = _inputs.command(name, inventory=inventory, lab=lab)
    if name == "up":
        result, machines = _up(request, show=show, command=command, lab=lab_name, known=known)
    else:
        result, machines = _run.play(request, name=name, show=show, command=command), None
        _run.summary(result, show=show, title=name)
    if show.as_json:
        _inputs.print_json({"lab": lab_name, **result.as_dict(), "machines": (machines or {}).get("machines", [])})
    elif machines and not show.quiet:
        _tables.status(machines)
    raise typer.Exit(int(result.code))


def _up(
    request: Request, *, show: Show, command: str, lab: str, known: dict[str, str]
) -> tuple[Result, dict[str, Any] | None]:
    """Bring the lab up, with a play unless there is nothing to change; return its status as well."""
    from meshctl_headscale import _again, _fingerprint, _labs, _run
    from meshctl_headscale._play import new_run_dir

    again = _again.Up(lab=lab, request=request, variables=known, command=command)
    fingerprint = _fingerprint.of(request) if known["mesh_backend"] == "lab" else ""
    if not fingerprint:
        result = _run.play(request, name="up", show=show, command=command)
    elif isinstance(found := again.again(fingerprint), str):
        run_dir = new_run_dir("up")
        with again.noting(run_dir, found) as noting:
            result = _run.play(noting, name="up", show=show, command=command, run_dir=run_dir)
            again.keep(result, fingerprint)
    else:
        _run.summary(found[0], show=show, title="up")
        return found
    _run.summary(result, show=show, title="up")
    is_up = result.code == ExitCode.PASSED and not request.check
    return result, _labs.status_if_up(lab, known) if is_up else None


def _backend(lab: str) -> str:
    """Return the backend of a lab by its record; what is left of one without a record is a lab of namespaces."""
    from meshctl_headscale import _collection

    record = _collection.lab.Lab(lab).record
    machines = record.topology["machines"].values() if record else ()
    return "libvirt" if any(machine.get("kind") == "guest" for machine in machines) else "lab"
