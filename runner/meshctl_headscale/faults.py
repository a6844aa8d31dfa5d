# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`meshctl faults`: break the lab on purpose, and see that the stories say so."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshctl_headscale._exit import BadInputError, ExitCode, MeshctlError
from meshctl_headscale._options import AsJson, not_empty

if TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.catalogue import Fault
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.engine import Engine
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.verdict import Outcome, StoryRun
    from rich.console import Console

# A drill does not touch the lab that somebody works with.
DRILL_LAB = "drill"
DEADLINE_S = 5.0

app = typer.Typer(
    name="faults",
    help="""Break the mesh on purpose, and see what the stories make of it.

    \b
    Examples:
      meshctl faults list               what can be broken, and who must see it
      meshctl up
      meshctl faults inject loss-30     break it, and leave it so
      meshctl run us1 --no-deploy       see what the story says
      meshctl faults clear              as it was
      meshctl faults drill              all of them, one after the other
    """,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Inventory = Annotated[
    str | None,
    typer.Option(
        "--inventory",
        "-i",
        envvar="MESHCTL_INVENTORY",
        metavar="PATH",
        callback=not_empty,
        show_default="lab.yml",
        help="The topology.",
    ),
]
LabName = Annotated[
    str | None,
    typer.Option(
        "--lab",
        envvar="MESHCTL_LAB",
        metavar="NAME",
        callback=not_empty,
        show_default="lab_name of the inventory",
        help="Name of the lab.",
    ),
]
DrillLab = Annotated[
    str,
    typer.Option(
        "--lab",
        envvar="MESHCTL_DRILL_LAB",
        metavar="NAME",
        callback=not_empty,
        help="Name of the lab; brought up if need be.",
    ),
]
Family = Annotated[
    list[str] | None,
    typer.Option("--family", "-f", envvar="MESHCTL_FAULT_FAMILY", help="Only this family. Repeatable."),
]


@app.command(name="list")
def list_faults(
    family: Family = None, inventory: Inventory = None, lab: LabName = None, as_json: AsJson = False
) -> None:
    """List the catalogue, and what is in the lab now.

    \b
    Examples:
      meshctl faults list
      meshctl faults list --family dns
      meshctl faults list --json | jq '.faults[] | select(.active) | .id'
    """
    chosen = _chosen([], family or [])
    active = {entry.id: entry for entry in _engine(_name(lab, inventory), inventory).active()}
    if as_json:
        print(json.dumps({"faults": [_described(fault, active) for fault in chosen]}, indent=2))
        return
    from meshctl_headscale import _tables

    _tables.rows(
        ["FAULT", "FAMILY", "STORY", "EXPECTED", "WHAT"],
        [
            [fault.id, fault.family, fault.story, fault.verdict, fault.title + " (in the lab)" * (fault.id in active)]
            for fault in chosen
        ],
        marked=["red" if fault.id in active else "" for fault in chosen],
    )


@app.command()
def inject(
    fault: Annotated[str, typer.Argument(envvar="MESHCTL_FAULT", metavar="FAULT", help="An id of the catalogue.")],
    inventory: Inventory = None,
    lab: LabName = None,
) -> None:
    """Break the lab that stands, and leave it so.

    \b
    Examples:
      meshctl faults inject loss-30
      meshctl run us1 --no-deploy
      meshctl faults clear
    """
    chosen = _chosen([fault], [])[0]
    engine = _engine(_name(lab, inventory), inventory)
    with _told():
        engine.inject(chosen)
    print(f"{chosen.id}: {chosen.title}. `meshctl faults clear` undoes it.", file=sys.stderr)


@app.command()
def clear(
    fault: Annotated[
        str | None, typer.Argument(envvar="MESHCTL_FAULT", metavar="[FAULT]", show_default="all", help="Only this one.")
    ] = None,
    inventory: Inventory = None,
    lab: LabName = None,
) -> None:
    """Undo what was injected, also after a crash.

    Ends with 3 when something could not be undone; `meshctl down` and `meshctl up` make a sound lab then.

    \b
    Examples:
      meshctl faults clear
      meshctl faults clear loss-30
    """
    engine = _engine(_name(lab, inventory), inventory)
    with _told():
        before = {entry.id for entry in engine.active()}
        if fault and fault not in before:
            raise BadInputError(f"The fault {fault!r} is not in the lab. In it: {', '.join(sorted(before)) or 'none'}.")
        left = engine.clear(fault)
    for entry in left:
        print(f"Error: {entry.id} could not be undone: {entry.problem}", file=sys.stderr)
    undone = ({fault} if fault else before) - {entry.id for entry in left}
    print(f"Undone: {', '.join(sorted(undone)) or 'nothing was in the lab'}.", file=sys.stderr)
    raise typer.Exit(int(ExitCode.COULD_NOT_RUN if left else ExitCode.PASSED))


@app.command()
def drill(  # noqa: PLR0913, PLR0917
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", envvar="MESHCTL_FAULT", metavar="ID", help="Only this one. Repeatable."),
    ] = None,
    family: Family = None,
    story: Annotated[
        list[str] | None,
        typer.Option("--story", envvar="MESHCTL_STORIES", help="Only faults of this story. Repeatable."),
    ] = None,
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going/--no-keep-going",
            "-k",
            envvar="MESHCTL_KEEP_GOING",
            help="Go on after a fault that was missed.",
        ),
    ] = True,
    deadline: Annotated[
        float,
        typer.Option(
            "--deadline",
            envvar="MESHCTL_DRILL_DEADLINE",
            metavar="SECONDS",
            min=0,
            help="How long a check may take to become true; 0: the assertions' own, as in a story.",
        ),
    ] = DEADLINE_S,
    keep_lab: Annotated[
        bool, typer.Option("--keep-lab", envvar="MESHCTL_KEEP_LAB", help="Leave a lab that the drill brought up.")
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write",
            envvar="MESHCTL_DRILL_WRITE",
            metavar="FILE",
            help="Bring the table in this Markdown file up to date.",
        ),
    ] = None,
    inventory: Inventory = None,
    lab: DrillLab = DRILL_LAB,
    as_json: AsJson = False,
) -> None:
    """Break the mesh in every way of the catalogue, and see that each is caught.

    For each fault: inject it, run its story as the mesh stands, compare with what must be red and green and with the
    cause that a hint must name, undo it, and see the story green again. Works on a lab of its own.

    \b
    Exit codes:
      0    every fault was caught and named, nothing else was red, all is mended
      1    a fault was missed, a cause not named, or there was a false alarm
      2    wrong usage or input
      3    it could not be run
      130  interrupted; what was injected is undone

    \b
    Examples:
      meshctl faults drill
      meshctl faults drill --family dns
      meshctl faults drill --fault loss-30 --fault mtu-black-hole --keep-lab
      meshctl faults drill --write docs/reference/faults.md
    """
    chosen = [entry for entry in _chosen(fault or [], family or []) if not story or entry.story in story]
    if not chosen:
        raise BadInputError(f"No fault belongs to the story {', '.join(story or [])}.")
    runner = _Drill(lab, inventory, deadline=deadline, as_json=as_json)
    outcomes = runner.run(chosen, keep_going=keep_going, keep_lab=keep_lab)
    found = _figures(outcomes)
    if as_json:
        print(json.dumps({**found, "outcomes": [outcome.as_dict() for outcome in outcomes]}, indent=2))
    else:
        _show(outcomes, found)
    if write:
        _write(write, outcomes)
    if runner.interrupted:
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    raise typer.Exit(int(ExitCode.PASSED if found["good"] == len(chosen) else ExitCode.FAILED))


