# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The callback under a real ansible-playbook, with tasks that return checks and tasks that go wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.callback import report as callback_report
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model
from ansible_site import Site

SECRET = "hskey-auth-AbCdEf012345-" + "x" * 64

PASSING = """
- name: Everyone reaches everyone
  hosts: clients
  gather_facts: false
  vars: {mesh_story: us1}
  tasks:
    - name: Check
      returns:
        checks: [{id: us1.reachable.ipv4, source: "{{ inventory_hostname }}", target: other, verdict: passed}]
        ansible_facts: {mesh_client: {version: 1.102.5, id: 7, addresses: [100.64.0.7]}}
"""

FAILING = """
- name: Bring up
  hosts: localhost
  gather_facts: false
  tasks:
    - returns: {mesh_topology: {n1: {subnet: a, address: 10.0.0.1}}, mesh_versions: {headscale: 0.29.3}}
- name: The story
  hosts: clients
  gather_facts: false
  vars: {mesh_story: us1}
  tasks:
    - name: A block with a rescue
      when: inventory_hostname == 'n1'
      block:
        - name: Rescued
          returns: {failed: true, msg: was not there}
        - name: Never
          returns: {failed: true}
      rescue:
        - name: Within the rescue
          returns: {failed: true, msg: not there either}
          ignore_errors: true
    - name: Checked and rescued
      block:
        - name: A check that fails stays failed
          returns: {failed: true, msg: x, checks: [{id: us1.rescued, source: n1, verdict: failed}]}
          when: inventory_hostname == 'n1'
      rescue:
        - name: Fine
          returns: {}
    - name: Hidden
      no_log: true
      returns: {checks: [{id: us1.hidden, verdict: passed, source: n1, observed: not to be seen}]}
    - name: Hidden loop
      no_log: true
      returns: {checks: [{id: us1.hidden, verdict: passed, source: n1, observed: not to be seen}]}
      loop: [1, 2]
    - name: Vanishing
      returns: {vanish: true}
      when: inventory_hostname == 'n2'
    - name: Leaking
      returns: {checks: [{id: us1.leak, verdict: passed, source: n1, observed: "used SECRET"}]}
    - name: Loop
      returns: {checks: [{id: us1.loop, verdict: passed, source: n1, target: "{{ item }}"}]}
      loop: [a, b]
    - name: Skipped
      returns: {skipped: true, checks: [{id: us1.skipped, verdict: skipped, source: n1, hint: not allowed}]}
    - name: Broken
      returns: {failed: true, msg: cannot do it}
- name: The next story
  hosts: clients
  gather_facts: false
  vars: {mesh_story: us2}
  tasks:
    - returns: {}
""".replace("SECRET", SECRET)

