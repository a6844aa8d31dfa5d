# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge what the control server knows of routes: advertised, approved, and served by which router."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .answer import Answer, Json, items, mapping, text
from .context import joined
from .observations import NODES
from .quoting import quoted

if TYPE_CHECKING:
    from .check import Check
    from .context import CheckContext, Node

EXIT_ROUTES = ("0.0.0.0/0", "::/0")
_COMMAND = "headscale nodes list-routes"


@dataclass(frozen=True, kw_only=True)
class Served:
    """The expected state of routes on the server."""

    routers: Mapping[str, Node]
    prefixes: Mapping[str, tuple[str, ...]]
    """The routers of each prefix; those of exit nodes included."""
    approved: bool = True
    by: Mapping[str, str] = field(default_factory=dict)
    """The one router that must serve a prefix."""
    aspect: str = ""


def state_of(answer: Json, expect: Served) -> dict[str, Any]:
    """Return what the server knows of each router: its lists of routes, and whether it is online."""
    records = [mapping(node) for node in items(mapping(Answer(answer).data(NODES)).get("nodes"))]
    found = {}
    for name, node in expect.routers.items():
        known = next(
            (one for one in records if text(one.get("nodeKey")) == node.key or text(one.get("id")) == node.id), {}
        )
        found[name] = {
            "known": bool(known),
            "online": known.get("online") is True,
            **{
                short: [text(entry) for entry in items(known.get(long))]
                for short, long in (
                    ("advertised", "availableRoutes"),
                    ("approved", "approvedRoutes"),
                    ("serving", "subnetRoutes"),
                )
            },
        }
    return found


def judge_served(answer: Json, context: CheckContext, expect: Served) -> list[Check]:
    """Return the checks of each router and prefix."""
    seen = Answer(answer)
    if seen.data(NODES) is None:
        return [
            context.check(None, aspect=joined("serving", expect.aspect), expected={"routes": sorted(expect.prefixes)}, observed=None,
                          hint=seen.why(NODES), command=_COMMAND)
        ]  # fmt: skip
    state = state_of(answer, expect)
    checks = []
    for prefix, routers in expect.prefixes.items():
        for router in routers:
            checks += _of_router(context, expect, prefix, router, mapping(state.get(router)))
        if prefix not in EXIT_ROUTES:
            checks.append(_serving(context, expect, prefix, routers, state))
    return checks


def family_of(prefix: str) -> int:
    """Return the address family of a prefix, 4 or 6."""
    return 6 if ":" in prefix else 4


def _of_router(context: CheckContext, expect: Served, prefix: str, router: str, own: dict[str, Any]) -> list[Check]:
    advertised, approved = prefix in items(own.get("advertised")), prefix in items(own.get("approved"))
    return [
        context.check(
            advertised, aspect=joined("advertised", expect.aspect), family=family_of(prefix), target=router,
            expected={"prefix": prefix, "advertised": True}, observed={"advertised": advertised},
            evidence={"routes": own}, hint=_not_advertised(prefix, router, own), command=_COMMAND,
        ),
        context.check(
            approved == expect.approved, aspect=joined("approved", expect.aspect), family=family_of(prefix), target=router,
            expected={"prefix": prefix, "approved": expect.approved}, observed={"approved": approved},
            evidence={"routes": own}, hint=_wrongly_approved(prefix, router, own, approved=approved), command=_COMMAND,
        ),
    ]  # fmt: skip


def _not_advertised(prefix: str, router: str, own: dict[str, Any]) -> str:
    if not own.get("known"):
        return f"the server does not know {router}"
    others = ", ".join(map(str, items(own.get("advertised")))) or "nothing"
    return f"{router} does not advertise {prefix}, but {others}: `tailscale set --advertise-routes` on it adds a route"


def _wrongly_approved(prefix: str, router: str, own: dict[str, Any], *, approved: bool) -> str:
    if approved:
        return (
            f"{prefix} of {router} is approved without having been approved here: an autoApprover of the policy did that, or an "
            "approval was left behind (`headscale nodes approve-routes`)"
        )
    listed = ", ".join(map(str, items(own.get("approved")))) or "nothing"
    return (
        f"{prefix} of {router} is not approved, but {listed}: `headscale nodes approve-routes`, or an autoApprover in the policy, "
        "approves it"
    )


def _serving(
    context: CheckContext, expect: Served, prefix: str, routers: tuple[str, ...], state: Mapping[str, Any]
) -> Check:
    now = [name for name in routers if prefix in items(mapping(state.get(name)).get("serving"))]
    wanted = expect.by.get(prefix)
    right = (now == [wanted] if wanted else len(now) == 1) if expect.approved else not now
    expected: Any = [wanted] if wanted else {"one_of": list(routers)} if expect.approved else []
    return context.check(
        right, aspect=joined("serving", expect.aspect), family=family_of(prefix), target=prefix, expected={"routers": expected}, observed={"routers": now},
        evidence={"state": {name: state.get(name) for name in routers}},
        hint=not_served(prefix, routers, state) if not now else _wrong_router(prefix, now, wanted), command=_COMMAND,
    )  # fmt: skip


def _wrong_router(prefix: str, now: list[str], wanted: str | None) -> str:
    if wanted and wanted not in now:
        return (
            f"{', '.join(now)} serves {prefix} instead of {wanted}: the server moves a route when its router goes offline, loses its "
            "approval, or does not answer its probes (node.routes.ha in its configuration), and its log shows when it did so"
        )
    return f"{', '.join(now)} serve {prefix} at the same time"


def not_served(prefix: str, routers: tuple[str, ...], state: Mapping[str, Any]) -> str:
    """Return why no router serves a prefix, as far as the server's records tell."""
    known = {name: mapping(state.get(name)) for name in routers}
    advertising = [name for name, own in known.items() if prefix in items(own.get("advertised"))]
    approved = [name for name in advertising if prefix in items(known[name].get("approved"))]
    if not advertising:
        return f"no router advertises {prefix}: run `tailscale set --advertise-routes={quoted(prefix)}` on {' or '.join(routers)}"
    if not approved:
        return (
            f"the server has not approved {prefix} of {' or '.join(advertising)}: see `headscale nodes approve-routes`"
        )
    if not any(known[name].get("online") for name in approved):
        return f"no router of {prefix} is online: {', '.join(approved)}"
    return (
        f"{prefix} of {' and '.join(approved)} is approved, but the server does not serve it through them: another router does, or none "
        "answers its probes (`headscale nodes list-routes`, and its log)"
    )
