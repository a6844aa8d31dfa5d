# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalogue of faults: what it promises as a whole, and what it refuses."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults import catalogue
from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults.catalogue import Fault, Step

FAULTS = catalogue.load()
PLUGINS = Path(catalogue.__file__).parents[2]
LIBRARY = Path(catalogue.__file__).with_name("lib.sh")
# Not in a story: its faults are in tests/integration/test_faults.py.
OUTSIDE_STORIES = {"assert_query"}


def scripts() -> list[tuple[str, str]]:
    return [
        (fault.id, script)
        for fault in FAULTS.values()
        for step in (*fault.inject, *fault.undo)
        if (script := step.run or step.until)
    ]


def test_there_are_at_least_forty_real_faults_in_every_family() -> None:
    red = [fault for fault in FAULTS.values() if fault.verdict != "green"]
    assert len(red) >= 40
    families = {"connectivity", "cross-network", "service", "dns", "policy", "routes", "tool", "harmless"}
    assert set(catalogue.families()) == {fault.family for fault in FAULTS.values()} == families


def test_every_assertion_has_two_faults_that_turn_it_red() -> None:
    public = {path.stem for path in (PLUGINS / "action").glob("assert_*.py")}
    turned = Counter(name for fault in FAULTS.values() for name in fault.assertions)
    assert {name: turned[name] for name in public - OUTSIDE_STORIES if turned[name] < 2} == {}


def test_what_is_injected_can_be_undone() -> None:
    for fault in FAULTS.values():
        lasting = [step for step in fault.inject if "again " not in step.run and "s6-svc -r" not in step.run]
        assert fault.undo or not lasting, fault.id


@pytest.mark.parametrize(("fault", "script"), scripts())
def test_every_script_is_shell(fault: str, script: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-n"], input=LIBRARY.read_text() + script, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, f"{fault}: {done.stderr}"


@pytest.mark.parametrize("name", ["unhandle", "rerule"])
def test_routers_forget_the_flows_of_rules_that_are_taken_back(name: str) -> None:
    # A flow that a fault let through would go on past the router's own rules, and keep its addresses, until it pauses.
    body = re.search(rf"^{name}\(\) {{\n(.*?)^}}", LIBRARY.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert body
    assert body[1].splitlines()[-1].strip() == "reflow"


def test_what_changes_the_rules_of_a_router_takes_them_back() -> None:
    changed = re.compile(r"nft (insert|add|flush|delete) (rule|chain) inet router")
    for fault in FAULTS.values():
        for machine in {step.at for step in fault.inject if changed.search(step.run)}:
            undone = " ".join(step.run for step in fault.undo if step.at == machine)
            assert re.search(r"\b(unhandle router|rerule)\b", undone), f"{fault.id} at {machine}"


def test_steps_survive_the_record() -> None:
    for fault in FAULTS.values():
        for step in (*fault.inject, *fault.undo):
            assert Step(**step.as_dict()) == step


GOOD: dict[str, Any] = {
    "id": "one", "title": "One", "story": "us1", "verdict": "red", "red": ["reachable: {a} -> {b}"], "cause": "x",
    "inject": [{"at": "a", "run": "true"}], "undo": [{"at": "a", "run": "true"}],
}  # fmt: skip


def read(tmp_path: Path, *faults: dict[str, Any], **document: Any) -> dict[str, Fault]:
    whole = {"family": "some", "title": "Some", "faults": list(faults), **document}
    (tmp_path / "some.yml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    return catalogue.load(tmp_path)


def test_a_sound_fault_is_read(tmp_path: Path) -> None:
    fault = read(tmp_path, GOOD)["one"]
    assert fault.family == "some"
    assert fault.assertions == {"assert_reachable"}
    assert fault.inject == (Step(at="a", run="true"),)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"verdict": "purple"}, "purple"),
        ({"colour": "red"}, "colour"),
        ({"red": []}, "one: red"),
        ({"red": ["what ever"]}, "one: red.0"),
        ({"cause": "("}, "not a regular expression"),
        ({"inject": [{"at": "nowhere", "run": "true"}]}, "nowhere"),
        ({"inject": [{"run": "true"}]}, "one: inject.0"),
        ({"inject": [{"at": "a", "run": "true", "until": "true"}]}, "one: inject.0"),
        ({"declare_nat": {"b": "soft"}}, "soft"),
        ({"may": []}, "one: may is now called tolerated; rename the key"),
        ({"promise": {}}, "one: promise is now called declare_nat; rename the key"),
    ],
)
def test_what_is_wrong_with_a_fault_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=r"some\.yml: ") as caught:
        read(tmp_path, {**GOOD, **change})
    assert said in str(caught.value)


@pytest.mark.parametrize("key", ["red", "cause", "title", "story", "verdict", "undo"])
def test_what_is_missing_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(BadInput, match=key):
        read(tmp_path, {name: value for name, value in GOOD.items() if name != key})


def test_a_fault_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="two faults have the id one"):
        read(tmp_path, GOOD, GOOD)


@pytest.mark.parametrize("text", ["{", "- 1", "42", "family: x", "\x00"])
def test_what_is_no_catalogue_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "some.yml").write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=r"some\.yml"):
        catalogue.load(tmp_path)


def test_an_empty_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no fault"):
        catalogue.load(tmp_path)


def test_filters_are_combined() -> None:
    dns = {fault.id for fault in catalogue.choose(families=["dns"])}
    assert dns and all(FAULTS[name].family == "dns" for name in dns)
    assert catalogue.choose(["loss-30"], ["connectivity"], ["us1"]) == [FAULTS["loss-30"]]
    assert catalogue.choose(["loss-30"], ["dns"]) == []
    assert catalogue.choose() == list(FAULTS.values())


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ((["loss-31"],), "Did you mean loss-30"),
        (([], ["weather"]), "no family 'weather'; the families are connectivity"),
        (([], [], ["us9"]), "no story with faults 'us9'; the stories are"),
    ],
)
def test_an_unknown_filter_is_named(filters: tuple[list[str], ...], said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        catalogue.choose(*filters)


def test_the_description_says_what_is_in_the_lab() -> None:
    (described,) = catalogue.described(catalogue.choose(["loss-30"]), {"loss-30": "now"})
    assert (described["active"], described["since"], described["story"]) == (True, "now", "us1")