HANGING = """
- name: The story
  hosts: n1
  gather_facts: false
  vars: {mesh_story: us1}
  tasks:
    - name: Check
      returns: {checks: [{id: us1.a, source: n1, verdict: passed}]}
    - name: Quick
      returns: {}
    - name: Hang
      returns: {hang: "{{ playbook_dir }}/hanging"}
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, int, str]:
    site = Site(tmp_path_factory.mktemp("failed"))
    site.write("all.yml", FAILING)
    return site, *site.run("all.yml")


def find(report: model.Report, name: str) -> model.Check:
    return next(check for check in report.checks if check["id"] == name)


@pytest.mark.parametrize(
    ("url", "stated"),
    [
        ("https://headscale.example.com/", "https://headscale.example.com"),
        ("https://me:secret@headscale.example.com:8443", "https://headscale.example.com:8443"),
        ("https://me:two@secrets@headscale.example.com", "https://headscale.example.com"),
        ("https://me:a/secret@headscale.example.com", None),
        ("https://me@x:a/secret@headscale.example.com", None),
        ("https://me:a?secret@headscale.example.com", None),
        ("me:secret@headscale.example.com", None),
        ("{{ lookup('env', 'URL') }}", None),
    ],
)
def test_the_report_states_the_server_of_the_inventory(site: Site, url: str, stated: str | None) -> None:
    site.write("us1.yml", PASSING)
    code, _output = site.run("us1.yml", "-e", json.dumps({"mesh_server_url": url}))
    assert (code, site.report().inventory.get("server_url")) == (0, stated)


def test_a_story_that_passes_leaves_a_run_directory_and_a_summary(site: Site) -> None:
    site.write("us1.yml", PASSING)
    code, output = site.run("us1.yml")
    report = site.report()
    assert (code, report.verdict, report.counts.passed) == (0, "passed", 2)
    assert report.command == "ansible-playbook us1.yml -i inventory.yml"
    assert report.inventory == {"source": ["inventory.yml"], "backend": "lab", "lab_name": "seed"}
    assert [(story.id, story.title) for story in report.stories] == [("us1", "Everyone reaches everyone")]
    assert report.hosts["n2"] == {"group": "clients", "mesh_addresses": ["100.64.0.7"], "node_id": "7"}
    assert report.versions["meshctl"] == "0.1.0" and report.versions["tailscale"] == "1.102.5"
    run = site.path / "runs" / report.run_id
    assert report.run_id.endswith("Z-us1")
    assert {file.name for file in run.iterdir()} == {"report.json", "junit.xml", "report.html"}
    assert "PASSED  2 passed, 0 failed" in output and f"runs/{report.run_id}/report.html" in output
    assert "WARNING" not in output


def test_meshctl_names_the_directory_and_draws_its_own_summary(site: Site) -> None:
    site.write("us1.yml", PASSING)
    directory = site.path / "mine"
    _, output = site.run("us1.yml", MESHCTL_RUN_DIR=str(directory), MESHCTL_CLI="1", MESHCTL_COMMAND="meshctl run us1")
    assert model.load(directory).command == "meshctl run us1"
    assert "verdict" not in output
    assert not (site.path / "runs").exists() and not (site.path / "latest").exists()


def test_a_playbook_without_story_and_checks_leaves_nothing(site: Site) -> None:
    site.write("up.yml", "- {hosts: n1, gather_facts: false, tasks: [{returns: {}}, {returns: {failed: true}}]}")
    code, output = site.run("up.yml")
    assert code == 2
    assert "verdict" not in output
    assert site.run("up.yml", MESHCTL_RUN_DIR=str(site.path / "mine"))[0] == 2
    report = model.load(site.path / "mine")
    assert (report.verdict, [check["id"] for check in report.checks]) == ("error", ["playbook.task"])


def test_a_failed_run_keeps_all_verdicts(failed: tuple[Site, int, str]) -> None:
    site, code, output = failed
    report = site.report()
    assert (code != 0, report.verdict, report.not_run) == (True, "failed", ["us2"])
    assert [(check["id"], check["target"], check["verdict"]) for check in report.checks] == [
        ("us1.rescued", None, "failed"),
        ("us1.host_reachable", None, "error"),
        ("us1.leak", None, "passed"),
        ("us1.loop", "a", "passed"),
        ("us1.loop", "b", "passed"),
        ("us1.skipped", None, "skipped"),
        ("us1.task", None, "error"),
    ]
    assert find(report, "us1.host_reachable")["source"] == "n2"
    assert report.versions["headscale"] == "0.29.3"
    assert "FAILED us1.rescued  n1" in output


def test_a_failed_task_names_its_place(failed: tuple[Site, int, str]) -> None:
    check = find(failed[0].report(), "us1.task")
    line = next(number for number, text in enumerate(FAILING.splitlines(), 1) if "name: Broken" in text)
    assert check["hint"] == f"The task 'Broken' (all.yml:{line}) failed on n1: cannot do it"


def test_failures_that_the_playbook_deals_with_are_notes(failed: tuple[Site, int, str]) -> None:
    notes = failed[0].report().notes
    assert [(note.kind, note.task, note.message) for note in notes] == [
        ("rescued", "Rescued", "was not there"),
        ("ignored", "Within the rescue", "not there either"),
    ]


def test_neither_hidden_results_nor_keys_are_in_any_file(failed: tuple[Site, int, str]) -> None:
    site, _, output = failed
    files = [file for file in (site.path / "runs").rglob("*") if file.is_file()]
    assert len(files) >= 3
    for text in ("not to be seen", "us1.hidden", SECRET):
        assert not [file for file in files if text in file.read_text()]
    assert find(site.report(), "us1.leak")["observed"] == "used [redacted]"
    assert SECRET not in output[output.index("PLAY RECAP") :]


def test_several_playbooks_make_one_report(site: Site) -> None:
    site.write("us1.yml", PASSING)
    site.write("us2.yml", PASSING.replace("us1", "us2"))
    site.write("us4.yml", PASSING.replace("us1", "us4"))
    failing = PASSING.replace("us1", "us3").replace("verdict: passed", "verdict: failed")
    site.write("us3.yml", failing + "        failed: true\n")
    _, output = site.run("us1.yml", "us2.yml", "us3.yml", "us4.yml")
    report = site.report()
    assert [(story.id, story.verdict) for story in report.stories] == [
        ("us1", "passed"),
        ("us2", "passed"),
        ("us3", "failed"),
    ]
    assert report.not_run == ["us4"]
    assert report.run_id.endswith("-us1-us2-us3-us4")
    assert len([path for path in (site.path / "runs").iterdir() if not path.is_symlink()]) == 1
    assert output.count("verdict  FAILED") == 1


def test_a_playbook_that_ansible_gives_up_is_no_pass(site: Site) -> None:
    site.write("us1.yml", PASSING + "- {hosts: n1, strategy: nowhere, gather_facts: false, tasks: [{returns: {}}]}\n")
    code, _ = site.run("us1.yml")
    report = site.report()
    assert code != 0
    assert report.verdict == "error"
    assert find(report, "playbook.playbook")["hint"].startswith("Ansible stopped")


def test_a_later_playbook_that_cannot_be_read_is_no_pass(site: Site) -> None:
    site.write("us1.yml", PASSING)
    site.write("us2.yml", "- {hosts: [")
    code, _ = site.run("us1.yml", "us2.yml")
    report = site.report()
    assert code != 0
    assert (report.verdict, report.not_run) == ("error", ["us2"])
    assert [story.verdict for story in report.stories] == ["error", "passed"]


def test_a_directory_that_cannot_be_made_is_one_warning_and_no_failure(site: Site) -> None:
    site.write("us1.yml", PASSING)
    site.write("runs", "a file in the way")
    code, output = site.run("us1.yml")
    assert code == 0
    assert "Traceback" not in output
    warnings = [line for line in output.splitlines() if "meshctl.headscale.report" in line]
    assert len(warnings) == 1 and "the report cannot be written: " in warnings[0]


def test_what_goes_wrong_in_the_report_does_not_read_as_a_pass(tmp_path: Path) -> None:
    callback = callback_report.CallbackModule()
    callback._plugin_options = {"run_dir": str(tmp_path), "quiet": True}
    check = {"id": "us1.a", "source": "n1", "verdict": "passed"}
    callback._collector.result({"checks": [check]}, "n1", callback._collector.started)
    callback.v2_runner_on_ok(None)  # type: ignore[arg-type]
    callback._finish()
    written = model.load(tmp_path)
    assert (written.counts.passed, written.verdict) == (1, "error")
    assert [note.kind for note in written.notes] == ["report"]


@pytest.fixture
def hanging(site: Site) -> Iterator[tuple[Site, subprocess.Popen[str]]]:
    """Start a playbook and wait until its task hangs; see that nothing of it is left."""
    site.write("us1.yml", HANGING)
    process = site.start("us1.yml")
    marker = site.path / "hanging"
    until = time.monotonic() + 60
    while not marker.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    yield site, process
    with suppress(ProcessLookupError):
        os.kill(int(marker.read_text()), signal.SIGKILL)
    process.kill()
    process.communicate(timeout=60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_writes_its_report(
    hanging: tuple[Site, subprocess.Popen[str]], number: signal.Signals
) -> None:
    site, process = hanging
    process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    report = site.report()
    assert (report.verdict, report.stories[0].verdict, report.counts.passed) == ("interrupted", "interrupted", 1)
    assert (site.path / "runs" / "latest" / "report.html").is_file()
    assert "Traceback" not in output
    assert ("verdict  INTERRUPTED" in output) == (number is signal.SIGINT)


def test_even_a_killed_run_leaves_what_it_found(hanging: tuple[Site, subprocess.Popen[str]]) -> None:
    site, process = hanging
    process.kill()
    process.wait(timeout=60)
    (directory,) = (site.path / "runs").iterdir()
    report = model.load(directory)
    assert report.verdict == "interrupted"
    assert [story.id for story in report.stories] == ["us1"]
