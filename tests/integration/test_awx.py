# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects in AWX: applied by awx.awx's own modules to a stand-in, and their jobs run as AWX would run them."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner
import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.plugin_utils._stories import stories

from .api_fixtures import RealHeadscale, api_key, real_headscale  # noqa: F401 - fixtures
from .awx_stand_in import TOKEN, StandIn, serve
from .lab_driver import PROJECT, Machine

pytestmark = pytest.mark.integration

SECRET = "hskey-api-standinsecret-0123456789abcdef"
# No path is that fast, and waiting for one is in vain.
_IMPOSSIBLE = {"mesh_latency_budget_ms": 0.0001, "mesh_deadline_s": 3}
FROM_TEMPLATES = ("--start-at-task", "Create a job template for each story")
STORIES = tuple(story.id for story in stories(PROJECT / "playbooks" / "stories"))


@pytest.fixture(scope="session")
def awx_collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory of collections that has awx.awx."""
    if named := os.environ.get("MESHCTL_TEST_AWX_COLLECTIONS"):
        return Path(named)
    target = tmp_path_factory.mktemp("awx")
    fetch = [sys.executable, "tools/fetch_collections.py", str(target), "awx.awx"]
    fetched = subprocess.run(fetch, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if fetched.returncode:
        reason = f"awx.awx could not be fetched: {fetched.stderr.strip()}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return target


@dataclass
class Controller:
    """The stand-in, and the playbook that applies our objects to it."""

    api: StandIn
    collections: Path
    home: Path

    def apply(self, *arguments: str, **variables: object) -> subprocess.CompletedProcess[str]:
        """Apply the objects, as an operator does."""
        key = self.home / "api_key"
        key.write_text(SECRET)
        mine = {
            "meshctl_awx_scm_url": "https://git.example.com/meshctl.git",
            "meshctl_awx_image": "meshctl-ee:latest",
            "meshctl_awx_lab_host": {"name": "lab-1", "variables": {"ansible_host": "192.0.2.9"}},
            "meshctl_awx_webhook": "https://chat.example.com/hook",
            **variables,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MESHCTL_"))}
        return subprocess.run(
            [
                Path(sys.executable).with_name("ansible-playbook"),
                "awx/apply.yml",
                "-vv",
                "-e",
                json.dumps(mine),
                *arguments,
            ],
            cwd=PROJECT,
            env={
                **kept,
                "ANSIBLE_COLLECTIONS_PATH": f"{PROJECT / 'collection'}:{self.collections}",
                "ANSIBLE_HOME": str(self.home),
                "ANSIBLE_NOCOLOR": "1",
                "CONTROLLER_HOST": self.api.url,
                "CONTROLLER_OAUTH_TOKEN": TOKEN,
                "HEADSCALE_API_KEY_FILE": str(key),
                "HEADSCALE_URL": "https://headscale.example.com",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="module")
def controller(awx_collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    """Return a stand-in for AWX, with our objects in it."""
    with serve(PROJECT) as api:
        made = Controller(api, awx_collection, tmp_path_factory.mktemp("home"))
        done = made.apply()
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr
        assert SECRET not in done.stdout + done.stderr
        yield made


def _changed(output: str) -> int:
    found = re.search(r"changed=(\d+)", output)
    assert found, output
    return int(found[1])


def test_only_what_differs_is_written(controller: Controller) -> None:
    ca = controller.home / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\n")
    # Certificates of a CA of one's own are part of the credential.
    with_ca = controller.apply(meshctl_awx_headscale_ca_file=str(ca))
    assert _changed(with_ca.stdout) == 1, with_ca.stdout
    assert controller.api.named("credentials", "Headscale API")["inputs"]["ca"] == "-----BEGIN CERTIFICATE-----"
    before = len(controller.api.requests)
    again = controller.apply(meshctl_awx_headscale_ca_file=str(ca))
    assert again.returncode == 0, again.stdout[-4000:]
    assert _changed(again.stdout) == 0, again.stdout
    asked = controller.api.requests[before:]
    assert asked
    assert {method for method, _path in asked} == {"GET"}


def test_what_differs_is_put_right(controller: Controller) -> None:
    template = controller.api.named("job_templates", "meshctl US1 connectivity")
    template["playbook"] = "playbooks/us2.yml"
    done = controller.apply(*FROM_TEMPLATES)
    assert _changed(done.stdout) == 1
    assert template["playbook"] == "playbooks/us1.yml"


def test_the_key_is_kept_encrypted_and_reaches_jobs_as_a_file(controller: Controller) -> None:
    credential = controller.api.named("credentials", "Headscale API")
    assert controller.api.secrets[credential["id"]]["api_key"] == SECRET
    assert credential["inputs"]["api_key"] == "$encrypted$"
    injectors = controller.api.named("credential_types", "Headscale API")["injectors"]
    assert injectors["file"]["template.api_key"] == "{{ api_key }}"
    assert injectors["env"]["HEADSCALE_API_KEY_FILE"] == "{{ tower.filename.api_key }}"
    assert "api_key" not in injectors.get("extra_vars", {})


def test_every_story_has_a_template_that_awx_finds(controller: Controller) -> None:
    found = {item["playbook"] for item in controller.api.objects["job_templates"]}
    assert found == {f"playbooks/{story}.yml" for story in STORIES} | {"awx/verdict.yml", "awx/lab_host.yml"}


def test_a_playbook_that_awx_does_not_find_is_refused(controller: Controller) -> None:
    missing = [{"id": "us9", "title": "US9", "summary": "there is none"}]
    done = controller.apply(*FROM_TEMPLATES, meshctl_awx_stories=missing)
    assert done.returncode != 0
    assert "Playbook not found for project: playbooks/us9.yml" in done.stdout


def test_the_workflow_stops_at_the_first_failure(controller: Controller) -> None:
    names = [*STORIES, "verdict"]
    for node, following in itertools.pairwise(names):
        linked = controller.api.linked("workflow_job_template_nodes", node, "success_nodes")
        assert [item["identifier"] for item in linked] == [following]
        linked = controller.api.linked("workflow_job_template_nodes", node, "failure_nodes")
        assert [item["identifier"] for item in linked] == ["verdict"]
        assert controller.api.linked("workflow_job_template_nodes", node, "always_nodes") == []


def test_the_survey_asks_for_variables_that_there_are(controller: Controller) -> None:
    workflow = controller.api.named("workflow_job_templates", "meshctl all")
    survey = controller.api.surveys["workflow_job_templates", workflow["id"]]
    asked = {question["variable"] for question in survey["spec"]}
    documented = set(re.findall(r"`(mesh_\w+)`", (PROJECT / "docs" / "reference" / "inventory.md").read_text()))
    assert asked - documented == set()
    for story in STORIES:
        template = next(
            item for item in controller.api.objects["job_templates"] if item["playbook"].endswith(f"{story}.yml")
        )
        assert controller.api.surveys["job_templates", template["id"]] == survey


def test_the_verdict_is_told_with_the_artifacts(controller: Controller) -> None:
    for relation in ("notification_templates_success", "notification_templates_error"):
        assert [item["name"] for item in controller.api.linked("job_templates", "meshctl verdict", relation)] == [
            "meshctl"
        ]
    messages = controller.api.named("notification_templates", "meshctl")["messages"]
    assert "job.artifacts" in messages["error"]["body"]


def test_what_is_not_set_is_named(controller: Controller) -> None:
    done = controller.apply(meshctl_awx_image="")
    assert done.returncode != 0
    assert "meshctl_awx_image is empty: name the image" in done.stdout


def test_the_execution_environment_can_be_built_from(tmp_path: Path) -> None:
    builder = [Path(sys.executable).with_name("ansible-builder"), "create", "--context", tmp_path / "context"]
    file = PROJECT / "awx" / "execution-environment.yml"
    done = subprocess.run([*builder, "--file", file], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    python = (tmp_path / "context" / "_build" / "requirements.txt").read_text()
    # The file's name is that of the engine that was found.
    assert (tmp_path / "context" / "Containerfile").is_file() or (tmp_path / "context" / "Dockerfile").is_file()
    locked = (PROJECT / "locks" / "python.txt").read_text()
    for line in python.splitlines():
        # What the jobs need, in the versions that are locked.
        assert f"\n{line} " in locked


def test_own_hosts_are_what_the_server_has(real_headscale: RealHeadscale, api_key: str, tmp_path: Path) -> None:
    real_headscale.command("users", "create", "awx")
    real_headscale.new_node("own-1", "awx")
    key = tmp_path / "key"
    key.write_text(api_key)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "HEADSCALE_"))}
    listed = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "-i", "awx/inventory/own", "--list"],
        cwd=PROJECT,
        # As the type of credential injects them.
        env={**kept, "HEADSCALE_URL": real_headscale.url, "HEADSCALE_API_KEY_FILE": str(key), "HEADSCALE_CA_PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert listed.returncode == 0, listed.stderr
    found = json.loads(listed.stdout)
    assert "own-1" in found["clients"]["hosts"]
    assert found["headscale"]["hosts"] == ["headscale-api"]
    assert api_key not in listed.stdout


# --- Jobs, as AWX runs them ------------------------------------------------------------------------------------------


@dataclass
class Job:
    """What AWX would keep of a job."""

    status: int
    artifacts: dict[str, Any]
    output: str


class Jobs:
    """Runs job templates with AWX's rules for playbooks, collections, inventories and variables."""

    def __init__(self, machine: Machine, directory: Path, templates: list[dict[str, Any]]) -> None:
        """Fetch the project as AWX does: what is tracked, links as links."""
        self.machine = machine
        self.directory = directory
        self.project = directory / "project"
        self.templates = templates
        ignored = shutil.ignore_patterns(
            ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "runs", "build", "dist"
        )
        shutil.copytree(PROJECT, self.project, symlinks=True, ignore=ignored)

    def environment(self) -> dict[str, str]:
        """Return the environment of a job: AWX puts its own path of collections before the project's."""
        configured = re.search(r"^collections_path *= *(.*)$", (self.project / "ansible.cfg").read_text(), re.MULTILINE)
        assert configured is not None
        paths = [str(self.directory / "requirements_collections"), configured[1]]
        ours = ("ANSIBLE_CONFIG", "ANSIBLE_CALLBACK_PLUGINS", "ANSIBLE_CALLBACKS_ENABLED", "MESHCTL_RUNS_DIR")
        kept = {name: value for name, value in self.machine.env().items() if name not in ours}
        return {**kept, "ANSIBLE_COLLECTIONS_PATH": ":".join(paths), "JOB_ID": "7", "PYTHONPATH": ""}

    def inventory(self, source: str) -> Path:
        """Return an inventory script of what an inventory source was read as."""
        listed = subprocess.run(
            [Path(sys.executable).with_name("ansible-inventory"), "-i", source, "--list", "--export"],
            cwd=self.project,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert listed.returncode == 0, listed.stderr
        data = self.directory / f"{uuid.uuid4().hex}.json"
        data.write_text(listed.stdout)
        script = data.with_suffix("")
        script.write_text(f"#!/bin/sh\ncat '{data}'\n")
        script.chmod(0o700)
        return script

    def launch(self, template: dict[str, Any], inventory: Path, **variables: object) -> Job:
        """Run a job template to its end."""
        private = self.directory / f"job-{uuid.uuid4().hex[:8]}"
        (private / "env").mkdir(parents=True)
        runner = ansible_runner.run(
            private_data_dir=str(private),
            project_dir=str(self.project),
            playbook=template["playbook"],
            inventory=str(inventory),
            extravars={**variables, "awx_job_id": 7, "awx_job_template_name": template["name"]},
            envvars=self.environment(),
            quiet=True,
        )
        stats = [event for event in runner.events if event["event"] == "playbook_on_stats"]
        artifacts = stats[0]["event_data"]["artifact_data"] if stats else {}
        return Job(runner.rc, artifacts, Path(runner.config.artifact_dir, "stdout").read_text())


@pytest.fixture(scope="module")
def jobs(
    controller: Controller, machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Job]]:
    """Return what launches the job of a playbook; all jobs have one lab, as nodes of a workflow do."""
    runner = Jobs(machine, tmp_path_factory.mktemp("awx-jobs"), controller.api.objects["job_templates"])
    inventory = runner.inventory("inventory/lab.yml")
    name = f"awx{uuid.uuid4().hex[:6]}"

    def launch(playbook: str, **variables: object) -> Job:
        (template,) = [item for item in runner.templates if item["playbook"] == playbook]
        return runner.launch(template, inventory, **{"lab_name": name, **variables})

    yield launch
    down = runner.launch({"playbook": "playbooks/down.yml", "name": "down"}, inventory, lab_name=name)
    assert down.status == 0, down.output[-2000:]


