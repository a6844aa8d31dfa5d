# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`meshctl collect`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from meshctl_headscale import _inputs
from meshctl_headscale._exit import ExitCode
from meshctl_headscale._options import ExtraVars, Inventory, LabName, Limit, Show, option


def collect(
    run_name: Annotated[
        str | None,
        typer.Argument(
            envvar="MESHCTL_REPORT_RUN",
            metavar="RUN",
            show_default="the newest",
            help="The run whose report to include.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        option(
            "--output",
            "-o",
            envvar="MESHCTL_COLLECT_OUTPUT",
            metavar="FILE",
            show_default="meshctl-evidence-TIME.tar.gz",
            help="The archive to write.",
        ),
    ] = None,
    anonymous: Annotated[
        bool, option("--anonymous", help="Replace names, users, domains, addresses and keys.")
    ] = False,
    inventory: Inventory = None,
    lab: LabName = None,
    limit: Limit = None,
    extra_vars: ExtraVars = None,
) -> None:
    """Create one archive of evidence, without secrets, to attach to an issue.

    It contains the report and the log of a run, and from each host: tailscaled's status, preferences and netmap,
    addresses, routes, firewall and logs, and the server's configuration, nodes and policy. Nothing is changed. Read it
    before you publish it. Exits with 3 if no host could be read.

    \b
    Examples:
      meshctl collect                           the newest run, and the hosts of the embedded lab
      meshctl collect us1 -i hosts.yml --anonymous
      meshctl run us1 --collect                 run a story, and collect if it fails
    """
    from meshctl_headscale import _reports, _run
    from meshctl_headscale._exit import MeshctlError

    # Before any host is asked, which may take minutes.
    if output:
        _inputs.check_new_file(output, "--output")
    variables, files = _run.parse_extra_vars(extra_vars or [])
    run: Path | None
    try:
        run = _reports.find(run_name)
    except MeshctlError:
        if run_name:
            raise
        run = None
    wanted = {
        "inventory": _inputs.inventory(inventory),
        "extra_vars": {**variables, **_inputs.lab_variables(lab)},
        "extra_files": files,
        "limit": limit or [],
    }
    raise typer.Exit(int(create(run, output, wanted, anonymous=anonymous)))


def create(
    run: Path | None, output: Path | None, wanted: dict[str, Any], *, anonymous: bool, quiet: bool = False
) -> ExitCode:
    """Read from the hosts and write the archive; print its name."""
    import time

    from meshctl_headscale import _collection, _inventory, _run
    from meshctl_headscale._collect import archive
    from meshctl_headscale._exit import MeshctlError
    from meshctl_headscale._play import Request
    from meshctl_headscale._project import project

    path = output or Path(f"meshctl-evidence-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.tar.gz")
    with tempfile.TemporaryDirectory(prefix="meshctl-collect-") as directory:
        request = Request(
            playbooks=[project().playbook("collect")],
            **{**wanted, "extra_vars": {**wanted["extra_vars"], "evidence_dest": f"{directory}/hosts"}},
        )
        result = _run.play(
            request, name="collect", show=Show(quiet=True), run_dir=Path(directory) / "run", command="meshctl collect"
        )
        if result.code == ExitCode.INTERRUPTED:
            return result.code
        found = dict(archive.texts(run, Path(directory) / "hosts"))
        answered = any(name.startswith("hosts/") for name in found)
        known = {**_inventory.variables(request.inventory, request.extra_files), **request.extra_vars}
        if found:
            archive.pack(found, path, anonymous=anonymous, server_url=str(known.get("mesh_server_url", "")))
    for reason in result.reasons:
        _run.stderr_console().print(_collection.visible.line(reason), style="yellow", soft_wrap=True)
    if not found:
        raise MeshctlError("There is no evidence: no host could be read, and no run has a report.")
    if not quiet:
        print(path)
    return ExitCode.PASSED if answered else ExitCode.COULD_NOT_RUN
