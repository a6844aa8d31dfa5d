# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ansible-runner's events mean."""

from __future__ import annotations

from typing import Any

import pytest
from meshctl_headscale._events import (
    AnsibleError,
    ChecksMade,
    Happening,
    Noted,
    PlayStarted,
    Reader,
    Said,
    Tally,
    TaskFailed,
    TaskStarted,
    happenings,
    unparsed,
)

CHECK = {"id": "us1.reachable", "story": "us1", "source": "a", "target": "b", "verdict": "passed"}


def result(kind: str, res: Any, **data: Any) -> dict[str, Any]:
    return {"event": kind, "event_data": {"host": "a", "task": "Look", "task_path": "x.yml:3", "res": res, **data}}


def one(event: dict[str, Any]) -> Happening:
    (found,) = happenings(event)
    return found


def failure(event: dict[str, Any]) -> TaskFailed:
    found = one(event)
    assert isinstance(found, TaskFailed)
    return found


def test_plays_and_tasks() -> None:
    play = {"event": "playbook_on_play_start", "event_data": {"play": "US1", "playbook": "us1.yml"}}
    assert one(play) == PlayStarted(name="US1", playbook="us1.yml")
    assert one({"event": "playbook_on_task_start", "event_data": {"task": "Look"}}) == TaskStarted(name="Look")


@pytest.mark.parametrize("kind", ["runner_on_ok", "runner_on_failed", "runner_item_on_ok", "runner_item_on_failed"])
def test_checks_come_from_every_kind_of_result(kind: str) -> None:
    assert next(happenings(result(kind, {"checks": [CHECK]}))) == ChecksMade(host="a", task="Look", checks=(CHECK,))


def test_checks_of_items_are_not_counted_again_with_their_loop() -> None:
    looped = {"results": [{"checks": [CHECK]}], "msg": "All items completed"}
    assert list(happenings(result("runner_on_ok", looped))) == []
    assert list(happenings(result("runner_on_failed", looped))) == []


def test_a_bad_check_speaks_for_its_task() -> None:
    bad = {**CHECK, "verdict": "failed"}
    assert isinstance(one(result("runner_on_failed", {"checks": [bad], "msg": "us1.reachable"})), ChecksMade)


def test_a_task_that_fails_with_good_checks_fails_for_another_reason() -> None:
    found = list(happenings(result("runner_on_failed", {"checks": [CHECK], "msg": "disk full"})))
    assert [type(happening) for happening in found] == [ChecksMade, TaskFailed]


def test_failures_are_sentences() -> None:
    assert failure(result("runner_on_failed", {"msg": "disk full"})).sentence == "Look failed on a: disk full"
    own = failure(result("runner_on_failed", {"msg": "subnets overlap.", "meshctl_error": "bad_input"}))
    assert (own.sentence, own.error) == ("subnets overlap.", "bad_input")
    gone = failure(result("runner_on_unreachable", {"msg": "Task failed: no route\nto host"}))
    assert gone.sentence == "a cannot be reached: no route to host"
    command = failure(result("runner_on_failed", {"msg": "non-zero return code", "stderr": "x\nno such user"}))
    assert command.message == "non-zero return code: no such user"


def test_ignored_failures_are_none() -> None:
    assert list(happenings(result("runner_on_failed", {"msg": "x"}, ignore_errors=True))) == []


@pytest.mark.parametrize("res", [None, "text", [], {"checks": None}, {"checks": "x"}, {"checks": [1, {"id": "x"}]}])
def test_results_of_another_shape_are_no_checks(res: Any) -> None:
    assert list(happenings(result("runner_on_ok", res))) == []


@pytest.mark.parametrize(
    "event", [{}, {"event": None}, {"event": "runner_on_ok"}, {"event": "stats", "event_data": None}]
)
def test_odd_events_mean_nothing(event: dict[str, Any]) -> None:
    assert list(happenings(event)) == []