def _answers(**changed: object) -> dict[str, object]:
    """Return what a survey gives: its defaults, as AWX types them, without those that are no integers."""
    survey = yaml.safe_load((PROJECT / "awx" / "objects.yml").read_text().replace("!unsafe ", ""))["meshctl_awx_survey"]
    given = {question["variable"]: question["default"] for question in survey["spec"] if question["default"] != ""}
    return given | changed


@pytest.mark.parametrize(
    "made", [pytest.param(("us3", "us4"), id="two"), pytest.param(STORIES, id="all", marks=pytest.mark.slow)]
)
def test_the_jobs_of_a_workflow_leave_their_summaries_and_the_verdict_reads_them(
    jobs: Callable[..., Job], made: tuple[str, ...]
) -> None:
    artifacts: dict[str, Any] = {}
    for story in made:
        job = jobs(f"playbooks/{story}.yml", **_answers(mesh_allow_disruptive="true"), **artifacts)
        assert job.status == 0, job.output[-4000:]
        summary = job.artifacts[f"meshctl_{story}"]
        assert (summary["verdict"], summary["bad"]) == ("passed", [])
        assert summary["counts"]["passed"] > 0
        artifacts |= job.artifacts
    # A verdict needs a summary of each story; those of the others are as good as the last one.
    artifacts = {f"meshctl_{story}": summary for story in STORIES} | artifacts
    verdict = jobs("awx/verdict.yml", **artifacts)
    assert verdict.status == 0, verdict.output[-2000:]
    assert verdict.artifacts["meshctl"] == {"verdict": "passed", "stories": dict.fromkeys(STORIES, "passed"), "bad": []}


