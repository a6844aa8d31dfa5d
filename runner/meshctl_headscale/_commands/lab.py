# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands that look into a lab: `status`, `exec` and `logs`. With --lab, none of them reads an inventory."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from meshctl_headscale import _inputs
from meshctl_headscale._options import AsJson, Inventory, LabName, Node, option


def status(inventory: Inventory = None, lab: LabName = None, as_json: AsJson = False) -> None:
    """Show the machines of the lab and the state of their nodes.

    ONLINE is what the control server reports, DERP is the node's home relay, and DIRECT counts the peers that the
    node currently talks to without a relay. A terminal narrower than 100 columns omits SUBNET and PID. Exits with 3
    if the lab is not up. With --lab, no inventory is read.

    \b
    Examples:
      meshctl status
      meshctl status --lab second
      meshctl status --json | jq '.machines[] | select(.online == false) | .host'
    """
    from meshctl_headscale import _inventory, _labs, _tables

    variables = dict(_inventory.DEFAULTS) if lab else _inputs.variables(inventory)
    found = _labs.status(lab or variables["lab_name"], variables)
    if as_json:
        _inputs.print_json(found)
    else:
        _tables.status(found)


def execute(
    node: Node,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND", show_default="a shell", help="The command to run, after `--` if it has options."
        ),
    ] = None,
    inventory: Inventory = None,
    lab: LabName = None,
) -> None:
    """Run a command on a machine of the lab.

    Options of meshctl come before NODE. Terminal, signals and exit code are those of the command.

    \b
    Examples:
      meshctl exec client-node-1
      meshctl exec client-node-1 -- tailscale status
      meshctl exec client-node-2 -- ping -c 3 client-node-1.mesh.internal
      meshctl exec --lab second headscale-server -- headscale nodes list
    """
    from meshctl_headscale import _labs

    words = command or []
    _labs.execute(_inputs.lab_name(lab, inventory), node, words[1:] if words[:1] == ["--"] else words)


def logs(
    node: Node,
    service: Annotated[
        str | None,
        typer.Argument(
            envvar="MESHCTL_SERVICE", metavar="SERVICE", show_default="all", help="One of the machine's services."
        ),
    ] = None,
    follow: Annotated[bool, option("--follow", "-f", help="Keep printing new lines.")] = False,
    lines: Annotated[int, option("--lines", "-n", metavar="N", min=0, help="Maximum number of old lines.")] = 50,
    inventory: Inventory = None,
    lab: LabName = None,
) -> None:
    """Show the logs of a machine's services.

    \b
    Examples:
      meshctl logs headscale-server
      meshctl logs client-node-1 tailscaled -f
    """
    from meshctl_headscale import _labs, _tail

    files = _labs.log_files(_inputs.lab_name(lab, inventory), node, service)
    if not files:
        print(f"'{node}' has no services: there is nothing to show.", file=sys.stderr)
        return
    _tail.show(files, lines=lines, follow=follow)
