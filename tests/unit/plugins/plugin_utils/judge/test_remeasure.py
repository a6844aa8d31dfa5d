# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measuring the paths that were found, with scripted answers and a clock that moves with each probe."""

from __future__ import annotations

from typing import Any

import healthy_mesh as mesh
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.check import Check
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.reachable import Reachable
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.remeasure import (
    HANDSHAKE_S,
    Probe,
    Remeasurement,
    drive,
)

TWO4, TWO6 = mesh.TWO.addresses


class Measured:
    """A host whose bursts, calm pings and pings along the direct path are scripted; the last of each is repeated."""

    def __init__(self, **scripts: list[Any]) -> None:
        """Take the answers of each observation."""
        self.scripts = {"burst": [burst()], "calm": [], "icmp": [], "direct": [], **scripts}
        self.asked: list[str] = []
        self.now = 0.0
        self.checks = [
            mesh.context("reachable").check(
                True, aspect=aspect, family=family, target="two", expected=1, observed={"received": 3}
            )
            for aspect, family in (("ipv4", 4), ("ipv6", 6), ("latency", None))
        ]

    def run(self, probe: Probe) -> Any:
        """Return the next answer of the observation that the probe asks for."""
        assert probe.looks >= 1
        self.now += 1
        name = probe.request["id"]
        self.asked.append(name)
        script = self.scripts[name]
        return mesh.answer(**{name: mesh.seen(script.pop(0) if len(script) > 1 else script[0])})

    def found(self) -> list[Check]:
        """Return all checks after the measurement."""
        steps = Remeasurement(context=mesh.context("reachable"), reply_timeout_s=1.0, clock=lambda: self.now)
        return drive(steps.checks(Reachable(peers=(mesh.TWO,)), self.checks), self.run)

    def verdicts(self) -> dict[str, str]:
        """Return the verdict of each aspect."""
        return {check.aspect: check.verdict for check in self.found()}


def echoes(received: int = 20, rtt_ms: float = 1.0) -> dict[str, Any]:
    return {
        known: {"sent": 20, "received": received, "rtt_ms": [rtt_ms] * received, "errors": []} for known in (TWO4, TWO6)
    }


def burst(received: int = 20, rtt_ms: float = 1.0, relayed: float = 0) -> dict[str, Any]:
    def metrics(packets: float) -> dict[str, Any]:
        rows = [{"labels": {"path": "direct_ipv4"}, "value": 1.0}, {"labels": {"path": "derp"}, "value": packets}]
        return mesh.seen({"tailscaled_outbound_packets_total": rows})

    return {
        "metrics_before": metrics(7.0),
        "steady": mesh.seen(echoes(received, rtt_ms)),
        "metrics_after": metrics(7.0 + relayed),
        "large": mesh.seen(echoes(20)),
    }


def path_pings(expected_paths: str) -> dict[str, Any]:
    answers = [{"err": "", "endpoint": "203.0.113.3:1" if way == "d" else ""} for way in expected_paths]
    return {TWO4: {"answers": answers, "lost": 0}}


def test_a_sound_path_is_measured_once() -> None:
    measured = Measured()
    assert set(measured.verdicts().values()) == {"passed"}
    assert measured.asked == ["burst"]


@pytest.mark.parametrize(("rtt_ms", "verdict"), [(120.0, "failed"), (1.0, "passed")])
def test_a_lucky_latency_is_confirmed(rtt_ms: float, verdict: str) -> None:
    measured = Measured(burst=[burst(rtt_ms=120.0)], calm=[echoes(rtt_ms=rtt_ms)])
    measured.checks[-1].duration_ms = 7.0
    latency = next(check for check in measured.found() if check.aspect == "latency")
    assert (latency.verdict, latency.duration_ms) == (verdict, 7.0)
    assert measured.asked == ["burst", "calm"]
    assert bool(latency.hint) is (verdict == "failed")
    assert measured.checks[-1].verdict == "passed"


def test_a_peer_that_never_answered_is_not_measured() -> None:
    measured = Measured()
    measured.checks = [
        mesh.context("reachable").check(False, aspect="ipv4", family=4, target="two", expected=1, observed=None)
    ]
    assert measured.verdicts() == {"ipv4": "failed", "loss": "skipped"}
    assert measured.asked == []


