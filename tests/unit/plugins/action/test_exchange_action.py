# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two parts of an exchange in a large mesh: small requests of all hosts at once, and transfers of some."""

from __future__ import annotations

from ansible_collections.meshctl.headscale.plugins.action.assert_exchange import only, together

_REQUEST = {
    "id": "exchange",
    "kind": "exchange",
    "bulk": 10,
    "targets": [{"host": "192.0.2.1", "bulk": True}, {"host": "192.0.2.2", "bulk": False}],
}


def test_targets_with_a_transfer_are_asked_apart() -> None:
    [few], [many] = (only([_REQUEST], bulk=bulk) for bulk in (False, True))
    assert ([one["host"] for one in few["targets"]], [one["host"] for one in many["targets"]]) == (
        ["192.0.2.2"],
        ["192.0.2.1"],
    )
    assert few["bulk"] == many["bulk"] == 10


def test_nothing_is_asked_for_no_targets() -> None:
    assert only([{**_REQUEST, "targets": _REQUEST["targets"][:1]}], bulk=False) == []


def test_both_parts_are_one_answer() -> None:
    first = {"host": {"load": 1}, "observations": {"exchange": {"data": {"192.0.2.2": {"tcp": {}}}}}}
    second = {"host": {"load": 2}, "observations": {"exchange": {"data": {"192.0.2.1": {"bulk": {}}}}}}
    found = together(first, second)
    assert found["observations"]["exchange"]["data"] == {"192.0.2.2": {"tcp": {}}, "192.0.2.1": {"bulk": {}}}


def test_a_second_part_that_fails_keeps_the_first() -> None:
    first = {"host": {}, "observations": {"exchange": {"data": {"192.0.2.2": {"tcp": {}}}}}}
    found = together(first, {"host": {}, "observations": {}, "failure": {"type": "deadline"}})
    assert found["failure"]["type"] == "deadline"
    assert found["observations"]["exchange"]["data"] == {"192.0.2.2": {"tcp": {}}}