class _Drill:
    """Runs stories against a lab with a fault in it."""

    def __init__(self, lab: str, inventory: str | None, *, deadline: float, as_json: bool) -> None:
        from meshctl_headscale._play import new_run_dir

        self.interrupted = False
        self._lab = lab
        self._inventory = _inventory_path(inventory)
        self._deadline = deadline
        self._console = _console()
        self._quiet = as_json
        self._engine = _engine(lab, inventory)
        self._directory = new_run_dir("drill")
        self._number = 0

    def run(self, faults: Sequence[Fault], *, keep_going: bool, keep_lab: bool) -> list[Outcome]:
        """Return how each fault went; a lab that was brought up here is taken down again."""
        from meshctl_headscale import _labs

        outcomes: list[Outcome] = []
        stood = _labs.lab(self._lab).record is not None
        try:
            self._ready(faults)
            for fault in faults:
                outcome = self._one(fault)
                if self.interrupted:
                    # Half a story says nothing about a fault.
                    break
                outcomes.append(outcome)
                if not (keep_going or outcome.good):
                    break
                if not outcome.recovered and fault is not faults[-1]:
                    self._anew(own=not stood)
        finally:
            (self._directory / "drill.json").write_text(
                json.dumps([outcome.as_dict() for outcome in outcomes], indent=2) + "\n", encoding="utf-8"
            )
            if not stood and not keep_lab:
                self._play("down", {})
        return outcomes

    def _ready(self, faults: Sequence[Fault]) -> None:
        """Have a sound mesh to begin with: a fault in a broken one proves nothing."""
        with _told():
            if active := self._engine.active():
                names = ", ".join(entry.id for entry in active)
                raise BadInputError(
                    f"The lab '{self._lab}' has a fault already: {names}. Run `meshctl faults clear` first."
                )
        self._say(f"Lab {self._lab}")
        up(self._lab, self._inventory, self._run_dir("up"))
        for name in dict.fromkeys(fault.story for fault in faults):
            seen = self._play(name, {"mesh_deploy": False, "mesh_allow_disruptive": False})
            if seen.exit_code == ExitCode.INTERRUPTED:
                self.interrupted = True
                return
            if seen.exit_code:
                bad = sorted({str(check["id"]) for check in seen.checks if check["verdict"] in ("failed", "error")})
                raise MeshctlError(
                    f"The story {name} is not green without a fault: {', '.join([*bad, *seen.reasons])}."
                )

    def _anew(self, *, own: bool) -> None:
        """Have a sound lab again, where a fault was not mended: the next one is to be seen by itself."""
        if not own:
            raise MeshctlError(
                f"The lab '{self._lab}' did not become green again, and it is not the drill's own: look at it, "
                "`meshctl down` and `meshctl up` make a sound one."
            )
        self._say("The lab is built anew.")
        self._play("down", {})
        up(self._lab, self._inventory, self._run_dir("up"))

    def _one(self, fault: Fault) -> Outcome:
        from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults import drill as drills

        if not self._quiet:
            self._console.print(f"{fault.id:<28}", end="", markup=False)
        with _told():
            outcome = drills.one(fault, self._engine, self._story)
        if not self._quiet:
            _line(self._console, outcome)
        return outcome

    def _story(self, fault: Fault, confirm: bool) -> StoryRun:
        """Run a fault's story; `confirm` sees it green again, with all the time that a story has."""
        from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.verdict import StoryRun

        if self.interrupted:
            return StoryRun(exit_code=int(ExitCode.INTERRUPTED), reasons=["interrupted"])
        variables: dict[str, Any] = {"mesh_deploy": False, "mesh_allow_disruptive": fault.disruptive and not confirm}
        if not confirm:
            variables |= {**fault.vars, **self._promise(fault)}
            seconds = fault.deadline or self._deadline
            variables |= {"mesh_deadline_s": seconds} if seconds else {}
        with _environment({} if confirm else fault.environment):
            seen = self._play(fault.story, variables, own_directory=not fault.environment or confirm)
        self.interrupted = self.interrupted or seen.exit_code == ExitCode.INTERRUPTED
        return seen

    def _promise(self, fault: Fault) -> dict[str, Any]:
        from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.drill import promised

        from meshctl_headscale import _labs

        if not fault.declare_nat:
            return {}
        record = _labs.standing(self._lab)[1]
        return {"mesh_subnets": promised(record.topology, fault.declare_nat, vars(self._engine.roles))}

    def _play(self, name: str, variables: Mapping[str, Any], *, own_directory: bool = True) -> StoryRun:
        directory = self._run_dir(name) if own_directory else None
        return play(name, {**variables, "lab_name": self._lab}, self._inventory, directory)

    def _run_dir(self, name: str) -> Path:
        self._number += 1
        return self._directory / f"{self._number:03d}-{name}"

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._console.print(text, markup=False, style="dim")