def test_what_ansible_says_outside_of_tasks() -> None:
    wrapped = "\x1b[0;31m[ERROR]: Specified inventory, host pattern and/or\r\n--limit leaves us with no hosts\x1b[0m"
    said = one({"event": "verbose", "stdout": wrapped})
    assert said == AnsibleError(message="Specified inventory, host pattern and/or --limit leaves us with no hosts")
    assert one({"event": "verbose", "stdout": "building headscale: 120 s"}) == Noted(
        message="building headscale: 120 s"
    )
    assert one({"event": "verbose", "stdout": "[WARNING]: x"}) == Noted(message="[WARNING]: x", warning=True)


def test_tally_counts_by_story_and_keeps_what_is_bad() -> None:
    tally = Tally()
    bad = {**CHECK, "story": "us2", "verdict": "error"}
    tally.add(ChecksMade(host="a", task="Look", checks=(CHECK, CHECK, bad)))
    assert tally.checks["us1"]["passed"] == 2
    assert tally.total["error"] == 1
    assert tally.bad == [bad]


def test_reasons_put_our_own_sentences_first_and_say_once_what_is_alike() -> None:
    tally = Tally()
    for host in "abcdefg":
        tally.add(TaskFailed(host=host, task="Look", path="", message="no answer", unreachable=True))
    tally.add(TaskFailed(host="a", task="Lab", path="", message="nft is missing.", error="could_not_run"))
    assert tally.reasons() == ["nft is missing.", "a, b, c, d, e and 2 more cannot be reached: no answer"]


def test_reasons_say_once_what_a_rescue_says_again() -> None:
    tally = Tally()
    tally.add(TaskFailed(host="a", task="Run it", path="", message="it is not ready", error="could_not_run"))
    tally.add(TaskFailed(host="b", task="Say", path="", message="Run it: it is not ready; the logs are in /x"))
    tally.add(TaskFailed(host="c", task="Say", path="", message="Run it: it is not ready; the logs are in /x"))
    assert tally.reasons() == ["it is not ready; the logs are in /x"]


def test_reasons_take_what_no_log_hides_from_the_rescue() -> None:
    tally = Tally()
    tally.add(TaskFailed(host="a", task="Mint", path="", message="the output has been hidden due to no_log"))
    tally.add(TaskFailed(host="a", task="Say", path="", message="Mint: expiration is 'soon'"))
    assert tally.reasons() == ["Mint failed on a: expiration is 'soon'"]


def test_a_verdict_is_a_reason_only_where_there_is_no_other() -> None:
    verdict = failure(
        result("runner_on_failed", {"msg": "a: us1 failed: b (lost)", "bad_checks": {"us1": ["b (lost)"]}})
    )
    tally = Tally()
    tally.add(verdict)
    assert tally.reasons() == ["Look failed on a: a: us1 failed: b (lost)"]
    tally = Tally()
    tally.add(TaskFailed(host="b", task="Look", path="", message="wrong", error="bad_input"))
    tally.add(verdict)
    assert tally.reasons() == ["wrong"]


def test_what_is_odd_about_an_inventory_is_said() -> None:
    assert one(result("runner_on_ok", {"meshctl_notes": ["did you mean x?"]})) == Said(message="Note: did you mean x?")


# --- what Ansible says in several lines

DUPLICATE = """\x1b[1;35m[WARNING]: Found duplicate mapping key 'client-node-1'.\x1b[0m
\x1b[1;35mOrigin: /x/lab.yml:44:9\x1b[0m
\x1b[1;35m\x1b[0m
\x1b[1;35m44         client-node-1: {mesh_subnet: a}\x1b[0m
\x1b[1;35mUsing last defined value only.\x1b[0m
building headscale: 120 s"""


