# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`meshctl why`."""

from __future__ import annotations

import io
import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from meshctl_headscale import _inputs
from meshctl_headscale._exit import BadInputError
from meshctl_headscale._options import AsJson, ExtraVars, Inventory, LabName, Show, Verbose, node_names

if TYPE_CHECKING:
    from meshctl_headscale._run import Result

_END = "a host of the inventory, a node of the mesh or an address"


def why(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            envvar="MESHCTL_SOURCE",
            autocompletion=node_names,
            help=f"Where the connection starts: {_END}.",
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            envvar="MESHCTL_TARGET",
            autocompletion=node_names,
            help=f"What it should reach: {_END}, including one behind a subnet router.",
        ),
    ],
    service: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE", envvar="MESHCTL_SERVICE", show_default="icmp", help="tcp/443, udp/53, https, or icmp."
        ),
    ] = "",
    inventory: Inventory = None,
    lab: LabName = None,
    extra_vars: ExtraVars = None,
    verbose: Verbose = 0,
    as_json: AsJson = False,
) -> None:
    """Find out why one node cannot reach another: walk the path step by step, and name the first step that fails.

    Connects once, and changes nothing. Exits with 0 if the target answers, otherwise with 1. Steps that cannot be observed,
    because meshctl cannot log in to a host, are shown as unknown.

    \b
    Examples:
      meshctl why client-node-1 client-node-2 tcp/80
      meshctl why client-node-1 192.168.1.50 https      an address behind a subnet router
      meshctl why -i hosts.yml laptop nas udp/53        a mesh of existing hosts
      meshctl why client-node-1 client-node-2 --json | jq .failed_step
    """
    from meshctl_headscale import _collection, _run
    from meshctl_headscale._play import Request
    from meshctl_headscale._project import project

    from meshctl_headscale import _stories  # isort: skip

    for what, said in (("SOURCE", source), ("TARGET", target), ("SERVICE", service)):
        if "{" in said:
            # Ansible would evaluate it as a template.
            raise BadInputError(f"{what} is {said!r}: braces are not allowed.")
    variables, files = _run.parse_extra_vars(extra_vars or [])
    asked = {"why_source": source, "why_target": target, "why_service": service}
    playbook = project().playbook("why")
    request = Request(
        playbooks=[playbook],
        inventory=_inputs.inventory(inventory),
        extra_vars={**variables, **_inputs.lab_variables(lab), **asked},
        extra_files=files,
        verbosity=verbose,
    )
    show = Show(as_json=as_json, quiet=True, verbose=verbose)
    words = [word for word in (source, target, service) if word]
    result = _run.play(
        request,
        name="why",
        show=show,
        stories=_stories.select(project(), [str(playbook)]),
        command=_inputs.command("why", *words, inventory=inventory, lab=lab),
        # The steps say it all, once.
        console=None if verbose else _collection.text.console(io.StringIO()),
    )
    _show(result, as_json=as_json)
    raise typer.Exit(int(result.code))


def _show(result: Result, *, as_json: bool) -> None:
    from meshctl_headscale import _collection, _run

    found = _run.report_or_error(result)
    # report.json has passed checks, such as the steps before the first that fails, in columns.
    checks = _collection.columns.unpack(found).get("checks", []) if isinstance(found, dict) else []
    answer = _collection.walk.as_data(checks)
    if as_json:
        _inputs.print_json({"exit_code": int(result.code), **answer} if answer.get("headline") else found)
        return
    if not answer.get("headline"):
        _run.summary(result, show=Show(), title="run")
        return
    shown = _collection.visible.data(checks)
    out = _collection.text.console(width=max(80, shutil.get_terminal_size((100, 24)).columns))
    out.print(_collection.text.steps([check for check in shown if check["story"] == _collection.walk.STORY]))
    out.print()
    out.print(_collection.visible.line(str(answer["headline"])), style="bold", soft_wrap=not sys.stdout.isatty())
