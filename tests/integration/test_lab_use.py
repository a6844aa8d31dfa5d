# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two plays on one lab: the second is told of the first, and does it no harm."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable

import pytest

from .lab_driver import LabDriver, Play, end_group, wait_for

pytestmark = pytest.mark.integration


def _in_use(driver: LabDriver, play: Play, command: str) -> None:
    assert play.status == 2, play.output[-3000:]
    assert re.fullmatch(
        rf"the lab '{driver.name}' is in use by `ansible-playbook {command}` \(process \d+\), since \d\d:\d\d:\d\d: "
        r"wait for it, or use another lab \(--lab\)",
        play.messages(),
    ), play.messages()


def test_of_two_ups_at_once_one_builds_and_the_other_is_told_so(new_lab: Callable[..., LabDriver]) -> None:
    driver = new_lab()
    first, second = driver.start("up.yml"), driver.start("up.yml")
    said = [process.communicate(timeout=180)[0] for process in (first, second)]
    codes = [first.returncode, second.returncode]
    assert sorted(codes) == [0, 2], "\n".join(text[-2000:] for text in said)
    refused = said[codes.index(2)]
    assert "is in use by `ansible-playbook playbooks/up.yml`" in " ".join(refused.split())
    assert driver.play("up.yml").succeeded().changed() == [], "the first one built the whole mesh"


def test_a_story_that_runs_keeps_others_away_until_it_ends(new_lab: Callable[..., LabDriver]) -> None:
    driver = new_lab()
    story = driver.start("us1.yml")
    try:
        wait_for((driver.directory / "record.json").exists, "the lab is built", seconds=60)
        _in_use(driver, driver.play("up.yml"), r"playbooks/us1\.yml")
        assert driver.directory.exists(), "the lab that stalls stands"
        # What foresees changes nothing, and is not kept away.
        driver.play("up.yml", "--check").succeeded()
        story.send_signal(signal.SIGKILL)
        story.wait()
        # One that was killed counts for nothing.
        driver.play("up.yml").succeeded()
    finally:
        end_group(story)


def test_down_goes_on_while_a_play_runs(new_lab: Callable[..., LabDriver]) -> None:
    driver = new_lab()
    process = driver.start("us1.yml")
    try:
        wait_for((driver.directory / "record.json").exists, "the lab is built", seconds=60)
        driver.down().succeeded()
        assert not list(driver.directory.parent.glob(f"*{driver.name}*"))
    finally:
        end_group(process)
