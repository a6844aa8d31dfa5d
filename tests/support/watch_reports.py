# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports of small runs at any time, for tests of the history and of what watches."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model

START = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def at(seconds: float) -> str:
    """Return a time of a report."""
    return model.utc_text(datetime.fromtimestamp(seconds, tz=UTC))


def check(label: str, source: str, target: str | None, moment: float, **fields: Any) -> dict[str, Any]:
    """Return a check of a report, passed unless told otherwise."""
    story, assertion, aspect = [*label.split(".", 2), "", ""][:3]
    names = {"id": label, "assertion": assertion, "aspect": aspect, "source": source, "target": target}
    return model.check({"verdict": "passed", **names, **fields}, story=story, at=at(moment))


def report(
    moment: float,
    nodes: Collection[str] = ("one", "two"),
    *,
    down: Collection[str] = (),
    latency_ms: float = 2.0,
    story: str = "us1",
) -> model.Report:
    """Return the report of a run that checks every pair and every node."""
    checks = [
        _reachable(source, target, moment, latency_ms, down) for source in nodes for target in nodes if source != target
    ]
    checks += [_registered(node, moment, online=node not in down) for node in nodes]
    checks = [{**made, "story": story} for made in checks]
    counts = model.Counts.of(checks)
    verdict = "failed" if counts.failed else "passed"
    started, finished = at(moment - 10), at(moment)
    told = model.Story(
        id=story,
        title=story.upper(),
        verdict=verdict,
        started=started,
        finished=finished,
        duration_s=10.0,
        counts=counts,
    )
    return model.Report(
        run_id=f"{datetime.fromtimestamp(moment, tz=UTC):%Y%m%dT%H%M%SZ}-{story}",
        started=started,
        finished=finished,
        duration_s=10.0,
        verdict="failed" if counts.failed else "passed",
        inventory={"source": ["hosts.yml"], "backend": "hosts", "lab_name": ""},
        topology={"hosts": {node: {"group": "clients"} for node in nodes}},
        stories=[told],
        counts=counts,
        checks=checks,
    )


def _reachable(source: str, target: str, moment: float, latency_ms: float, down: Collection[str]) -> dict[str, Any]:
    if {source, target} & set(down):
        fields = {"verdict": "failed", "observed": {"sent": 3, "received": 0}, "hint": f"{target} does not answer"}
    else:
        fields = {"observed": {"sent": 3, "received": 3, "rtt_ms": [latency_ms]}}
    return check("us1.reachable.ipv4", source, target, moment, family="ipv4", **fields)


def _registered(node: str, moment: float, *, online: bool) -> dict[str, Any]:
    fields = {} if online else {"verdict": "failed", "hint": f"the server reports {node} as offline"}
    evidence = {"online": online, "last_seen": at(moment), "expiry": None}
    return check("us1.registered", "server", node, moment, evidence=evidence, **fields)
