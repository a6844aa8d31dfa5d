# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is a client's connection to the server cut again and again?"""

from __future__ import annotations

from itertools import pairwise
from statistics import median

from .. import client_log, control, log_lines, proxies
from ..observed import Check, CheckContext, Client, Iterator, because
from ..records import RECENT_S

AFTER = ("server", "proxy")
_CUTS = 5
# An idle timeout cuts at much the same intervals; a server that is restarted, or a bad line, does not.
_STILL, _LIKE, _MOST = 2, (0.5, 1.6), 0.7


def judge(client: Client, context: CheckContext) -> Iterator[Check]:
    """Return whether the connection was cut more often than the server was started."""
    lines = client_log.lines(client.data("tailscaled_log"))
    if not lines or not client.running:
        return
    ages = log_lines.recent(lines, client_log.CUT, RECENT_S)
    every = _interval(ages)
    server = client.known.server
    starts = server.starts if server else None
    # Of older cuts, it is unknown whether a start was their reason: a log of details reaches back less than a minute.
    span = server.log_span_s if server and server.log_span_s is not None else RECENT_S
    ages = [age for age in ages if age <= span]
    cut = every > 0 and len(ages) - (starts or 0) >= _CUTS and ages[0] <= _STILL * every
    check = context.check(
        not cut,
        expected={"cut": f"less than {_CUTS} times in {RECENT_S:.0f} s"},
        observed={"cut": len(ages), "headscale_started": starts},
        evidence={"every_s": round(every, 1)},
        hint=f"its connection to the server is cut about every {every:.0f} s ({len(ages)} times in {ages[-1] / 60 if ages else 0:.1f} "
        f"minutes), {_why(client, starts)}",
        command="journalctl -u tailscaled | grep PollNetMap",
    )
    yield because(check, client.cause("server", "proxy") or client.servers_cause("start"))


def _interval(ages: list[float]) -> float:
    """Return the seconds between the cuts, 0 if there are few of them or if they are irregular."""
    # Only the last ones tell what goes on: cuts of restarts may follow those of a timeout that was corrected.
    gaps = [later - earlier for earlier, later in pairwise(ages[: _CUTS + 1])]
    if len(ages) < _CUTS:
        return 0.0
    middle = median(gaps)
    alike = [gap for gap in gaps if _LIKE[0] * middle <= gap <= _LIKE[1] * middle]
    return middle if gaps[0] in alike and len(alike) >= _MOST * len(gaps) else 0.0


def _why(client: Client, starts: int | None) -> str:
    row = client.row("server", url=f"{client.url}{control.HEALTH}")
    restarted = (
        "unless headscale is restarted that often" if starts is None else "and headscale was not started that often"
    )
    found = proxies.name(row)
    front = f"{found} in front of headscale" if found != proxies.UNNAMED else "a proxy or a firewall on the way"
    return (
        f"{restarted}, as the idle timeout of {front} does: headscale sends something about once a minute, so raise "
        f"{proxies.of(row).idle} to ten minutes or more"
    )
