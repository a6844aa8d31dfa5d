# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`meshctl history`."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import Annotated

from meshctl_headscale import _collection, _inputs
from meshctl_headscale._exit import BadInputError, MeshctlError
from meshctl_headscale._options import AsJson, HistoryFile, Inventory, LabName, not_empty, option


def history(
    add: Annotated[
        list[str] | None,
        option(
            "--add",
            envvar="MESHCTL_HISTORY_ADD",
            metavar="RUN",
            help="First add this run: its directory, its name, or part of its name. Repeatable.",
        ),
    ] = None,
    since: Annotated[
        str, option("--since", metavar="TIME", help="Start of the period: 12h (ago) or 2026-01-31.")
    ] = "7d",
    until: Annotated[str, option("--until", metavar="TIME", help="End of the period.")] = "now",
    html: Annotated[
        str | None,
        option("--html", metavar="FILE", callback=not_empty, help="Write a page with charts; `-` is stdout."),
    ] = None,
    inventory: Inventory = None,
    lab: LabName = None,
    history_file: HistoryFile = None,
    as_json: AsJson = False,
) -> None:
    """Show outages, availability, latency and flapping.

    Times are in UTC. The history of a mesh keeps 30 days, and at most 256 MiB: the oldest runs are dropped first.
    No inventory is read: its path only names the mesh.

    \b
    Examples:
      meshctl history --add latest            add the newest run, and show the last seven days
      meshctl history --since 24h
      meshctl history --since 2026-01-31 --until 2026-02-01T12:00
      meshctl history --json | jq '.nodes[] | select(.flapping) | .node'
      meshctl history --html history.html
    """
    from meshctl_headscale import _when
    from meshctl_headscale._history import file, page, summary, tables

    began, ended = _when.moment(since, "--since"), _when.moment(until, "--until")
    if began >= ended:
        raise BadInputError(f"--since {since} is not before --until {until}.")
    if as_json and html:
        raise BadInputError("--json and --html cannot be combined: leave one out.")
    if html and html != "-":
        _inputs.check_new_file(_collection.home.expanded(html), "--html")
    path = file.path(history_file, inventory, lab)
    for said in file.add(path, add) if add else ():
        print(said, file=sys.stderr)
    with file.opened(path) as store:
        found = summary.summarize(store, began, ended)
    if as_json:
        _inputs.print_json({"history": str(path), **found.as_dict()})
    elif html:
        _write(page.render(found, title=path.stem), html)
    else:
        tables.draw(found)


def _write(text: str, output: str) -> None:
    """Write the page; `-` is stdout."""
    if output == "-":
        print(text)
        return
    # A link to the page stays one.
    path = _collection.home.expanded(output).resolve()
    try:
        if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
            old = path.stat()
            with _inputs.replacing(path, mode=stat.S_IMODE(old.st_mode)) as file:
                # A web server may be the owner.
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
                file.write(text.encode())
        else:
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MeshctlError(f"{output} cannot be written: {error.strerror}. Name another file with --html.") from None
