# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands, their help, and the small things behind them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from meshctl_headscale import _collection, _inventory, _labs, _play, _project, _run, _stories, _tail
from meshctl_headscale._exit import BadInputError, ExitCode, MeshctlError
from meshctl_headscale.cli import app
from typer.main import get_command
from typer.testing import CliRunner

COMMANDS = ["up", "down", "run", "status", "exec", "logs", "doctor", "why", "report", "list", "version"]
HEAVY = ("ansible", "ansible_runner", "rich", "yaml", "jinja2", "jsonschema", "pexpect")


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['meshctl', '--help']\nfrom meshctl_headscale.cli import main\n"
    code += "try:\n    main()\nexcept SystemExit:\n    pass\n"
    code += f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"
    assert "First steps" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_examples_that_keep_their_lines(command: str) -> None:
    text = CliRunner().invoke(app, [command, "--help"]).output
    assert "Examples:" in text
    assert re.search(rf"^    meshctl {command}\b", text, re.MULTILINE), text


@pytest.mark.parametrize(
    "command", [*COMMANDS, "watch", "collect", "history", "faults list", "faults clear", "faults drill"]
)
def test_the_usage_has_no_doubled_brackets_and_options_name_their_value(command: str) -> None:
    usage, _blank, more = CliRunner().invoke(app, [*command.split(), "--help"]).output.partition("\n")
    assert "[[" not in usage
    assert not re.search(r"^ +-.* <", more, re.MULTILINE), more


def test_the_version_is_an_option_as_well() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert shown.exit_code == 0
    assert re.fullmatch(r"meshctl \d+\.\d+\.\d+\n", shown.output)


def test_every_option_can_come_from_the_environment() -> None:
    group = get_command(app)
    missing = [
        f"{command} {option.name}"
        for command, found in group.commands.items()  # type: ignore[attr-defined]
        for option in found.params
        if option.name not in ("help", "command") and not option.envvar
    ]
    assert not missing


def test_environment_variables_are_in_the_help() -> None:
    assert "MESHCTL_INVENTORY" in CliRunner().invoke(app, ["run", "--help"]).output


# --- stories


@pytest.fixture
def project(tmp_path: Path) -> _project.Project:
    books = tmp_path / "playbooks"
    (books / "stories").mkdir(parents=True)
    for number, alias in ((1, "connectivity"), (2, "cross-network")):
        name = f"us{number}"
        (books / f"{name}.yml").write_text(
            f"- import_playbook: up.yml\n- ansible.builtin.import_playbook: stories/{name}.yml\n"
        )
        info = "{summary: It works., requires: a mesh, disrupts: '', seconds: 9}"
        (books / "stories" / f"{name}.yml").write_text(
            f"- name: US{number} {alias}\n  hosts: all\n  vars: {{mesh_story: {name}, mesh_story_info: {info}}}\n"
        )
    for name in ("up", "down", "all"):
        (books / f"{name}.yml").write_text("- name: Lab\n  hosts: localhost\n  vars: {secret: !vault x}\n")
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "lab.yml").write_text("all: {vars: {lab_name: seed}}")
    return _project.Project(root=tmp_path, collections=tmp_path)


def test_stories_are_read_from_the_playbooks(project: _project.Project) -> None:
    found = {story.name: story for story in _stories.stories(project)}
    assert list(found) == ["us1", "us2", "all"]
    assert found["us1"].title == "US1 connectivity"
    assert found["us1"].plays == {"US1 connectivity"}
    assert found["all"].imports == ("us1", "us2")


def test_a_playbook_that_is_not_a_story_is_named(project: _project.Project) -> None:
    (project.playbooks / "stories" / "us3.yml").write_text("- name: US3 more\n  hosts: all\n")
    with pytest.raises(BadInput, match=r"us3\.yml: exactly one play of a story sets mesh_story, here 0 do$"):
        _stories.stories(project)


@pytest.mark.parametrize("word", ["us2", "cross-network"])
def test_a_story_has_two_names(project: _project.Project, word: str) -> None:
    assert [story.name for story in _stories.select(project, [word])] == ["us2"]
    assert len(_stories.select(project, ["us2", "cross-network"])) == 1