@pytest.mark.parametrize("colours", [True, False])
def test_the_lines_of_a_warning_belong_to_it(colours: bool) -> None:
    lines = DUPLICATE.splitlines()
    reader = Reader()
    if not colours:
        lines = [line.replace("\x1b[1;35m", "").replace("\x1b[0m", "") for line in lines[:-1]]
    found = [happening for line in lines for happening in reader.read({"event": "verbose", "stdout": line})]
    warnings = [happening.warning for happening in found if isinstance(happening, Noted)]
    assert warnings == [True, True, True, True, False][: len(found)]
    list(reader.read({"event": "playbook_on_task_start", "event_data": {"task": "Look"}}))
    assert list(reader.read({"event": "verbose", "stdout": "building"})) == [Noted(message="building")]


def attempt(plugin: str, *causes: str) -> str:
    said = f"[WARNING]: Failed to parse inventory with '{plugin}' plugin: {': '.join(causes)}\n\n"
    said += f"Failed to parse inventory with '{plugin}' plugin.\n"
    return said + "".join(f"\n<<< caused by >>>\n\n{cause}\n" for cause in causes)


NO_PLUGIN = attempt(
    "auto", "no root 'plugin' key found, 'x' is not a valid YAML inventory plugin config file\nOrigin: x"
)
NO_INI = attempt("ini", "Failed to parse inventory: Invalid host pattern 'all:' supplied.\nOrigin: /x")
NO_YAML = attempt("yaml", "YAML parsing failed: found no ']'.\nOrigin: /x/lab.yml:12:5\n\n11 a\n12 b")
UNASKED = "https://a refuses the connection: check that it runs.\nOrigin: x"
SCRIPT = "It ended with exit code 1.\nOrigin: x\n\nStandard error from inventory script:\noops\nagain"


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        (NO_PLUGIN + NO_YAML + NO_INI, "YAML parsing failed: found no ']' (line 12)"),
        (attempt("auto", UNASKED, "<urlopen error [Errno 111]>") + NO_INI, UNASKED.partition(".\n")[0]),
        (attempt("script", SCRIPT) + NO_INI, "It ended with exit code 1: oops again"),
        (attempt("ini", "Failed to parse inventory.\nOrigin: x", "No vault secrets.\nOrigin: y"), "No vault secrets"),
        ("[ERROR]: Completely failed to parse inventory source /x", ""),
    ],
)
def test_why_an_inventory_could_not_be_read(output: str, cause: str) -> None:
    assert unparsed(output + "[ERROR]: Completely failed to parse inventory source /x\n") == cause
    coloured = "".join(f"\x1b[1;35m{line}\x1b[0m\r\n" for line in output.splitlines())
    assert unparsed(coloured) == cause


def test_what_looks_like_ini_has_the_cause_of_ini() -> None:
    assert unparsed(NO_YAML + NO_INI, like_ini=True) == "Invalid host pattern 'all:' supplied"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ERROR: Config 'DEFAULT_FORKS' from 'env: ANSIBLE_FORKS' has an invalid value.", None),
        ("[ERROR]: nosuch\r\nOrigin: /x/a.yml:3:7\r\n\r\n1 ---\r\n2 - a", "nosuch (/x/a.yml:3)."),
        ("[ERROR]: Unexpected: it is None\nTraceback (most recent call last):\n  File x", "Unexpected: it is None"),
        ("ERROR! the role 'x' was\nnot found.\n\nThe error appears to be in", "the role 'x' was not found."),
    ],
)
def test_an_error_of_ansible_is_its_first_sentence_and_the_place(text: str, said: str | None) -> None:
    assert one({"event": "verbose", "stdout": text}) == AnsibleError(message=said or text.removeprefix("ERROR: "))


def test_a_value_in_the_environment_that_ansible_refuses_is_bad_input_and_has_no_traceback() -> None:
    reader, tally = Reader(), Tally()
    lines = [
        "ERROR: Config 'X' has an invalid value: 'many'",
        "Traceback (most recent call last):",
        '  File "x.py"',
        "",
        "y",
    ]
    found = [happening for line in lines for happening in reader.read({"event": "verbose", "stdout": line})]
    for happening in found:
        tally.add(happening)
    assert tally.bad_input
    assert all(happening.warning for happening in found if isinstance(happening, Noted))