def play(name: str, variables: Mapping[str, Any], inventory: str, run_dir: Path | None) -> StoryRun:
    """Run a playbook (in a run directory of the usual kind, where none is given), and return what its report says."""
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.verdict import StoryRun
    from rich.console import Console

    from meshctl_headscale import _run, _stories
    from meshctl_headscale._play import Request
    from meshctl_headscale._project import project

    stories = [] if name in ("up", "down") else _stories.select(project(), [name])
    began = time.monotonic()
    try:
        request = Request(playbooks=[project().playbook(name)], inventory=inventory, extra_vars=dict(variables))
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            show = _run.Show(quiet=True)
            console = Console(file=nowhere)
            result = _run.play(request, name=name, show=show, stories=stories, run_dir=run_dir, console=console)
        run_dir = result.run_dir
    except MeshctlError as error:
        return StoryRun(exit_code=int(error.code), reasons=[str(error)], seconds=time.monotonic() - began)
    try:
        checks = json.loads((run_dir / "report.json").read_text(encoding="utf-8"))["checks"]
    except (OSError, ValueError, KeyError):
        checks = []
    return StoryRun(exit_code=int(result.code), checks=checks, reasons=result.reasons, seconds=result.seconds)


def up(lab: str, inventory: str, run_dir: Path) -> None:
    """Bring lab and mesh up, silently."""
    seen = play("up", {"lab_name": lab}, inventory, run_dir)
    if seen.exit_code == ExitCode.INTERRUPTED:
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    if seen.exit_code:
        raise MeshctlError(f"The lab '{lab}' could not be brought up: {' '.join(seen.reasons)}")


