# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A mesh to break and to repair, and what the doctor says of it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model

from .lab_driver import LabDriver, Machine, Play, standing, wait_for

ONE, TWO, THREE, SERVER, RELAY = "client-node-1", "client-node-2", "client-node-3", "headscale-server", "relay"
CONFIG = "/etc/headscale/config.yaml"
# What lets everybody reach everybody, and is a policy.
OPEN = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'


@dataclass
class Finding:
    """A bad check of the doctor."""

    id: str
    source: str
    target: str | None
    hint: str
    because: str = ""


class BrokenMesh:
    """A mesh to break and to repair."""

    def __init__(self, lab: LabDriver) -> None:
        """Use a mesh that is up."""
        self.lab = lab
        self.last: Play | None = None
        self.headline, self.report = "", dict[str, Any]()

    def examine(self, *arguments: str) -> list[Finding]:
        """Run the doctor and return what it found to be wrong."""
        run_dir = self.lab.machine.home / f"{self.lab.name}-doctor"
        self.last = self.lab.play(
            "doctor.yml", *arguments, MESHCTL_RUN_DIR=str(run_dir),
            ANSIBLE_CALLBACKS_ENABLED="meshctl.headscale.report,record_results",
        )  # fmt: skip
        report = model.load(run_dir).as_dict()
        assert report["checks"], self.last.output[-2000:]
        bad = [check for check in report["checks"] if check["verdict"] in ("failed", "error")]
        assert all(check["hint"] for check in bad), "every finding has its cause and remedy"
        self.report, self.headline = report, report.get("headline", "")
        return [
            Finding(check["id"], check["source"], check["target"], check["hint"],
                    check["evidence"].get("because", {}).get("id", ""))
            for check in bad
        ]  # fmt: skip

    def follow(self, finding: Finding) -> None:
        """Run the command of a hint, verbatim, where the hint says: on the server, or on the client that it is about."""
        command = re.findall(r"`([^`]+)`", finding.hint)[0]
        client = finding.source if finding.source != SERVER else finding.target
        self.sh(SERVER if command.startswith("headscale") else str(client), command)

    def sh(self, machine: str, script: str) -> str:
        """Run a script in a machine."""
        return self.lab.shell(machine, script)

    def headscale(self, words: str) -> Any:
        """Return what the server's own command prints."""
        return json.loads(self.sh(SERVER, f"headscale {words} -o json") or "null")

    def node(self, name: str) -> dict[str, Any]:
        """Return the server's record of a node."""
        return next(node for node in self.headscale("nodes list") if node["name"] == name)

    def address(self, name: str) -> str:
        """Return a node's IPv4 address in the mesh. Nodes register at the same time, in any order."""
        return next(address for address in self.node(name)["ip_addresses"] if "." in address)

    def status(self, machine: str) -> dict[str, Any]:
        """Return what a client says of itself and its peers."""
        found: dict[str, Any] = json.loads(self.sh(machine, "tailscale status --json"))
        return found

    def peer(self, machine: str, other: str) -> dict[str, Any]:
        """Return what a client says of a peer."""
        peers = self.status(machine).get("Peer") or {}
        return next((peer for peer in peers.values() if peer["HostName"] == other), {})

    def restart(self, *, healthy: bool = True) -> None:
        """Start the server anew, as after a change of its configuration."""
        self.sh(SERVER, "s6-svc -r /etc/service/headscale")
        if healthy:
            wait_for(self._serving, "headscale serves again")

    def _serving(self) -> bool:
        return '"pass"' in self.sh(SERVER, "curl -sk --max-time 2 https://127.0.0.1/health || true")

    def online(self) -> bool:
        """Whether the server and every client have all of them online."""
        nodes = self.headscale("nodes list") or []
        mine = [self.status(machine) for machine in (ONE, TWO, THREE)]
        return sum(bool(node.get("online")) for node in nodes) >= 3 and all(
            status["Self"]["Online"] and sum(peer["Online"] for peer in (status.get("Peer") or {}).values()) >= 2
            for status in mine
        )

    @contextlib.contextmanager
    def config(self, script: str, *, healthy: bool = True, restart: bool = True) -> Iterator[None]:
        """Change the server's configuration for a while."""
        self.sh(SERVER, f"cp {CONFIG} /run/config.good; {script}")
        try:
            if restart:
                self.restart(healthy=healthy)
            yield
        finally:
            self.sh(SERVER, f"cp /run/config.good {CONFIG}")
            if restart:
                self.restart()
                wait_for(self.online, "everybody is back")

    def policy(self, policy: str) -> None:
        """Give the server another policy."""
        self.sh(SERVER, f"printf %s '{policy}' >/run/policy; headscale policy set -f /run/policy >/dev/null")

    @contextlib.contextmanager
    def firewall(self, machine: str, rules: str) -> Iterator[None]:
        """Have a table of rules in a machine for a while."""
        self.sh(machine, f"nft -f - <<'END'\ntable inet illness {{\n{rules}\n}}\nEND")
        try:
            yield
        finally:
            self.sh(machine, "nft delete table inet illness")


@pytest.fixture(scope="module")
def patient(machine: Machine) -> Iterator[BrokenMesh]:
    with standing(LabDriver(machine)) as lab:
        lab.play("up.yml").succeeded()
        found = BrokenMesh(lab)
        wait_for(found.online, "everybody is online")
        yield found


def ids(findings: list[Finding], **fields: str) -> set[str]:
    """Return the ids of findings with these fields."""
    return {f.id for f in findings if all(getattr(f, key) == value for key, value in fields.items())}


def hint(findings: list[Finding], check: str) -> str:
    """Return the hints of a finding."""
    return " | ".join(finding.hint for finding in findings if finding.id == check)


def roots(findings: list[Finding]) -> set[str]:
    """Return the ids of the findings that no other one explains."""
    return {finding.id for finding in findings if not finding.because}