def test_a_story_that_fails_fails_its_job_and_says_why(jobs: Callable[..., Job]) -> None:
    job = jobs("playbooks/us2.yml", **_answers(**_IMPOSSIBLE))
    assert job.status == 2
    summary = job.artifacts["meshctl_us2"]
    assert summary["verdict"] == "failed"
    assert {check["id"] for check in summary["bad"]} == {"us2.reachable.latency"}
    verdict = jobs("awx/verdict.yml", meshctl_us1={"verdict": "passed", "bad": []}, **job.artifacts)
    assert verdict.status == 2
    missing = STORIES[2:]
    expected = {"us1": "passed", "us2": "failed", **dict.fromkeys(missing, "not run")}
    assert verdict.artifacts["meshctl"]["stories"] == expected
    assert verdict.artifacts["meshctl"]["bad"] == summary["bad"]
    assert ", ".join(["us2 failed", *(f"{story} not run" for story in missing)]) in verdict.output


def test_a_story_that_keeps_going_leaves_the_failure_to_the_verdict(jobs: Callable[..., Job]) -> None:
    job = jobs("playbooks/us2.yml", **_answers(**_IMPOSSIBLE, mesh_keep_going="true"))
    assert job.status == 0, job.output[-4000:]
    assert job.artifacts["meshctl_us2"]["verdict"] == "failed"
    assert jobs("awx/verdict.yml", **job.artifacts).status == 2