def test_selection_knows_names_paths_and_near_misses(project: _project.Project, tmp_path: Path) -> None:
    assert [story.name for story in _stories.select(project, [])] == ["all"]
    own = tmp_path / "mine.yml"
    own.write_text("- name: Mine\n  hosts: all\n")
    selected = _stories.select(project, ["us2", str(own), "us2"])
    assert [story.name for story in selected] == ["us2", "mine"]
    with pytest.raises(BadInputError, match=r"no story 'us11'\. Did you mean us1\? The stories are: us1, us2, all\."):
        _stories.select(project, ["us11"])
    with pytest.raises(BadInputError, match=r"no story 'US1'\. Did you mean us1\?"):
        _stories.select(project, ["US1"])
    assert [part.name for part in _stories.parts(project, _stories.select(project, ["all"]))] == ["us1", "us2"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./nosuch.yml", r"no playbook .*/nosuch\.yml"),
        ("nosuch.yaml", "no playbook"),
        ("./us1", "no playbook"),
        ("map.yml", "has no plays"),
        ("latin.yml", "not UTF-8 text"),
    ],
)
def test_a_path_that_is_no_playbook_is_named(
    project: _project.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "map.yml").write_text("a: 1")
    (tmp_path / "latin.yml").write_bytes(b"- name: \xe4")
    with pytest.raises(BadInputError, match=message):
        _stories.select(project, [name])


@pytest.mark.parametrize(
    ("deploy", "paths"), [(True, ["us1.yml", "stories/us2.yml"]), (False, ["stories/us1.yml", "stories/us2.yml"])]
)
def test_lab_and_mesh_are_brought_up_once_or_not_at_all(
    deploy: bool, paths: list[str], project: _project.Project
) -> None:
    books = _stories.playbooks(_stories.select(project, ["us1", "us2"]), deploy=deploy)
    assert [path.relative_to(project.playbooks).as_posix() for path in books] == paths


@pytest.mark.parametrize("text", ["- name: [", "- hosts: all\n  vars: {x: 2024-02-30}\n"])
def test_broken_playbook_is_a_sentence(tmp_path: Path, project: _project.Project, text: str) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text(text)
    with pytest.raises(BadInputError, match="is not YAML"):
        _stories.select(project, [str(broken)])


# --- inventory, variables