def _engine(lab: str, inventory: str | None) -> Engine:
    from meshctl_headscale import _inventory, _labs
    from meshctl_headscale._play import new_run_dir

    found = _labs.lab(lab)
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.engine import Engine

    path = _inventory_path(inventory)
    known = _inventory.variables(path)
    variables = {"SERVER_URL": known["mesh_server_url"], "DOMAIN": known["mesh_domain"]}
    return Engine(found, up=lambda: up(lab, path, new_run_dir("up")), variables=variables)


def _inventory_path(name: str | None) -> str:
    from meshctl_headscale import _inventory
    from meshctl_headscale._project import project

    return _inventory.check(project().inventory(name))


def _name(lab: str | None, inventory: str | None) -> str:
    from meshctl_headscale import _inventory

    return lab or _inventory.variables(_inventory_path(inventory))["lab_name"]


def _chosen(ids: Sequence[str], families: Sequence[str]) -> list[Fault]:
    """Return the faults that were named, in the catalogue's order; raise `BadInputError`."""
    import difflib

    from meshctl_headscale._project import load_collection_path

    load_collection_path()
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults import catalogue

    try:
        known = catalogue.load()
    except catalogue.CatalogueError as error:
        raise MeshctlError(f"The catalogue of faults cannot be used: {error}.") from None
    for name in ids:
        if name not in known:
            near = difflib.get_close_matches(name.lower(), known, n=1)
            guess = f" Did you mean {near[0]}?" if near else ""
            raise BadInputError(f"There is no fault {name!r}.{guess} `meshctl faults list` shows them.")
    kinds = {fault.family for fault in known.values()}
    if unknown := [name for name in families if name not in kinds]:
        raise BadInputError(f"There is no family {unknown[0]!r}. The families are: {', '.join(sorted(kinds))}.")
    return [
        fault for fault in known.values()
        if (not ids or fault.id in ids) and (not families or fault.family in families)
    ]  # fmt: skip


@contextmanager
def _told() -> Iterator[None]:
    """Make the errors of faults and labs the user's."""
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.actors import ActorError
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.engine import FaultError
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.supervisor import LabError

    try:
        yield
    except (FaultError, ActorError, LabError) as error:
        text = str(error)
        raise MeshctlError(f"{text[:1].upper()}{text[1:]}.") from None


