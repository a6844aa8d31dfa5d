# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`meshctl watch`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshctl_headscale import _inputs
from meshctl_headscale._exit import BadInputError
from meshctl_headscale._options import ExtraVars, HistoryFile, Inventory, LabName, Limit, Stories, not_empty, option

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshctl_headscale._watch.loop import Watch

_SHORTEST_S = 10.0


def watch(
    context: typer.Context,
    story: Stories = None,
    every: Annotated[
        str, option("--every", metavar="DURATION", help="Interval between rounds, such as 5m or 1h.")
    ] = "5m",
    once: Annotated[bool, option("--once", help="Run one round and exit; set --every to how often you do so.")] = False,
    listen: Annotated[
        str | None,
        option("--listen", metavar="ADDRESS:PORT", callback=not_empty, help="Serve metrics here, at /metrics."),
    ] = None,
    tls_cert: Annotated[
        Path | None, option("--tls-cert", metavar="FILE", help="Certificate of --listen, as PEM.")
    ] = None,
    tls_key: Annotated[
        Path | None, option("--tls-key", metavar="FILE", help="Private key of --tls-cert, as PEM.")
    ] = None,
    auth_file: Annotated[
        Path | None,
        option("--auth-file", metavar="FILE", help="File with user:password for --listen, readable by you alone."),
    ] = None,
    textfile: Annotated[
        Path | None, option("--textfile", metavar="FILE.prom", help="Write metrics for node_exporter here.")
    ] = None,
    notify: Annotated[
        list[str] | None,
        option(
            "--notify",
            metavar="@FILE",
            help="File with one Apprise URL per line. The environment variable can also hold URLs. Repeatable.",
        ),
    ] = None,
    keep_runs: Annotated[
        int, option("--keep-runs", metavar="N", min=2, help="How many run directories to keep.")
    ] = 300,
    inventory: Inventory = None,
    lab: LabName = None,
    history_file: HistoryFile = None,
    limit: Limit = None,
    extra_vars: ExtraVars = None,
) -> None:
    """Run stories and the doctor repeatedly: serve metrics, keep a history, and notify of changes.

    Each round uses the mesh as it is, and skips whatever disrupts it. Rounds never overlap. A round that cannot
    run is reported, and the next one starts as scheduled. An address that is not loopback requires TLS and a password.

    \b
    Examples:
      meshctl watch us1 --lab seed --listen 127.0.0.1:9847
      meshctl watch us1 us4 -i hosts.yml --every 10m --textfile /var/lib/node_exporter/meshctl.prom
      meshctl watch -i hosts.yml --notify @urls --every 15m
      meshctl watch us1 -i hosts.yml --once           one round, for cron or a timer
      meshctl history -i hosts.yml --since 24h        what the rounds have found
    """
    from meshctl_headscale import _watch, _when
    from meshctl_headscale._history import file
    from meshctl_headscale._watch import endpoint, rounds, send

    every_s = _when.seconds(every, "--every")
    if every_s < _SHORTEST_S:
        raise BadInputError(f"--every is {every!r}: the shortest time between two rounds is {_SHORTEST_S:g}s.")
    source = context.get_parameter_source("notify")
    # By its name: Typer may bring its own copy of the class.
    addresses = send.urls(notify or [], on_command_line=getattr(source, "name", "") == "COMMANDLINE")
    where, only_with_listen = None, {"--tls-cert": tls_cert, "--tls-key": tls_key, "--auth-file": auth_file}
    if listen:
        where = endpoint.address(listen, certificate=tls_cert, key=tls_key, auth_file=auth_file)
    elif lone := [name for name, file in only_with_listen.items() if file]:
        raise BadInputError(
            f"{' and '.join(lone)} cannot be used without --listen: set it to the address and port where metrics are served."
        )
    for name, given in (("--listen", listen), ("--textfile", textfile)):
        if given:
            _watch.require("prometheus_client", name)
    if textfile:
        textfile = _checked(textfile)
    sender = send.sender(addresses) if addresses else None
    made = _made(story or [], inventory, lab, extra_vars or [], limit or [])
    history = file.path(history_file, inventory, lab)
    state = _state(history)
    with rounds.locked(state, _say) as lock:
        watching = _watching(made, lock, history, state, every_s, keep_runs, textfile, sender)
        if where:
            from meshctl_headscale._watch import metrics

            endpoint.serve(where, metrics.registry(lambda: watching.snapshot))
            _say(f"Metrics: {where.url}")
        raise typer.Exit(int(watching.run(once=once)))


def _say(text: str) -> None:
    from datetime import UTC, datetime

    from meshctl_headscale import _collection

    # Causes quote nodes and servers.
    shown = _collection.visible.line(_collection.scrub.text(text))
    try:
        print(f"{datetime.now(tz=UTC):%Y-%m-%dT%H:%M:%SZ} {shown}", file=sys.stderr, flush=True)
    except OSError:
        # A full disk or a reader that went away must not end the watch.
        return


def _checked(textfile: Path) -> Path:
    from meshctl_headscale import _collection

    path = _collection.home.expanded(textfile)
    if path.suffix != ".prom":
        raise BadInputError(f"--textfile is {textfile}: node_exporter reads only files that end with .prom.")
    _inputs.check_new_file(path, "--textfile")
    return path.absolute()


def _state(history: Path) -> Path:
    """Return the directory of what a watch keeps between its rounds."""
    import contextlib
    import hashlib

    from meshctl_headscale import _collection

    histories = _collection.paths.state_dir() / "history"
    by_name = histories.with_name("watch") / history.stem
    if history.resolve().parent == histories.resolve():
        return by_name
    # Histories in different directories can have the same name.
    state = by_name.with_name(f"{history.stem}-{hashlib.sha256(str(history.resolve()).encode()).hexdigest()[:8]}")
    if by_name.is_dir() and not state.exists() and not (histories / history.name).exists():
        # Earlier versions kept it there.
        with contextlib.suppress(OSError):
            by_name.rename(state)
    return state


def _made(
    stories: list[str], inventory: str | None, lab: str | None, extra_vars: list[str], limit: list[str]
) -> dict[str, Any]:
    """Return what each round runs; refuse bad input at once."""
    from meshctl_headscale import _run, _stories
    from meshctl_headscale._project import project

    selected = _stories.select(project(), stories)
    variables, files = _run.parse_extra_vars(extra_vars)
    names = [chosen.name if chosen.about or chosen.imports else str(chosen.path) for chosen in selected]
    return {
        "stories": names,
        "inventory": _inputs.inventory(inventory),
        "command": _inputs.command("watch", *names, inventory=inventory, lab=lab),
        "variables": {**variables, **_inputs.lab_variables(lab)},
        "files": files,
        "limit": limit,
    }


def _watching(
    made: dict[str, Any],
    lock: int,
    history: Path,
    state: Path,
    every_s: float,
    keep_runs: int,
    textfile: Path | None,
    sender: Callable[[str, str], None] | None,
) -> Watch:
    from meshctl_headscale import _versions
    from meshctl_headscale._watch import loop, rounds

    longest_s = max(rounds.LONGEST_S, 4 * every_s)
    return loop.Watch(
        mesh=history.stem,
        every_s=every_s,
        run_round=rounds.Rounds(**made, state=state, lock=lock, longest_s=longest_s).run,
        history=history,
        told_file=state / "told.json",
        say=_say,
        send=sender,
        textfile=textfile,
        keep_runs=keep_runs,
        version=_versions.own(),
    )
