# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""meshctl's commands: what they are called, what they take, what their help says."""

from __future__ import annotations

from meshctl_headscale import _signals

# isort: split
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from meshctl_headscale import _streams, faults
from meshctl_headscale._exit import BadInputError, ExitCode, MeshctlError
from meshctl_headscale._options import Answer, AsJson, UsageError, asks_for_json, not_empty

if TYPE_CHECKING:
    from meshctl_headscale._play import Request
    from meshctl_headscale._run import Result, Show

# Plain help: it starts in a tenth of a second, and examples keep their lines.
app = typer.Typer(
    name="meshctl",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(faults.app)

Inventory = Annotated[
    str | None,
    typer.Option(
        "--inventory",
        "-i",
        envvar="MESHCTL_INVENTORY",
        metavar="PATH",
        callback=not_empty,
        show_default="lab.yml, the embedded lab",
        help="The topology: an Ansible inventory, or the name of one that meshctl brings along.",
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
        help="Name of the lab; labs with different names stand side by side.",
    ),
]
ExtraVars = Annotated[
    list[str] | None,
    typer.Option(
        "--extra-vars",
        "-e",
        envvar="MESHCTL_EXTRA_VARS",
        metavar="KEY=VALUE|@FILE",
        help="Variable for Ansible, or a file of them (the way for secrets). Repeatable.",
    ),
]
Limit = Annotated[
    list[str] | None,
    typer.Option(
        "--limit", "-l", envvar="MESHCTL_LIMIT", metavar="PATTERN", help="Only these hosts or groups. Repeatable."
    ),
]
Tags = Annotated[
    str, typer.Option("--tags", "-t", envvar="MESHCTL_TAGS", metavar="TAG,…", help="Only tasks with these tags.")
]
SkipTags = Annotated[
    str,
    typer.Option(
        "--skip-tags",
        envvar="MESHCTL_SKIP_TAGS",
        metavar="TAG,…",
        help="No tasks with these tags.",
    ),
]
Check = Annotated[bool, typer.Option("--check", envvar="MESHCTL_CHECK", help="Change nothing, say what would change.")]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        envvar="MESHCTL_VERBOSE",
        show_default=False,
        help="Show Ansible's own output; twice and more: Ansible's -v and more.",
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", envvar="MESHCTL_QUIET", help="Show only what went wrong, and the summary.")
]


def _story_names(incomplete: str) -> list[str]:
    """Complete the name of a story."""
    from meshctl_headscale import _stories
    from meshctl_headscale._project import project

    return [word for story in _stories.stories(project()) for word in story.words if word.startswith(incomplete)]


def _node_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a machine of the lab."""
    from meshctl_headscale import _labs

    given = ctx.params
    try:
        _found, record = _labs.standing(_lab_name(given.get("lab"), given.get("inventory")))
    except MeshctlError:
        return []
    return [name for name in sorted(record.machines) if name.startswith(incomplete)]


def _show(*, as_json: bool, quiet: bool, verbose: int) -> Show:
    from meshctl_headscale._run import Show

    return Show(as_json=as_json, quiet=quiet, verbose=verbose)


def _print_json(data: object) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False))


def _inventory(name: str | None) -> str:
    from meshctl_headscale import _inventory as reading
    from meshctl_headscale._project import project

    return reading.check(project().inventory(name))


def _variables(inventory: str | None) -> dict[str, str]:
    from meshctl_headscale import _inventory as reading

    return reading.variables(_inventory(inventory))


def _lab_name(lab: str | None, inventory: str | None) -> str:
    return lab or _variables(inventory)["lab_name"]


def _with_lab(lab: str | None) -> dict[str, Any]:
    from meshctl_headscale import _labs

    return {"lab_name": _labs.lab(lab).name} if lab else {}


@app.callback()
def meshctl() -> None:
    """Bring up a Headscale mesh, prove what it promises, and say what is wrong when it does not hold.

    \b
    First steps:
      meshctl doctor        does this machine have what a lab needs?
      meshctl run us1       bring up lab and mesh, and prove the first story
      meshctl status        what stands
      meshctl down          away with it

    Each command has examples: meshctl COMMAND --help.
    """


@app.command()
def up(  # noqa: PLR0913, PLR0917
    inventory: Inventory = None,
    lab: LabName = None,
    extra_vars: ExtraVars = None,
    check: Check = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Bring up the lab and the mesh on it.

    Changes nothing where they stand already; a change of the inventory is applied. When it fails half-way,
    what it started is taken down again.

    \b
    Examples:
      meshctl up                        the seed lab, as in inventory/lab.yml
      meshctl up --check                what would be done
      meshctl up -i my-lab.yml          your own topology
      meshctl up --lab second           a second lab, beside the first
    """
    _stand("up", inventory, lab, extra_vars, check=check, show=_show(as_json=as_json, quiet=quiet, verbose=verbose))