@contextmanager
def _environment(given: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


# -- what is shown -------------------------------------------------------------------------------------------------------


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def _described(fault: Fault, active: Mapping[str, Any]) -> dict[str, Any]:
    names = ("id", "family", "title", "why", "story", "verdict", "red", "tolerated", "green", "cause", "disruptive")
    found = {name: getattr(fault, name) for name in names}
    return {**found, "active": fault.id in active, "since": active[fault.id].since if fault.id in active else None}


def _figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.drill import figures

    return figures(outcomes)


def _marks(outcome: Outcome) -> list[str]:
    alarms = str(len(outcome.false_alarms)) if outcome.false_alarms else "none"
    return [_yes(outcome.caught), _yes(outcome.named), alarms, _yes(outcome.recovered), f"{outcome.seconds:.0f} s"]


def _yes(value: bool) -> str:
    return "yes" if value else "NO"


def _line(console: Console, outcome: Outcome) -> None:
    caught, named, alarms, recovered, took = _marks(outcome)
    style = "green" if outcome.good else "red"
    console.print(
        f"caught {caught}, cause named {named}, false alarms {alarms}, recovered {recovered}, {took}", style=style
    )
    for text in [*outcome.problems, *outcome.false_alarms, *([] if outcome.named else outcome.hints)]:
        console.print(f"    {text}", style="red", markup=False, soft_wrap=True)


def _show(outcomes: Sequence[Outcome], found: Mapping[str, Any]) -> None:
    from meshctl_headscale import _tables

    _tables.rows(
        ["FAULT", "STORY", "EXPECTED", "CAUGHT", "NAMED", "FALSE ALARMS", "RECOVERED", "TIME"],
        [[outcome.id, outcome.story, outcome.verdict, *_marks(outcome)] for outcome in outcomes],
        marked=["" if outcome.good else "red" for outcome in outcomes],
    )
    print(sentence(found))


def sentence(found: Mapping[str, Any]) -> str:
    """Return the figures of a drill as a sentence."""
    share = 100 * found["named"] / found["faults"] if found["faults"] else 0
    return (
        f"{found['faults']} faults: {found['caught']} caught, {found['named']} causes named ({share:.0f} %), "
        f"{found['false_alarms']} false alarms, {found['recovered']} recovered, {found['seconds'] / 60:.0f} min."
    )


_BEGIN, _END = "<!-- drill: begin -->", "<!-- drill: end -->"


def _write(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Bring the table between the two marks of a Markdown file up to date; rows of other faults stay as they are."""
    text = path.read_text(encoding="utf-8") if path.exists() else f"{_BEGIN}\n{_END}\n"
    if _BEGIN not in text or _END not in text:
        raise BadInputError(f"{path} has no lines `{_BEGIN}` and `{_END}` between which the figures could stand.")
    head, _begin, rest = text.partition(_BEGIN)
    known, _end, tail = rest.partition(_END)
    titles = {fault.id: fault.title for fault in _chosen([], [])}
    rows = {cells[0].strip("`"): cells for cells in map(_cells, known.splitlines()) if cells[0].startswith("`")}
    for outcome in outcomes:
        cells = [titles[outcome.id], outcome.story, outcome.verdict, *_marks(outcome)]
        rows[outcome.id] = [f"`{outcome.id}`", *cells]
    rows = {name: rows[name] for name in titles if name in rows}
    lines = ["", sentence(_counted(rows.values())), "", f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    lines += [f"| {' | '.join(cells)} |" for cells in rows.values()]
    path.write_text(head + _BEGIN + "\n".join([*lines, "", _END]) + tail, encoding="utf-8")


_COLUMNS = ("fault", "what", "story", "expected", "caught", "cause named", "false alarms", "recovered", "time")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _counted(rows: Iterable[Sequence[str]]) -> dict[str, Any]:
    """Return the figures of a table's rows."""
    found = [dict(zip(_COLUMNS, cells, strict=True)) for cells in rows]
    return {
        "faults": len(found),
        "caught": sum(row["caught"] == _yes(True) for row in found),
        "named": sum(row["cause named"] == _yes(True) for row in found),
        "false_alarms": sum(int(row["false alarms"]) for row in found if row["false alarms"].isdecimal()),
        "recovered": sum(row["recovered"] == _yes(True) for row in found),
        "seconds": sum(int(row["time"].split()[0]) for row in found),
    }
