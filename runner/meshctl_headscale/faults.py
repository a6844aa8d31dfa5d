# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`meshctl faults`: run the playbooks that break a lab on purpose, and show what they found."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshctl_headscale import _collection, _inputs
from meshctl_headscale._exit import BadInputError, ExitCode, MeshctlError, sentence
from meshctl_headscale._options import AsJson, Inventory, LabName, none_empty, option

if TYPE_CHECKING:
    from rich.console import Console

    from meshctl_headscale._run import Result

# A drill does not touch the lab that people work with.
DRILL_LAB = "drill"
DEADLINE_S = 5.0
# To undo a fault can take longer than to stop a story.
_GRACE_S = "150"

app = typer.Typer(
    name="faults",
    help="""Break a lab on purpose, and see what the stories report.

    \b
    Examples:
      meshctl faults list               show the catalogue
      meshctl up
      meshctl faults inject loss-30     break the lab, and leave it broken
      meshctl run us1 --no-deploy       see what the story reports
      meshctl faults clear              undo the fault
      meshctl faults drill              test the stories with every fault
    """,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


DrillLabs = Annotated[
    list[str] | None,
    option(
        "--lab",
        envvar="MESHCTL_DRILL_LAB",
        metavar="NAME",
        callback=none_empty,
        show_default=DRILL_LAB,
        help="Name of the lab, brought up if necessary. Repeatable: the faults are divided among the labs.",
    ),
]
Family = Annotated[
    list[str] | None,
    option("--family", "-f", envvar="MESHCTL_FAULT_FAMILY", metavar="FAMILY", help="Only this family. Repeatable."),
]


@app.command(name="list")
def list_faults(
    family: Family = None, inventory: Inventory = None, lab: LabName = None, as_json: AsJson = False
) -> None:
    """List the catalogue, and the faults that are active in the lab.

    \b
    Examples:
      meshctl faults list
      meshctl faults list --family dns
      meshctl faults list --json | jq '.faults[] | select(.active) | .id'
    """
    chosen = _collection.catalogue.choose(families=family or [])
    since = {entry.id: entry.since for entry in _active(lab, inventory)}
    if as_json:
        _inputs.print_json({"faults": _collection.catalogue.described(chosen, since)})
        return
    from meshctl_headscale import _tables

    _tables.rows(
        ["FAULT", "FAMILY", "STORY", "EXPECTED", "DESCRIPTION"],
        [
            [fault.id, fault.family, fault.story, fault.verdict, fault.title + " (in the lab)" * (fault.id in since)]
            for fault in chosen
        ],
        marked=["red" if fault.id in since else "" for fault in chosen],
    )


@app.command()
def inject(
    fault: Annotated[
        str, typer.Argument(envvar="MESHCTL_FAULT", metavar="FAULT", help="Id of a fault in the catalogue.")
    ],
    inventory: Inventory = None,
    lab: LabName = None,
) -> None:
    """Inject a fault into a lab that is up, and leave it active.

    \b
    Examples:
      meshctl faults inject loss-30
      meshctl run us1 --no-deploy
      meshctl faults clear
    """
    (chosen,) = _collection.catalogue.choose([fault])
    _play("inject", inventory, {**_inputs.lab_variables(lab), "fault": chosen.id})
    print(f"{chosen.id}: {chosen.title}. `meshctl faults clear` undoes it.", file=sys.stderr)


@app.command()
def clear(
    fault: Annotated[
        str | None,
        typer.Argument(envvar="MESHCTL_FAULT", metavar="FAULT", show_default="all", help="Undo only this fault."),
    ] = None,
    inventory: Inventory = None,
    lab: LabName = None,
) -> None:
    """Undo the faults that are active in the lab, also after a crash.

    Exits with 3 when a fault cannot be undone; then `meshctl down` and `meshctl up` rebuild the lab.

    \b
    Examples:
      meshctl faults clear
      meshctl faults clear loss-30
    """
    before = {entry.id for entry in _active(lab, inventory)}
    if before or fault:
        _play("clear", inventory, {**_inputs.lab_variables(lab), **({"fault": fault} if fault else {})})
    undone = [fault] if fault else sorted(before)
    print(f"Undone: {', '.join(undone) or 'no fault was in the lab'}.", file=sys.stderr)


@app.command()
def drill(  # noqa: PLR0913, PLR0917
    fault: Annotated[list[str] | None, option("--fault", metavar="ID", help="Only this fault. Repeatable.")] = None,
    family: Family = None,
    story: Annotated[
        list[str] | None,
        option("--story", envvar="MESHCTL_STORIES", metavar="STORY", help="Only faults of this story. Repeatable."),
    ] = None,
    keep_going: Annotated[
        bool, option("--keep-going/--no-keep-going", "-k", help="Continue after a fault that did not go as expected.")
    ] = True,
    deadline: Annotated[
        float,
        option(
            "--deadline",
            envvar="MESHCTL_DRILL_DEADLINE",
            metavar="SECONDS",
            min=0,
            help="Time for each assertion; 0 for its usual deadline, as in a story.",
        ),
    ] = DEADLINE_S,
    keep_lab: Annotated[bool, option("--keep-lab", help="Keep a lab that the drill brought up.")] = False,
    write: Annotated[
        Path | None,
        option(
            "--write",
            envvar="MESHCTL_DRILL_WRITE",
            metavar="FILE",
            help="Update this JSON file of figures, from which the documentation is generated.",
        ),
    ] = None,
    inventory: Inventory = None,
    lab: DrillLabs = None,
    as_json: AsJson = False,
) -> None:
    """Test the stories with every fault of the catalogue.

    For each fault: inject it, run its story on the mesh as it is, compare the report with what must fail and pass and
    with the cause that a hint must name, undo the fault, and verify that the story passes again. Uses a separate lab.

    \b
    Exit codes:
      0    every fault was caught and its cause named, nothing else failed, the mesh recovered
      1    a fault was missed, a cause was not named, or there was a false alarm
      2    wrong usage or input
      3    the drill could not run
      130  interrupted; the fault is undone

    \b
    Examples:
      meshctl faults drill
      meshctl faults drill --family dns
      meshctl faults drill --fault loss-30 --fault mtu-black-hole --keep-lab
      meshctl faults drill --lab drill-1 --lab drill-2 --write docs/reference/faults.json
    """
    chosen = _collection.catalogue.choose(fault or [], family or [], story or [])
    if not chosen:
        raise BadInputError("No fault satisfies all of --fault, --family and --story. Leave one of them out.")
    if write:
        _inputs.check_new_file(write, "--write")
        _collection.figures.read(write)
    os.environ["MESHCTL_GRACE_S"] = _GRACE_S
    variables: dict[str, Any] = {
        "faults": [entry.id for entry in chosen],
        "drill_labs": [_inputs.lab_variables(name)["lab_name"] for name in dict.fromkeys(lab or [DRILL_LAB])],
        "drill_deadline_s": deadline,
        "drill_keep_going": keep_going,
        "drill_keep_lab": keep_lab,
    }
    if write:
        variables["drill_figures"] = str(write.absolute())
    result = _run("drill", inventory, variables, None if as_json else _progress())
    found = _found(result)
    if as_json:
        _inputs.print_json(found)
    else:
        _show(found)
    raise typer.Exit(int(_code(result, found)))


def _found(result: Result) -> dict[str, Any]:
    """Return the figures and outcomes of a drill; raise what kept it from running."""
    try:
        found: dict[str, Any] = json.loads((result.run_dir / "drill.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        if result.code != ExitCode.INTERRUPTED:
            raise _error(result) from None
        states = [json.loads(path.read_text(encoding="utf-8")) for path in (result.run_dir / "labs").glob("*.json")]
        outcomes = [outcome for state in states for outcome in state["outcomes"]]
        found = {**_collection.figures.total(outcomes), "outcomes": outcomes}
    return found


def _code(result: Result, found: Mapping[str, Any]) -> ExitCode:
    if result.code in (ExitCode.PASSED, ExitCode.INTERRUPTED):
        return result.code
    # A lab that is not fit for a drill has stopped it; the other labs went on.
    stopped = bool(result.tally.meshctl_errors)
    for reason in result.reasons if stopped else ():
        print(f"Error: {reason}", file=sys.stderr)
    bad = any(not outcome["good"] for outcome in found["outcomes"])
    return result.code if stopped and not bad else ExitCode.FAILED


def _play(name: str, inventory: str | None, variables: Mapping[str, Any]) -> None:
    result = _run(name, inventory, variables)
    if result.code == ExitCode.INTERRUPTED:
        raise typer.Exit(int(result.code))
    if result.code != ExitCode.PASSED:
        raise _error(result)


def _error(result: Result) -> MeshctlError:
    # Of the task's message, what it says of itself; which host and task it was is plain here.
    said = [failure.message for failure in result.tally.failures if failure.error] or result.reasons
    text = " ".join(said[:1])
    return (BadInputError if result.code == ExitCode.BAD_INPUT else MeshctlError)(sentence(text))


def _run(name: str, inventory: str | None, variables: Mapping[str, Any], on_event: Any = None) -> Result:  # noqa: ANN401
    """Run one of the playbooks of faults, silently."""
    from meshctl_headscale import _run
    from meshctl_headscale._play import Request
    from meshctl_headscale._project import project

    playbook = project().playbook(f"faults/{name}")
    request = Request(playbooks=[playbook], inventory=_inputs.inventory(inventory), extra_vars=variables)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = _collection.text.console(nowhere)
        return _run.play(request, name=f"faults {name}", show=_run.Show(quiet=True), console=console, on_event=on_event)


def _active(lab: str | None, inventory: str | None) -> list[_collection.record.Active]:
    """Return the faults of a lab, from its record."""
    return _collection.record.Faults(_collection.lab.Lab(_inputs.lab_name(lab, inventory)).directory).active()


# -- output --------------------------------------------------------------------------------------------------------------


def _progress() -> Any:  # noqa: ANN401 - a function
    """Return what draws a line for each fault as it ends."""
    console = _collection.text.console(stderr=True)

    def on_event(event: dict[str, Any]) -> None:
        if str(event.get("event")).startswith("runner_item_on_"):
            outcome = ((event.get("event_data") or {}).get("res") or {}).get("outcome")
            if outcome:
                _line(console, outcome)

    return on_event


def _line(console: Console, outcome: Mapping[str, Any]) -> None:
    caught, named, alarms, recovered, took = _collection.figures.marks(outcome)
    console.print(
        f"{outcome['id']:<31} caught {caught}, cause named {named}, false alarms {alarms}, recovered {recovered}, {took}",
        style="green" if outcome["good"] else "red",
        soft_wrap=True,
    )
    hints = [] if outcome["named"] else outcome["hints"]
    for text in [*outcome["problems"], *outcome["false_alarms"], *hints]:
        console.print(f"    {text}", style="red", soft_wrap=True)


def _show(found: Mapping[str, Any]) -> None:
    from meshctl_headscale import _tables

    outcomes = found["outcomes"]
    _tables.rows(
        ["FAULT", "STORY", "EXPECTED", "CAUGHT", "NAMED", "FALSE ALARMS", "RECOVERED", "TIME"],
        [
            [outcome["id"], outcome["story"], outcome["verdict"], *_collection.figures.marks(outcome)]
            for outcome in outcomes
        ],
        marked=["" if outcome["good"] else "red" for outcome in outcomes],
    )
    print(_collection.figures.sentence(found))