@app.command()
def down(  # noqa: PLR0913, PLR0917
    inventory: Inventory = None,
    lab: LabName = None,
    extra_vars: ExtraVars = None,
    check: Check = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Take the lab down, with everything that it left.

    Works from the record of what was built, also when the inventory has changed since or a lab is half built.

    \b
    Examples:
      meshctl down
      meshctl down --lab second
    """
    _stand("down", inventory, lab, extra_vars, check=check, show=_show(as_json=as_json, quiet=quiet, verbose=verbose))


def _stand(  # noqa: PLR0913
    name: str, inventory: str | None, lab: str | None, extra_vars: list[str] | None, *, check: bool, show: Show
) -> NoReturn:
    """Run the playbook `up` or `down`; after `up`, show what stands."""
    from meshctl_headscale import _inventory as reading
    from meshctl_headscale import _labs, _run, _tables
    from meshctl_headscale._play import Request
    from meshctl_headscale._project import project

    variables, files = _run.parse_extra_vars(extra_vars or [])
    request = Request(
        playbooks=[project().playbook(name)],
        inventory=_inventory(inventory),
        extra_vars={**variables, **_with_lab(lab)},
        extra_files=files,
        check=check,
        verbosity=show.verbose,
    )
    known = reading.variables(request.inventory, files)
    lab_name = str(lab or variables.get("lab_name") or known["lab_name"])
    result = _run.play(request, name=name, show=show, command=_command(name, inventory=inventory, lab=lab))
    _run.summary(result, show=show, title=name)
    stands = name == "up" and result.code == ExitCode.PASSED and not check
    machines = _labs.status_if_up(lab_name, known) if stands else None
    if show.as_json:
        _print_json({"lab": lab_name, **result.as_dict(), "machines": (machines or {}).get("machines", [])})
    elif machines and not show.quiet:
        _tables.status(machines)
    raise typer.Exit(int(result.code))


def _command(*words: str, inventory: str | None, lab: str | None, no_deploy: bool = False) -> str:
    """Return the command for the report: without extra variables, which may be secret."""
    import shlex

    options = ["-i", inventory] if inventory else []
    options += ["--lab", lab] if lab else []
    options += ["--no-deploy"] if no_deploy else []
    return shlex.join(["meshctl", *words, *options])


@app.command()
def run(  # noqa: PLR0913, PLR0917
    story: Annotated[
        list[str] | None,
        typer.Argument(
            envvar="MESHCTL_STORIES",
            autocompletion=_story_names,
            metavar="[STORY…|all]",
            show_default="all",
            help="Stories (`meshctl list`), or playbooks of your own by path.",
        ),
    ] = None,
    inventory: Inventory = None,
    lab: LabName = None,
    deploy: Annotated[
        bool,
        typer.Option(
            "--deploy/--no-deploy",
            envvar="MESHCTL_DEPLOY",
            help="Bring lab and mesh up before; or only look at what stands.",
        ),
    ] = True,
    keep_going: Annotated[
        bool,
        typer.Option("--keep-going", "-k", envvar="MESHCTL_KEEP_GOING", help="Go on after a story that failed."),
    ] = False,
    down_after: Annotated[
        bool,
        typer.Option("--down", envvar="MESHCTL_DOWN", help="Take the lab down at the end, whatever the result."),
    ] = False,
    limit: Limit = None,
    extra_vars: ExtraVars = None,
    tags: Tags = "",
    skip_tags: SkipTags = "",
    verbose: Verbose = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Prove stories on the mesh, and write a report.

    Shows each check as it lands. Ends with a summary and leaves report.json, junit.xml, report.html and
    meshctl.log in a directory below `runs/`. Ctrl-C stops in order, a second one at once; the lab stays.

    \b
    Exit codes:
      0    everything passed
      1    a check failed
      2    wrong usage or input
      3    it could not be run (something is missing, a host does not answer)
      130  interrupted

    \b
    Examples:
      meshctl run                       all stories
      meshctl run us1                   one
      meshctl run us2 us4 --keep-going  two, the second even when the first fails
      meshctl run us1 --no-deploy       against the mesh as it stands
      meshctl run all --down            and remove the lab in the end
      meshctl run us1 -e mesh_latency_budget_ms=20
      meshctl run all -i hosts.yml -e mesh_allow_disruptive=false
      meshctl run us1 --json | jq .verdict
    """
    from meshctl_headscale import _run, _stories
    from meshctl_headscale._play import Request
    from meshctl_headscale._project import project

    show = _show(as_json=as_json, quiet=quiet, verbose=verbose)
    selected = _stories.select(project(), story or [])
    _stories.check_tags(project(), selected, tags)
    variables, files = _run.parse_extra_vars(extra_vars or [])
    own: dict[str, Any] = _with_lab(lab)
    own |= {"mesh_keep_going": True} if keep_going else {}
    own |= {} if deploy else {"mesh_deploy": False}
    request = Request(
        playbooks=_stories.playbooks(selected),
        inventory=_inventory(inventory),
        extra_vars={**variables, **own},
        extra_files=files,
        limit=limit or [],
        tags=tags,
        skip_tags=skip_tags,
        verbosity=verbose,
    )
    if not deploy and any(chosen.path.parent == project().playbooks for chosen in selected):
        _lab_must_stand(request)
    names = [chosen.name for chosen in selected]
    result = _run.play(
        request,
        name="-".join(names),
        show=show,
        stories=_stories.parts(project(), selected),
        command=_command("run", *names, inventory=inventory, lab=lab, no_deploy=not deploy),
    )
    _run.summary(result, show=show, title="run")
    code = result.code
    if down_after:
        code = _down_after(request, result, show)
    if as_json:
        _print_json(_report_or_error(result))
    raise typer.Exit(int(code))


def _lab_must_stand(request: Request) -> None:
    """Say at once that there is no lab: each of its machines would be waited for."""
    from meshctl_headscale import _inventory as reading
    from meshctl_headscale import _labs

    known = {**reading.variables(request.inventory, request.extra_files), **request.extra_vars}
    if known["mesh_backend"] == "lab":
        _labs.standing(str(known["lab_name"]))


def _down_after(request: Request, result: Result, show: Show) -> ExitCode:
    """Take the lab down after a run; return the exit code of both."""
    from meshctl_headscale import _run
    from meshctl_headscale._play import Request
    from meshctl_headscale._project import project

    ending = Request(
        playbooks=[project().playbook("down")],
        inventory=request.inventory,
        extra_vars=request.extra_vars,
        extra_files=request.extra_files,
        verbosity=request.verbosity,
    )
    # In a directory of its own below the run's: the run's report stays what it is.
    gone = _run.play(ending, name="down", show=show, run_dir=result.run_dir / "down", command="meshctl down")
    _run.summary(gone, show=show, title="down")
    return gone.code if result.code == ExitCode.PASSED else result.code


def _report_or_error(result: Result) -> object:
    try:
        found: object = json.loads((result.run_dir / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"error": " ".join(result.reasons) or "no report was written", **result.as_dict()}
    return found


@app.command()
def status(inventory: Inventory = None, lab: LabName = None, as_json: AsJson = False) -> None:
    """Show the lab's machines and what their nodes say.

    ONLINE is what the control server says; DERP is the node's home relay; DIRECT counts the peers that are
    talked to without a relay right now. A terminal of less than 100 columns goes without SUBNET and PID.
    Ends with 3 when the lab is not up.

    \b
    Examples:
      meshctl status
      meshctl status --json | jq '.machines[] | select(.online == false) | .host'
    """
    from meshctl_headscale import _labs, _tables

    variables = _variables(inventory)
    found = _labs.status(lab or variables["lab_name"], variables)
    if as_json:
        _print_json(found)
    else:
        _tables.status(found)


@app.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def execute(
    node: Annotated[
        str,
        typer.Argument(envvar="MESHCTL_NODE", autocompletion=_node_names, metavar="NODE", help="A machine of the lab."),
    ],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[--] CMD…", show_default="a shell", help="What to run there.")
    ] = None,
    inventory: Inventory = None,
    lab: LabName = None,
) -> None:
    """Run a command in a machine of the lab.

    Options of meshctl come before NODE. The terminal, signals and the exit code are the command's own.

    \b
    Examples:
      meshctl exec client-node-1
      meshctl exec client-node-1 -- tailscale status
      meshctl exec client-node-2 -- ping -c 3 client-node-1.mesh.internal
      meshctl exec --lab second headscale-server -- headscale nodes list
    """
    from meshctl_headscale import _labs

    words = command or []
    _labs.execute(_lab_name(lab, inventory), node, words[1:] if words[:1] == ["--"] else words)


@app.command()
def logs(  # noqa: PLR0913, PLR0917
    node: Annotated[
        str,
        typer.Argument(envvar="MESHCTL_NODE", autocompletion=_node_names, metavar="NODE", help="A machine of the lab."),
    ],
    service: Annotated[
        str | None,
        typer.Argument(envvar="MESHCTL_SERVICE", metavar="[SERVICE]", show_default="all", help="One of its services."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", envvar="MESHCTL_FOLLOW", help="Go on with what comes.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, envvar="MESHCTL_LINES", help="How many, at most.")] = 50,
    inventory: Inventory = None,
    lab: LabName = None,
) -> None:
    """Show what the services of a machine have logged.

    \b
    Examples:
      meshctl logs headscale-server
      meshctl logs client-node-1 tailscaled -f
    """
    from meshctl_headscale import _labs, _tail

    files = _labs.log_files(_lab_name(lab, inventory), node, service)
    if not files:
        print(f"'{node}' has no services: there is nothing to show.", file=sys.stderr)
        return
    _tail.show({_labs.service_of(path): path for path in files}, lines=lines, follow=follow)


@app.command()
def init(  # noqa: PLR0913, PLR0917
    url: Annotated[
        str, typer.Option("--url", envvar="HEADSCALE_URL", metavar="URL", help="The server, as its server_url says.")
    ],
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            "--api-key-file",
            envvar="MESHCTL_API_KEY_FILE",
            metavar="FILE",
            show_default="HEADSCALE_API_KEY or HEADSCALE_API_KEY_FILE, else you are asked",
            help="A file with an API key and nothing else. The key itself is no option: everybody could see it.",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option("--ca-file", envvar="HEADSCALE_CA_PATH", metavar="FILE", help="Certificates to trust instead."),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", envvar="MESHCTL_OUTPUT", metavar="FILE", help="Where to; `-` is stdout.")
    ] = "hosts.yml",
    force: Annotated[bool, typer.Option("--force", "-f", envvar="MESHCTL_FORCE", help="Replace the file.")] = False,
    expect: Annotated[
        bool,
        typer.Option(
            "--expect/--no-expect", envvar="MESHCTL_EXPECT", help="State in mesh_expect who reaches whom by the policy."
        ),
    ] = True,
) -> None:
    """Write an inventory of your own hosts, from what a running Headscale knows.

    Nodes that are online become `clients`, the others are put aside. Only the server is asked.

    \b
    Examples:
      meshctl init --url https://headscale.example.com --api-key-file ~/api_key
      meshctl init --url https://headscale.example.com --output - | less
      meshctl doctor --mesh -i hosts.yml
      meshctl run all -i hosts.yml
    """
    from meshctl_headscale import _init

    _init.refuse_to_overwrite(output, force=force)
    source = _init.Source(url=url, api_key_file=api_key_file, ca_file=ca_file)
    _init.write(_init.compose(source, expect=expect), output)