def test_inventory_by_path_and_by_name(
    project: _project.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = str(tmp_path / "inventory" / "lab.yml")
    assert project.inventory(None) == shipped
    assert project.inventory("lab") == project.inventory("lab.yml") == shipped
    (tmp_path / "inventory" / "libvirt").mkdir()
    guests = str(tmp_path / "inventory" / "libvirt")
    assert project.inventory("libvirt") == project.inventory("libvirt.yml") == guests
    for hosts in ("a,b,", ",".join(f"client-node-{number}" for number in range(500))):
        assert project.inventory(hosts) == _inventory.check(hosts) == hosts
        assert _inventory.variables(hosts)["lab_name"] == "seed"
    with pytest.raises(BadInputError, match="There is no inventory"):
        project.inventory("nowhere.yml")


def test_variables_of_an_inventory(tmp_path: Path) -> None:
    path = tmp_path / "lab.yml"
    path.write_text("all: {vars: {lab_name: mine, key: !vault abc}}")
    assert _inventory.variables(str(path))["lab_name"] == "mine"
    assert _inventory.variables("a,b,")["lab_name"] == "seed"


@pytest.mark.parametrize("how", ["group_vars", "template", "file"])
def test_variables_that_only_ansible_can_tell(tmp_path: Path, how: str) -> None:
    path = tmp_path / "lab.yml"
    name = "{{ base }}-lab" if how == "template" else "from-all"
    path.write_text(
        f"all: {{vars: {{lab_name: '{name}', base: mine}}, children: {{headscale: {{hosts: {{server: }}}}}}}}"
    )
    extra = tmp_path / "extra.yml"
    extra.write_text("lab_name: mine-lab")
    if how == "group_vars":
        (tmp_path / "group_vars").mkdir()
        extra.rename(tmp_path / "group_vars" / "headscale.yml")
    found = _inventory.variables(str(path), [extra] if how == "file" else [])
    assert found["lab_name"] == "mine-lab"
    assert found["mesh_domain"] == "mesh.internal"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"all: [", "is not YAML"),
        (b"all:\n\thosts: {}", "is not YAML"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b"", "is empty"),
        (b"hello", "has no groups"),
        (b"- a", "has no groups"),
        (b"all: [1]", "the group 'all' is .1."),
        (b"all: {vars: [1]}", "'vars' of the group 'all'"),
        (b"clients: {hosts: [a, b]}", "'hosts' of the group 'clients'"),
        (b"all: {vars: {a: 2024-13-45}}", r"this is not a valid timestamp: month must be in 1\.\.12 in .*, line 1"),
        (b"all:\n  vars: {a: 0x_}", "this is not a valid int: .*, line 2"),
        (b"all: {vars: {a: " + b"1" * 5001 + b"}}", "this is not a valid int: Exceeds the limit"),
        (b"all: {vars: {a: 1" + b":1" * 300 + b".5}}", "this is not a valid float in"),
        (b"all: {vars: {a: !!int ''}}", "this is not a valid int in"),
        (b"all: {vars: {a: !!bool abc}}", "this is not a valid bool in"),
        (b"all: {vars: {a: !!timestamp abc}}", "this is not a valid timestamp in"),
    ],
)
def test_inventory_that_is_none_is_a_sentence(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "lab.yml"
    path.write_bytes(text)
    with pytest.raises(BadInputError, match=message):
        _inventory.check(str(path))


@pytest.mark.parametrize("where", ["lab.yml", "part/of/it.yml"])
def test_what_is_there_twice_is_refused_also_in_a_directory(tmp_path: Path, where: str) -> None:
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("clients:\n  hosts:\n    client-node-1: {mesh_subnet: a}\n    client-node-1: {mesh_subnet: b}\n")
    message = r"yml: client-node-1 occurs twice \(line 3 and line 4\)"
    for inventory in (path, tmp_path):
        with pytest.raises(BadInputError, match=message):
            _inventory.check(str(inventory))


def test_what_is_merged_is_not_there_twice(tmp_path: Path) -> None:
    path = tmp_path / "lab.yml"
    path.write_text(
        "all:\n  vars: {x: &x {a: 1}, y: &y {b: 2}}\n  hosts:\n    one: {<<: *x, a: 2}\n    two: {<<: [*x, *y]}\n"
    )
    assert _inventory.check(str(path)) == str(path)


def test_json_is_read_as_ansible_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "lab.json"
    path.write_text('{"all": {\n\t"vars": {"lab_name": 1e3}\n}}\n')
    assert _inventory.check(str(path)) == str(path)
    assert _inventory.variables(str(path))["lab_name"] == "1000.0"


def test_group_vars_beside_an_inventory_are_left_to_ansible(tmp_path: Path) -> None:
    (tmp_path / "lab.yml").write_text("all: {hosts: {a: }}")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text("x: [")
    assert _inventory.check(str(tmp_path)) == str(tmp_path)


def test_an_inventory_that_would_never_end_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/stdin"), Path("/dev/null")):
        with pytest.raises(BadInputError, match="is neither a file nor a directory"):
            _inventory.check(str(path))


@pytest.mark.parametrize("first", ["#!/no/such/python", "#!/usr/bin/env no-such-python", "#!"])
def test_a_script_for_a_program_that_is_not_there_is_refused(tmp_path: Path, first: str) -> None:
    path = tmp_path / "hosts"
    path.write_text(f"{first}\n")
    assert _inventory.check(str(path)) == str(path)
    path.chmod(0o755)
    with pytest.raises(BadInputError, match="is a script for"):
        _inventory.check(str(path))
    path.write_text("#!/usr/bin/env -S sh -e\n")
    assert _inventory.check(str(path)) == str(path)


def test_an_inventory_that_ansible_cannot_read_is_not_taken_for_the_default(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("#!/bin/sh\necho oops >&2\nexit 1\n")
    path.chmod(0o755)
    with pytest.raises(BadInputError, match=f"The inventory {path} cannot be read: .* exit code 1: oops"):
        _inventory.variables(str(path))


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        ("https://a:1 refuses the connection: check that headscale runs.", ExitCode.COULD_NOT_RUN),
        ("The certificate of https://a is not trusted (expired): renew it.", ExitCode.COULD_NOT_RUN),
        ("No Headscale server is named: set url.", ExitCode.BAD_INPUT),
        ("url is 'a': it must look like https://headscale.example.com.", ExitCode.BAD_INPUT),
    ],
)
def test_a_server_that_cannot_be_asked_for_the_inventory_is_no_bad_input(cause: str, code: ExitCode) -> None:
    said = f"Failed to parse inventory with 'auto' plugin.\n\n<<< caused by >>>\n\n{cause}\nOrigin: x\n\n"
    error = _inventory.refusal(said + "[ERROR]: Completely failed to parse inventory source\n/x.yml\n", "/x.yml")
    assert error is not None
    assert (error.code, str(error)) == (code, f"The inventory /x.yml cannot be read: {cause}")
    assert _inventory.refusal("[ERROR]: another", "/x.yml") is None


