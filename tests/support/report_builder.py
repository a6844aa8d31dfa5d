# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds reports as a real run of the four stories leaves them, of any size, the same each time."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import collect, model

START = datetime(2026, 11, 22, 21, 30, tzinfo=UTC)
TITLES = {
    "us1": "Nodes join the mesh and reach each other",
    "us2": "Paths across networks are direct and encrypted",
    "us3": "A service answers on the mesh only",
    "us4": "Names resolve everywhere",
}


class Builder:
    """Plays the tasks of a run into a collector, with its own clock."""

    def __init__(self, *, nodes: int = 3, relayed: tuple[str, ...] = ()) -> None:
        """Set the scene: a control server, a relay, and `nodes` clients in two or more subnets."""
        self.now = START
        self.relayed = relayed
        self.collector = collect.Collector(started=START, command="meshctl run all")
        self.collector.playbooks = ["playbooks/all.yml"]
        self.collector.versions = {
            "meshctl": "0.1.0",
            "ansible-core": "2.19.14",
            "python": "3.11.7",
            "headscale": "0.29.3",
            "tailscale": "1.102.5",
            "derper": "1.102.5",
            "kernel": "6.1.0-38-amd64",
        }
        self.collector.inventory = {"source": ["inventory/lab.yml"], "backend": "lab", "lab_name": "seed"}
        self.nodes = [f"client-node-{number}" for number in range(1, nodes + 1)]
        self.subnets = max(2, nodes // 12)
        self._scene()

    def tick(self, seconds: float) -> datetime:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        return self.now

    def address(self, name: str) -> str:
        """Return the mesh address of a node."""
        return f"100.64.0.{self.nodes.index(name) + 1}"

    def subnet(self, index: int) -> int:
        """Return the subnet of the node with this index."""
        return 0 if index == 0 else 1 + (index - 1) % (self.subnets - 1) if self.subnets > 2 else 1

    def check(self, name: str, source: str, target: str | None = None, **fields: object) -> dict[str, Any]:
        """Return a check as an assertion returns it."""
        story, _dot, rest = name.partition(".")
        assertion, _dot, aspect = rest.partition(".")
        base = {
            "id": name,
            "story": story,
            "assertion": assertion,
            "aspect": aspect,
            "family": aspect if aspect in ("ipv4", "ipv6") else None,
            "source": source,
            "target": target,
            "verdict": "passed",
            "evidence": {},
            "hint": "",
            "reproduce": f"meshctl run {story} --no-deploy",
            "duration_ms": 12.5,
            "expected": None,
            "observed": None,
        }
        return {**base, **fields}

    def task(self, checks: list[dict[str, Any]], *, host: str = "client-node-1", seconds: float = 0.4) -> None:
        """Let a task return `checks`."""
        self.collector.result({"checks": checks}, host, self.tick(seconds))

    def pairs(self) -> list[tuple[str, str]]:
        """Return all directed pairs."""
        return [(a, b) for a in self.nodes for b in self.nodes if a != b]

    def latency(self, a: str, b: str, family: str) -> float:
        """Return a latency that looks like one, and is the same each time."""
        i, j = self.nodes.index(a), self.nodes.index(b)
        far = 0.6 if self.subnet(i) == self.subnet(j) else 1.8
        slow = 24.0 if {a, b} & set(self.relayed) else 0.0
        return round(far + slow + abs(math.sin(i * 7 + j * 3)) * 1.4 + (0.1 if family == "ipv6" else 0), 2)

    def us1(self, down: str | None = None) -> None:
        """Tell US1; with `down`, that node is not there."""
        self.collector.enter("us1", TITLES["us1"], self.tick(0.2))
        self.task([self._registered(node, down) for node in self.nodes], host="headscale-server")
        self.task(
            [
                self.check("us1.connected", a, b, expected={"online": True}, observed={"online": b != down})
                if down not in (a, b)
                else self.check(
                    "us1.connected",
                    a,
                    b,
                    verdict="failed",
                    expected={"online": True},
                    observed={"online": False},
                    hint=f"{down} is offline: its tailscaled does not answer.",
                )
                for a, b in self.pairs()
            ]
        )
        for family in ("ipv4", "ipv6"):
            self.task([self._reachable(a, b, family, down) for a, b in self.pairs()], seconds=1.2)
        self.task([self._latency(a, b, down) for a, b in self.pairs()])
        for way, seconds in (("down", 3.4), ("link", 6.2), ("restart", 2.8)):
            self.task([self._rejoin(way, seconds, down)], seconds=seconds)
        self.collector.leave(self.tick(0.1))

    def us2(self) -> None:
        """Tell US2."""
        self.collector.enter("us2", TITLES["us2"], self.tick(0.2))
        self.task([self._path(a, b) for a, b in self.pairs()], seconds=1.5)
        self.task(
            [
                self.check(
                    "us2.encrypted", a, b, expected={"marker_in_clear": False}, observed={"marker_in_clear": False}
                )
                for a, b in self.pairs()[:6]
            ],
            seconds=1.1,
        )
        self.task(
            [
                self.check(
                    "us2.isolated",
                    "client-node-1",
                    b,
                    expected="unreachable",
                    observed={"icmp": "network unreachable", "tcp": "network unreachable"},
                )
                for b in self.nodes[1:3]
            ]
        )
        self.collector.leave(self.tick(0.1))

    def us3(self) -> None:
        """Tell US3."""
        self.collector.enter("us3", TITLES["us3"], self.tick(0.2))
        self.task(
            [self.check("us3.listening", "client-node-1", expected=["100.64.0.1:80"], observed=["100.64.0.1:80"])]
        )
        self.task(
            [
                self.check(
                    "us3.http", a, "client-node-1", expected={"status": 200}, observed={"status": 200, "ms": 3.1}
                )
                for a in self.nodes[1:4]
            ]
        )
        self.collector.leave(self.tick(0.1))

    def us4(self, wrong: tuple[str, str] | None = None) -> None:
        """Tell US4; the pair that is `wrong` gets a stale address."""
        self.collector.enter("us4", TITLES["us4"], self.tick(0.2))
        self.task([self._resolves(a, b, wrong) for a, b in self.pairs()], seconds=0.9)
        self.task(
            [
                self.check(
                    "us4.propagates.new_node",
                    "client-node-1",
                    "client-node-4",
                    verdict="skipped",
                    hint="The inventory does not allow disturbing checks (mesh_allow_disruptive).",
                )
            ]
        )
        self.collector.leave(self.tick(0.1))

    def report(self, *, interrupted: bool = False) -> model.Report:
        """End the run."""
        return self.collector.report(
            "20261122T213000Z-all", self.tick(0.3), interrupted=interrupted, finished=not interrupted
        )

    def _scene(self) -> None:
        """Tell the collector what the lab and the server know."""
        topology = {
            "headscale-server": {
                "subnet": "subnet-a",
                "address": "192.168.1.5",
                "router": "router-a",
                "nat": "easy",
                "public_address": "203.0.113.11",
            },
            "relay": {
                "subnet": "wan",
                "address": "203.0.113.2",
                "router": "",
                "nat": "none",
                "public_address": "203.0.113.2",
            },
        }
        nodes, groups = {}, {"headscale-server": "headscale", "relay": "relay"}
        for index, name in enumerate(self.nodes):
            number = self.subnet(index)
            letter = "abcdefgh"[number]
            nat = "hard" if name in self.relayed else "easy"
            topology[name] = {
                "subnet": f"subnet-{letter}",
                "address": f"192.168.1.{10 + index}" if number == 0 else f"10.0.{number - 1}.{9 + index}",
                "router": f"router-{letter}",
                "nat": nat,
                "public_address": f"203.0.113.{11 + number}",
            }
            groups[name] = "clients"
            nodes[name] = {
                "id": str(index + 1),
                "given_name": name,
                "addresses": [self.address(name), f"fd7a:115c:a1e0::{index + 1:x}"],
            }
        topology["client-node-spare"] = {
            "subnet": "subnet-b",
            "address": "10.0.0.200",
            "router": "router-b",
            "nat": "easy",
            "public_address": "203.0.113.12",
        }
        groups["client-node-spare"] = "spare"
        self.collector.groups(groups)
        self.collector.plan(list(TITLES))
        self.collector.result({"mesh_topology": topology}, "headscale-server", self.now)
        self.collector.result({"ansible_facts": {"mesh_nodes": nodes}}, "headscale-server", self.now)

    def _registered(self, node: str, down: str | None) -> dict[str, Any]:
        """Return whether a node is on the server."""
        online = node != down
        return self.check(
            "us1.registered",
            node,
            verdict="passed" if online else "failed",
            expected={"online": True, "user": "default"},
            observed={"online": online, "user": "default"},
            evidence={} if online else {"last_seen": "2026-11-22T21:12:40Z", "node_id": "2"},
            hint="" if online else f"The server has not heard of {node} for 18 min.",
            reproduce="meshctl exec headscale-server -- headscale nodes list",
        )

    def _reachable(self, a: str, b: str, family: str, down: str | None) -> dict[str, Any]:
        """Return whether a reaches b."""
        base = {
            "expected": {"address": self.address(b), "replies": "all"},
            "duration_ms": 410.0,
            "reproduce": f"meshctl exec {a} -- ping -c 3 {self.address(b)}",
        }
        if down == a:
            return self.check(
                f"us1.reachable.{family}",
                a,
                b,
                **base,
                verdict="error",
                hint=f"{a}: tailscaled's socket does not answer, so nothing could be sent from there.",
            )
        if down == b:
            return self.check(
                f"us1.reachable.{family}",
                a,
                b,
                **base,
                verdict="failed",
                observed={"sent": 3, "received": 0, "rtt_ms": []},
                evidence={"peer": {"online": False, "relay": "lab", "cur_addr": ""}, "last_handshake": "18 min ago"},
                hint=f"{b} is offline on the server as well: its tailscaled is down. Start it there.",
            )
        median = self.latency(a, b, family)
        return self.check(
            f"us1.reachable.{family}",
            a,
            b,
            **base,
            observed={"sent": 3, "received": 3, "rtt_ms": [round(median * 1.6, 2), median, median]},
        )

    def _latency(self, a: str, b: str, down: str | None) -> dict[str, Any]:
        """Return the latency from a to b, of both families together."""
        expected = {"median_ms": {"at_most": 50}}
        if down in (a, b):
            hint = "there was no reply whose latency could be measured"
            return self.check("us1.reachable.latency", a, b, verdict="skipped", expected=expected, hint=hint)
        median = self.latency(a, b, "ipv4")
        observed = {"median_ms": median, "worst_ms": round(median * 1.6, 2)}
        return self.check("us1.reachable.latency", a, b, expected=expected, observed=observed)

    def _rejoin(self, way: str, seconds: float, down: str | None) -> dict[str, Any]:
        """Return whether node 1 came back."""
        return self.check(
            f"us1.rejoins.{way}",
            "client-node-1",
            expected={"within_s": 30},
            observed={"seconds": seconds, "same_id": True},
            duration_ms=seconds * 1000,
        )

    def _path(self, a: str, b: str) -> dict[str, Any]:
        """Return the path from a to b."""
        index = self.nodes.index(b)
        endpoint = f"203.0.113.{11 + self.subnet(index)}:{41641 + index}"
        relayed = bool({a, b} & set(self.relayed))
        observed = {"path": "relay", "derp": "lab"} if relayed else {"path": "direct", "endpoint": endpoint}
        return self.check("us2.path", a, b, expected={"path": observed["path"]}, observed=observed)

    def _resolves(self, a: str, b: str, wrong: tuple[str, str] | None) -> dict[str, Any]:
        """Return what a resolves b's name to."""
        right = [self.address(b)]
        bad = (a, b) == wrong
        return self.check(
            "us4.resolves",
            a,
            b,
            verdict="failed" if bad else "passed",
            expected={"answer": right, "max_ms": 1000},
            observed={
                "answer": ["100.64.0.77"] if bad else right,
                "rcode": "NOERROR",
                "ms": round(self.latency(a, b, "ipv4") / 2, 2),
                "server": "100.100.100.100",
            },
            evidence={"hosts_file": ["100.64.0.77 client-node-3.mesh.internal"]} if bad else {},
            hint=f"/etc/hosts on {a} answers in place of MagicDNS: remove its line for {b}." if bad else "",
            reproduce=f"meshctl exec {a} -- getent ahosts {b}.mesh.internal",
        )


def passing(nodes: int = 3, relayed: tuple[str, ...] = ()) -> model.Report:
    """Return a run in which all holds."""
    build = Builder(nodes=nodes, relayed=relayed)
    build.us1()
    build.us2()
    build.us3()
    build.us4()
    return build.report()


def failing(nodes: int = 3) -> model.Report:
    """Return a run in which node 2 is down, a name is stale, and two stories were not told."""
    build = Builder(nodes=nodes)
    build.us1(down="client-node-2")
    build.us4(wrong=("client-node-1", "client-node-3"))
    task = collect.Task(name="Wait for the old key", host="client-node-3", where="us4.yml:31")
    build.collector.task_noted(task, {"msg": "Timeout when waiting for the key."}, "rescued")
    return build.report()
