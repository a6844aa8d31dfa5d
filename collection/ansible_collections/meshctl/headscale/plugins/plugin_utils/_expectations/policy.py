# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policies that a story about the policy installs, one after the other, and the ports that it tries."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from .._judge.answer import addresses, mapping
from .disruption import no_newcomer
from .view import calm, check_mode, is_lab

if TYPE_CHECKING:
    from .view import View

GUEST = "meshctl-guest"
# No user has this name: a policy may name users that do not exist.
_NOBODY = "meshctl-nobody@"
_COUNT = 6
# Below the ports that kernels choose for connections.
_LOWEST, _SPAN = 20000, 12000
_FEWEST = 3


def expected(view: View) -> dict[str, Any]:
    """Return what a story about the policy needs: the ports, the new node, and each change with its policy."""
    host = next(iter(view.group("spare")), "")
    reason = no_change(view)
    return {
        "ports": ports(view),
        "host": host,
        "user": GUEST,
        "not_allowed": reason,
        "changes": [] if reason else changes(view),
    }


def no_listeners(view: View) -> str:
    """Return why nodes do not listen on ports to try."""
    if reason := check_mode(view):
        return reason.replace("changes nothing", "starts no listener")
    if view.setting("backend") == "hosts" and not view.setting("probe_ports"):
        return "existing hosts listen only on ports that the inventory names: name some in mesh_probe_ports"
    return ""


def no_change(view: View) -> str:
    """Return why no other policy may be installed."""
    if reason := calm(view):
        return reason
    if not is_lab(view):
        return "the policy of an existing server is not changed"
    if len(view.group("clients")) < _FEWEST:
        return "the changes of the policy need three clients"
    return no_newcomer(view)


def ports(view: View) -> list[int]:
    """Return the ports to try."""
    named: list[int] = view.setting("probe_ports")
    if named or not is_lab(view):
        return named
    # Listeners of a run that was killed may still be there, so each run has other ports.
    run = str(view.variable("policy_run") or "")
    first = _LOWEST + zlib.crc32(run.encode()) % _SPAN
    return list(range(first, first + _COUNT))


def changes(view: View) -> list[dict[str, Any]]:
    """Return each change: its aspect, its kind, and the policy that is in effect afterwards."""
    rules = _Rules(view)
    narrow = rules.policy(narrow=True)
    return [
        _change("installed", rules.policy()),
        _change("widened", rules.policy(wide=True)),
        _change("narrowed", narrow, closes=ports(view)[3]),
        _change("joined-group", rules.policy(narrow=True, staff=(_NOBODY, f"{GUEST}@"))),
        _change("left-group", narrow),
        _change("tagged", narrow, kind="tags", tags=["tag:meshctl-web", "tag:meshctl-extra"]),
        _change("untagged", narrow, kind="tags", tags=["tag:meshctl-web"]),
        _change("refused", narrow, kind="refused", refused=rules.policy(wide=True, failing=True)),
    ]


def _change(aspect: str, policy: dict[str, Any], *, kind: str = "policy", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"aspect": aspect, "kind": kind, "policy": policy, **more}


class _Rules:
    """A policy with every kind of name, for three clients of one user and a new node of another."""

    def __init__(self, view: View) -> None:
        self._ports = ports(view)
        # Headscale takes one `@` from the end, also where the name itself ends in one.
        self._user = f"{view.setting('user')}@"
        known = mapping(view.shared("mesh_nodes"))
        self._addresses = [addresses(mapping(known.get(host)).get("addresses")) for host in view.group("clients")[:3]]

    def _address(self, client: int, family: int) -> str:
        found = [known for known in self._addresses[client] if (":" in known) == (family == 6)]  # noqa: PLR2004
        return found[0] if found else "100.64.255.254"

    def policy(
        self, *, wide: bool = False, narrow: bool = False, staff: tuple[str, ...] = (), failing: bool = False
    ) -> dict[str, Any]:
        """Return the policy: as it is at first, with more, or with less."""
        one, two, three, four, five, six = self._ports
        user, guest = self._user, f"{GUEST}@"
        last = four if wide else two if narrow else three
        denied = f"meshctl-beta:{one}" if failing else f"meshctl-beta:{six}"
        third = self._address(2, 6)
        first = f"[{self._address(0, 6)}]" if ":" in self._address(0, 6) else self._address(0, 6)
        acls: list[dict[str, Any]] = [
            _acl(["group:meshctl-staff"], f"{user}:{one}" if narrow else f"autogroup:member:{one}"),
            _acl([user], f"autogroup:self:{two}-{last}", "tcp"),
            _acl([guest], f"meshctl-beta:{four},{five}" if wide else f"meshctl-beta:{four}", "udp"),
            _acl([f"{third}/{128 if ':' in third else 32}"], f"{first}:{five}"),
            _acl(["autogroup:tagged"], f"autogroup:member:{six}", "tcp"),
            _acl(["autogroup:member"], f"tag:meshctl-web:{six}"),
            _acl(["autogroup:member"], f"autogroup:internet:{five}"),
        ]
        grants: list[dict[str, Any]] = [
            {"src": [user], "dst": ["tag:meshctl-extra"], "ip": [f"udp:{four}", f"tcp:{five}-{six}"]},
            *(
                []
                if narrow
                else [{"src": ["group:meshctl-guests"], "dst": ["group:meshctl-staff"], "ip": [f"tcp:{four}"]}]
            ),
        ]
        return {
            "groups": {"group:meshctl-staff": [user, *staff], "group:meshctl-guests": [guest]},
            "hosts": {"meshctl-beta": self._address(1, 4)},
            "tagOwners": {"tag:meshctl-web": [user], "tag:meshctl-extra": [user]},
            "acls": acls,
            "grants": grants,
            "tests": [{"src": user, "accept": [f"meshctl-beta:{one}"], "deny": [denied]}],
        }


def _acl(sources: list[str], target: str, protocol: str = "") -> dict[str, Any]:
    return {"action": "accept", **({"proto": protocol} if protocol else {}), "src": sources, "dst": [target]}