@app.command()
def doctor(  # noqa: PLR0913, PLR0917
    mesh: Annotated[
        bool, typer.Option("--mesh", envvar="MESHCTL_MESH", help="Examine the mesh of the inventory, not this machine.")
    ] = False,
    inventory: Inventory = None,
    lab: LabName = None,
    limit: Limit = None,
    extra_vars: ExtraVars = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Look whether this machine has what a lab needs; with --mesh, what is wrong with a mesh.

    Each missing or wrong thing is named with its remedy, and nothing is changed. Ends with 3 when something is
    missing here; with --mesh as `meshctl run` does, 1 when something is wrong.

    \b
    Examples:
      meshctl doctor
      meshctl doctor --json | jq '.findings[] | select(.verdict == "fail")'
      meshctl doctor --mesh                     the embedded lab's mesh
      meshctl doctor --mesh -i hosts.yml        your own
    """
    if mesh:
        show = _show(as_json=as_json, quiet=quiet, verbose=verbose)
        _examine_mesh(inventory, lab, limit or [], extra_vars or [], show=show)
    from meshctl_headscale import _doctor, _tables

    found = _doctor.examine()
    if as_json:
        _print_json(found)
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
        inventory=_inventory(inventory),
        extra_vars={**variables, **_with_lab(lab)},
        extra_files=files,
        limit=limit,
        verbosity=show.verbose,
    )
    result = _run.play(
        request,
        name="doctor",
        show=show,
        stories=_stories.select(project(), [str(playbook)]),
        command=_command("doctor", "--mesh", inventory=inventory, lab=lab),
    )
    _run.summary(result, show=show, title="run")
    if show.as_json:
        _print_json(_report_or_error(result))
    raise typer.Exit(int(result.code))


@app.command()
def report(
    run_name: Annotated[
        str | None,
        typer.Argument(
            envvar="MESHCTL_REPORT_RUN",
            metavar="[RUN]",
            show_default="the newest",
            help="A run: its directory, its name, or a part of the name.",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            envvar="MESHCTL_FORMAT",
            metavar="text|json|junit|html|path",
            show_default="text",
            help="`path` prints the run's directory.",
        ),
    ] = None,
    query: Annotated[
        str | None,
        typer.Option(
            "--query", envvar="MESHCTL_QUERY", metavar="JMESPATH", help="Print what this finds in the report."
        ),
    ] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--compare", envvar="MESHCTL_COMPARE", metavar="OLD NEW", help="Say what broke and what got slower."
        ),
    ] = None,
) -> None:
    """Show the report of a run again, ask it, or compare two.

    With --compare the exit code is 1 when something that passed in OLD no longer does in NEW.

    \b
    Examples:
      meshctl report                                  the newest run, as it ended
      meshctl report us2 --format html > us2.html     the newest that ran us2
      xdg-open "$(meshctl report --format path)/report.html"
      meshctl report --query "checks[?verdict=='failed'].[id, source, target]"
      meshctl report --compare 20260101T120000Z-all 20260102T120000Z-all
    """
    from meshctl_headscale import _reports

    form = form or "text"
    if form not in _reports.FORMATS:
        raise BadInputError(f"There is no format {form!r}. The formats are: {', '.join(_reports.FORMATS)}.")
    if compare:
        if run_name or query:
            raise BadInputError("--compare takes its two runs itself: leave out RUN and --query.")
        raise typer.Exit(int(_compare(*compare, form)))
    if query and form not in ("text", "json"):
        raise BadInputError(f"What --query finds is JSON: leave out --format {form}.")
    directory = _reports.find(run_name)
    if query:
        print(_reports.query(directory, query))
        return
    width, color = _terminal()
    print(_reports.render(directory, form, width=width, color=color).rstrip("\n"))


def _compare(old: str, new: str, form: str) -> ExitCode:
    from meshctl_headscale import _reports

    if form not in ("text", "json"):
        raise BadInputError(f"A comparison has the formats text and json, not {form}.")
    width, color = _terminal()
    text, broke = _reports.compare(_reports.find(old), _reports.find(new), form, width=width, color=color)
    print(text.rstrip("\n"))
    return ExitCode.FAILED if broke else ExitCode.PASSED


def _terminal() -> tuple[int, bool]:
    """Return the width of stdout, and whether it takes colours."""
    from rich.console import Console

    console = Console()
    return console.width, console.is_terminal and not console.no_color


@app.command(name="list")
def list_stories(as_json: AsJson = False) -> None:
    """List the stories.

    \b
    Examples:
      meshctl list
      meshctl list --json | jq -r '.stories[].name'
    """
    from meshctl_headscale import _stories, _tables
    from meshctl_headscale._project import project

    found = _stories.stories(project())
    if as_json:
        _print_json(
            {
                "stories": [
                    {
                        "name": story.name,
                        "title": story.title,
                        "playbook": str(story.path),
                        "imports": list(story.imports),
                        **story.described,
                    }
                    for story in found
                ]
            }
        )
    else:
        _tables.stories(found)


@app.command()
def version(as_json: AsJson = False) -> None:
    """Show the versions of meshctl and of what it works with.

    \b
    Examples:
      meshctl version
      meshctl version --json | jq -r .meshctl
    """
    from meshctl_headscale import _tables, _versions

    found = _versions.versions()
    if as_json:
        _print_json(found)
    else:
        _tables.versions(found)


def main() -> NoReturn:
    """Run meshctl; every error becomes one sentence and an exit code here."""
    _signals.end_quietly()
    _streams.take_over()
    try:
        try:
            _run_app()
        finally:
            _streams.flush()
    except _streams.StdoutError as error:
        _streams.discard()
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(int(ExitCode.COULD_NOT_RUN))


def _run_app() -> NoReturn:
    try:
        Path.cwd()
        code = app(prog_name="meshctl", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else int(ExitCode.PASSED))
    except UsageError as error:
        error.show()
        if asks_for_json(sys.argv[1:]):
            _print_json({"exit_code": int(ExitCode.BAD_INPUT), "error": error.format_message()})
        sys.exit(int(ExitCode.BAD_INPUT))
    except typer.Abort:
        _complain("Nothing was entered.", ExitCode.INTERRUPTED)
    except MeshctlError as error:
        _complain(str(error), error.code)
    except FileNotFoundError as error:
        if error.filename is None:
            _complain("The working directory is gone. Change to another one.", ExitCode.COULD_NOT_RUN)
        _internal(error)
    except BrokenPipeError:
        # Who read our output has had enough.
        _streams.discard()
        sys.exit(int(ExitCode.PASSED))
    except _streams.StdoutError:
        raise
    except Exception as error:
        _internal(error)


def _complain(message: str, code: ExitCode) -> NoReturn:
    print(f"Error: {message}", file=sys.stderr)
    if Answer.as_json:
        _print_json({"exit_code": int(code), "error": message})
    sys.exit(int(code))


def _internal(error: Exception) -> NoReturn:
    """Keep the traceback of a defect of meshctl's own in a file, and name it."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="meshctl-error-", suffix=".log", delete=False) as file:
        traceback.print_exception(error, file=file)
    _complain(
        f"meshctl itself failed ({type(error).__name__}: {error}). This is a defect; the details are in {file.name}.",
        ExitCode.COULD_NOT_RUN,
    )