def test_encrypted_inventory_and_plugins_are_left_to_ansible(tmp_path: Path) -> None:
    path = tmp_path / "lab.yml"
    path.write_text("$ANSIBLE_VAULT;1.1;AES256\n6231")
    assert _inventory.check(str(path)) == str(path)
    assert _inventory.encrypted(str(path))
    path.write_text("plugin: meshctl.headscale.headscale\nhosts: 5")
    assert _inventory.check(str(path)) == str(path)


def test_extra_variables(tmp_path: Path) -> None:
    file = tmp_path / "v.yml"
    file.write_text("a: 1")
    given = ["mesh_a=b=c", '{"mesh_list": [1]}', f"@{file}"]
    assert _run.parse_extra_vars(given) == ({"mesh_a": "b=c", "mesh_list": [1]}, [file])
    with pytest.raises(BadInputError, match=r"There is no file .*nowhere for -e @nowhere\."):
        _run.parse_extra_vars(["@nowhere"])


@pytest.mark.parametrize("text", ["just words", "[1, 2]", "7", "a: b: c", "\xff"])
def test_a_file_that_holds_no_variables_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "v.yml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInputError, match=r"v\.yml"):
        _run.parse_extra_vars([f"@{file}"])


@pytest.mark.parametrize(
    "text", ["{}", "key: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  61", "$ANSIBLE_VAULT;1.1;AES256\n61"]
)
def test_files_that_ansible_can_read_are_left_to_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "v.yml"
    file.write_text(text)
    assert _run.parse_extra_vars([f"@{file}"]) == ({}, [file])


@pytest.mark.parametrize("name", ["../..", "/etc", "BAD"])
def test_a_name_that_no_lab_can_have_is_bad_input(name: str) -> None:
    with pytest.raises(BadInput, match="lab_name"):
        _collection.lab.Lab(name)


def test_arguments_of_ansible_have_no_value_of_a_variable() -> None:
    request = _play.Request(
        playbooks=[Path("us1.yml"), Path("us2.yml")], inventory="lab.yml", extra_vars={"key": "secret"},
        extra_files=[Path("v.yml")], limit=["a", "b"], tags="x", check=True, verbosity=4,
    )  # fmt: skip
    assert request.arguments(Path("own.json")) == [
        "-i", "lab.yml", "-e", "@v.yml", "-e", "@own.json", "--limit", "a,b", "--tags", "x", "--check", "--diff", "-vv",
        "us1.yml", "us2.yml",
    ]  # fmt: skip


def test_only_known_harmless_variables_are_written_to_disk() -> None:
    whole = {"PATH": "/bin", "LC_ALL": "C", "HEADSCALE_API_KEY": "x", "ANSIBLE_VAULT_PASSWORD": "x", "MESHCTL_LAB": "x"}
    public, private = _play._split(whole)
    assert set(public) == {"PATH", "LC_ALL"}
    assert set(private) == {"HEADSCALE_API_KEY", "ANSIBLE_VAULT_PASSWORD", "MESHCTL_LAB"}