def first_pings(measured: Measured, *, sharing: int = 1, step: int = 1) -> dict[str, Any]:
    """Return the first request for a burst of pings, or for large ones."""
    requests = []
    steps = Remeasurement(context=mesh.context("reachable"), reply_timeout_s=1.0, clock=lambda: 0.0, sharing=sharing)

    def run(probe: Probe) -> Any:
        requests.append(probe.request)
        return measured.run(probe)

    drive(steps.checks(Reachable(peers=(mesh.TWO,)), measured.checks), run)
    pings: dict[str, Any] = requests[0]["steps"][step]
    return pings


def test_large_packets_are_counted_only_where_there_are_enough_to_tell_how_many_are_lost() -> None:
    many, few = (first_pings(Measured(), sharing=sharing, step=3) for sharing in (1, 1_000))
    assert (many["count"], many.get("until_answered")) == (10, None)
    assert (few["count"], few["until_answered"]) == (1, True)
    assert few["try_timeout_s"] > many["try_timeout_s"]


def test_only_addresses_that_answered_are_measured() -> None:
    measured = Measured()
    measured.checks = measured.checks[:1]
    assert first_pings(measured)["targets"] == [TWO4]


@pytest.mark.parametrize(("sharing", "count"), [(1, 20), (4, 20), (1_000, 12), (10_000, 5)])
def test_the_more_nodes_share_cores_the_fewer_packets_each_sends(sharing: int, count: int) -> None:
    assert first_pings(Measured(), sharing=sharing)["count"] == count


@pytest.mark.parametrize(
    ("direct", "verdict"),
    [
        (["drdrdrdr"], "failed"),
        (["drdrdrdr", "dddddddd"], "passed"),
        (["rrrrrrrr"], "passed"),
        (["rrdddddd"], "passed"),
    ],
)
def test_loss_that_a_relay_hides_is_found(direct: list[str], verdict: str) -> None:
    measured = Measured(burst=[burst(relayed=20)], direct=[path_pings(expected_paths) for expected_paths in direct])
    assert measured.verdicts()["loss"] == verdict
    measured = Measured(
        burst=[burst(received=10), burst(relayed=20)], direct=[path_pings(expected_paths) for expected_paths in direct]
    )
    assert measured.verdicts()["loss"] == verdict


def test_a_few_packets_by_a_relay_are_no_doubt() -> None:
    measured = Measured(burst=[burst(relayed=4)])
    assert measured.verdicts()["loss"] == "passed"
    assert measured.asked == ["burst"]


def test_steady_loss_is_lost_twice() -> None:
    measured = Measured(burst=[burst(received=10)])
    assert measured.verdicts()["loss"] == "failed"
    assert measured.asked == ["burst", "burst"]


def test_a_family_that_loses_packets_alone_is_measured_twice() -> None:
    def six(received: int) -> dict[str, Any]:
        found = burst()
        found["steady"]["data"][TWO6].update(received=received, rtt_ms=[1.0] * received)
        return found

    assert Measured(burst=[six(15)]).verdicts()["loss"] == "failed"
    once = Measured(burst=[six(15), six(20)], direct=[path_pings("dddd")])
    assert (once.verdicts()["loss"], once.asked) == ("passed", ["burst", "burst", "direct"])
    # The other family answers, so that no handshake was missed.
    silent = Measured(burst=[six(0), six(0), six(20)])
    assert (silent.verdicts()["loss"], silent.asked) == ("failed", ["burst", "burst"])


def test_a_handshake_that_was_missed_is_no_loss() -> None:
    measured = Measured(
        burst=[burst(received=0), burst(received=0), burst()], icmp=[echoes(0), echoes()], direct=[path_pings("dddd")]
    )
    assert measured.verdicts()["loss"] == "passed"
    assert measured.asked == ["burst", "burst", "icmp", "icmp", "burst", "direct"]


def test_a_peer_that_stays_silent_has_lost_everything() -> None:
    measured = Measured(burst=[burst(received=0)], icmp=[echoes(0)])
    assert measured.verdicts()["loss"] == "failed"
    waited = measured.asked.count("icmp")
    assert waited == HANDSHAKE_S