def test_the_lab_host_runs_the_stories(
    controller: Controller, machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    runner = Jobs(machine, tmp_path_factory.mktemp("awx-lab"), controller.api.objects["job_templates"])
    source = runner.directory / "lab_host.yml"
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    source.write_text(yaml.safe_dump({"all": {"hosts": {"lab-1": host}}}))
    (template,) = [item for item in runner.templates if item["playbook"] == "awx/lab_host.yml"]
    # What a login on another host would not have: the environment of this job.
    program = runner.directory / "meshctl"
    meshctl = Path(sys.executable).with_name("meshctl")
    inherited = "^(ANSIBLE|AWX|RUNNER)_|^PYTHONPATH="
    program.write_text(f"#!/bin/sh\nunset $(env | grep -E '{inherited}' | cut -d= -f1)\nexec '{meshctl}' \"$@\"\n")
    program.chmod(0o755)
    job = runner.launch(
        template,
        runner.inventory(str(source)),
        meshctl_stories=["us2"],
        meshctl_program=str(program),
        meshctl_directory=str(machine.home),
    )
    assert job.status == 0, job.output[-4000:]
    assert job.artifacts["meshctl"]["verdict"] == "passed"
    assert job.artifacts["meshctl"]["stories"] == {"us2": "passed"}
    assert not (machine.state_dir / "labs" / "seed").exists()