def test_environment_of_ansible(project: _project.Project, tmp_path: Path) -> None:
    found = _play.environment(project, tmp_path, inherited={"ANSIBLE_COLLECTIONS_PATH": "/c", "PATH": "/bin"})
    assert found["ANSIBLE_COLLECTIONS_PATH"] == f"{tmp_path}:/c"
    assert found["PATH"] == f"{Path(sys.executable).parent}:/bin"
    assert found["ANSIBLE_CONFIG"] == str(tmp_path / "ansible.cfg")
    assert _play.environment(project, tmp_path, inherited={"ANSIBLE_CONFIG": "/my.cfg"})["ANSIBLE_CONFIG"] == "/my.cfg"


# --- logs


def test_tail_reads_on_and_over_a_rotation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "current"
    path.write_text("one\ntwo\nthree\n")
    at = _tail._last(path, 2)
    assert capsys.readouterr().out == "two\nthree\n"
    with path.open("a") as file:
        file.write("four\nhalf")
    at = _tail._more("", path, at)
    assert capsys.readouterr().out == "four\n"
    path.rename(tmp_path / "old")
    path.write_text("five\n")
    at = _tail._more("tailscaled", path, at)
    assert capsys.readouterr().out == "tailscaled: five\n"
    assert _tail._more("", path, at) == at


def test_stories_are_completed_in_the_shell() -> None:
    environment = {"_MESHCTL_COMPLETE": "complete_bash", "COMP_WORDS": "meshctl run u", "COMP_CWORD": "2"}
    found = CliRunner().invoke(app, [], env=environment, prog_name="meshctl").output.split()
    assert {"us1", "us2"} <= set(found)
    assert "all" not in found


def test_ansible_that_was_killed_is_named() -> None:
    assert "ended by SIGKILL" in _run._without_reason(137)
    assert _run._without_reason(250) == "Ansible ended with code 250 and gave no reason."


# --- options


@pytest.mark.parametrize(
    "words",
    [
        ["down", "--lab", ""],
        ["down", "--lab", " "],
        ["status", "-i", ""],
        ["exec", "--lab", "", "a", "true"],
        ["logs", "--lab", "", "a"],
        ["faults", "inject", "loss-30", "--lab", ""],
        ["faults", "list", "-i", ""],
        ["faults", "drill", "--lab", ""],
        ["down", "-e", "lab_name="],
    ],
)
def test_an_empty_option_is_refused_and_is_no_default(words: list[str]) -> None:
    with pytest.raises(BadInputError, match="is empty: give it a value, or leave it out"):
        CliRunner().invoke(app, words, catch_exceptions=False)


@pytest.mark.parametrize("words", [["{{ x }}", "b"], ["a", "{% x %}"], ["a", "b", "{x"]])
def test_no_name_of_a_node_is_a_template(words: list[str]) -> None:
    with pytest.raises(BadInputError, match="braces are not allowed"):
        CliRunner().invoke(app, ["why", *words], catch_exceptions=False)


def test_an_empty_variable_of_the_environment_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    context = get_command(app).commands["down"].make_context  # type: ignore[attr-defined]
    monkeypatch.setenv("MESHCTL_LAB", "")
    assert context("down", []).params["lab"] is None
    monkeypatch.setenv("MESHCTL_LAB", "  ")
    with pytest.raises(BadInputError, match="--lab is empty"):
        context("down", [])


@pytest.mark.parametrize("backend", ["lab", "libvirt", "hosts"])
def test_a_lab_that_is_not_up_is_said_before_ansible_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path))
    path = tmp_path / "mine.yml"
    path.write_text(f"all: {{vars: {{lab_name: mine, mesh_backend: {backend}}}}}")

    def started(*_words: object, **_options: object) -> NoReturn:
        raise InterruptedError

    monkeypatch.setattr(_run, "play", started)
    words = ["run", "us1", "--no-deploy", "-i", str(path)]
    expected = (MeshctlError, "The lab 'mine' is not up") if backend == "lab" else (InterruptedError, None)
    with pytest.raises(expected[0], match=expected[1]):
        CliRunner().invoke(app, words, catch_exceptions=False)
    with pytest.raises(InterruptedError):
        CliRunner().invoke(app, [*words, "--deploy"], catch_exceptions=False)


def test_an_interruption_while_meshctl_is_loaded_leaves_no_traceback() -> None:
    # The tests themselves may have been started with the signal ignored.
    code = "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); sys.argv[0] = '/bin/meshctl'\n"
    code += "import meshctl_headscale._signals\n"
    code += "os.kill(os.getpid(), signal.SIGINT)\nraise RuntimeError"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(
    "words", ["run --nosuch --json", "run --json --limit", "faults list --nosuch --json", "up --lab A_B --json"]
)
def test_what_is_wrong_with_options_is_json_as_well(words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "meshctl_headscale", *words.split()],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["exit_code"]) == (2, 2)
    assert answer["error"] in done.stderr


@pytest.mark.parametrize("form", ["html", "path"])
def test_a_query_has_no_other_format(form: str) -> None:
    with pytest.raises(BadInputError, match=f"leave out --format {form}"):
        CliRunner().invoke(app, ["report", "--query", "counts", "--format", form], catch_exceptions=False)


def test_a_machine_without_services_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_labs, "log_files", lambda *_words: {})
    done = CliRunner().invoke(app, ["logs", "router", "-f"], catch_exceptions=False)
    assert (done.exit_code, done.stdout, done.stderr) == (
        0,
        "",
        "'router' has no services: there is nothing to show.\n",
    )


# --- a lab by its name alone


@pytest.mark.parametrize("words", ["status", "logs client-node-1", "exec client-node-1 true", "down"])
def test_with_a_name_of_a_lab_no_inventory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setenv("MESHCTL_STATE_DIR", str(tmp_path))
    script = tmp_path / "hosts"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/evaluated\necho '{{}}'\n")
    script.chmod(0o755)
    monkeypatch.setenv("MESHCTL_INVENTORY", str(script))
    asked: list[_play.Request] = []

    def started(request: _play.Request, **_options: object) -> NoReturn:
        asked.append(request)
        raise MeshctlError("The lab 'mine' is not up")

    monkeypatch.setattr(_run, "play", started)
    with pytest.raises(MeshctlError, match="The lab 'mine'"):
        CliRunner().invoke(app, [*words.split()[:1], "--lab", "mine", *words.split()[1:]], catch_exceptions=False)
    assert not (tmp_path / "evaluated").exists()
    assert [request.inventory for request in asked] == (["localhost,"] if words == "down" else [])


def test_the_play_that_all_stories_end_with_belongs_to_none() -> None:
    one, two = (
        _stories.Story(name=name, title=name, path=Path(name), plays=frozenset({name, "Verdict"})) for name in "ab"
    )
    assert _run._own_plays(one, [one, two]) == {"a"}
    assert _run._own_plays(one, [one]) == {"a", "Verdict"}


# --- doctor of files


def test_doctor_examines_files_and_exits_accordingly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_CACHE_DIR", str(tmp_path / "cache"))
    policy = tmp_path / "policy.hujson"
    policy.write_text('{"acls": [\n{"action": "accept", "src": ["group:\\u001b[31mx"], "dst": ["*:*"]}]}')
    done = CliRunner().invoke(app, ["doctor", "--policy", str(policy)])
    assert done.exit_code == ExitCode.FAILED
    assert f"{policy}:2: high: Headscale refuses the policy" in done.output
    assert "\x1b[31m" not in done.output
    done = CliRunner().invoke(app, ["doctor", "--policy", str(policy), "--json"])
    found = json.loads(done.output)
    assert (found["ok"], [one["id"] for one in found["findings"]]) == (False, ["policy.refused"])
    policy.write_text('{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}')
    assert CliRunner().invoke(app, ["doctor", "--policy", str(policy)]).exit_code == ExitCode.PASSED
    done = CliRunner().invoke(app, ["doctor", "--policy", str(policy), "--min-severity", "low"])
    assert done.exit_code == ExitCode.FAILED
    assert "2 below low not shown" in done.output


@pytest.mark.parametrize("words", [["--mesh", "--config", "x"], ["--user", "alice"], ["--headscale", "/bin/true"]])
def test_doctor_refuses_options_that_do_not_go_together(words: list[str]) -> None:
    done = CliRunner().invoke(app, ["doctor", *words])
    assert isinstance(done.exception, BadInputError)
