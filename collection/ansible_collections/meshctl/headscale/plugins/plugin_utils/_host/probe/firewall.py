# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read which chains of the host's firewall drop, reject or redirect packets of the host itself."""

from __future__ import annotations

from .base import Unseen, left, read_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, List, Tuple

_MOST_CHAINS = 40
# tailscaled's own chains drop only packets that come from elsewhere with addresses of the mesh.
_TAILSCALED = "ts-"
_OWN_HOOKS = ("", "input", "prerouting", "ingress", "output", "postrouting", "egress")
_REWRITES = ("snat", "masquerade", "dnat", "redirect")


def rules(_ask: Dict, until: float) -> Json:
    """Return the chains that may stop packets of this host, by a rule or a policy; and those that rewrite addresses."""
    import subprocess

    try:
        done = subprocess.run(
            ["nft", "-j", "list", "ruleset"],  # noqa: S607
            capture_output=True, timeout=left(until), check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError as exc:
        raise Unseen("no_nft", "the command nft is missing on the host") from exc
    except subprocess.TimeoutExpired as exc:
        raise Unseen("timeout", "nft did not end in time") from exc
    if done.returncode:
        raise Unseen("not_permitted", done.stderr.decode("utf-8", "replace").strip()[:300])
    entries = (read_json(done.stdout or b"{}", repeated=True) or {}).get("nftables") or []
    chains = _chains(entries)
    rewriting = [chain for chain in chains if chain["rewrites"]]
    stopping = [chain for chain in chains if chain["stops"] or chain["policy"] == "drop"]
    return {"chains": stopping[:_MOST_CHAINS], "rewriting": rewriting[:_MOST_CHAINS], "legacy": _legacy()}


def _chains(entries: List) -> List:
    chains: Dict = {}
    for entry in entries:
        chain, rule = entry.get("chain"), entry.get("rule")
        if chain:
            known = {key: chain.get(key) or "" for key in ("family", "table", "name", "hook", "policy")}
            chains[chain["family"], chain["table"], chain["name"]] = dict(known, stops=0, rewrites=0)
        elif rule:
            chain = chains.get((rule["family"], rule["table"], rule["chain"]))
            if chain and _does(rule.get("expr"), ("drop", "reject")):
                chain["stops"] += 1
            if chain and _does(rule.get("expr"), _REWRITES):
                chain["rewrites"] += 1
    return [
        chain
        for chain in chains.values()
        if chain["hook"] in _OWN_HOOKS
        and (chain["stops"] or chain["rewrites"] or chain["policy"] == "drop")
        and not chain["name"].startswith(_TAILSCALED)
    ]


def _does(part: Json, statements: Tuple) -> bool:
    """Whether an expression has one of these statements, also as a value of a map or as a target of iptables."""
    if isinstance(part, dict):
        if part.get("type") == "target" and str(part.get("name")).lower() in statements:
            return True
        return any(word in part for word in statements) or any(_does(value, statements) for value in part.values())
    return isinstance(part, list) and any(_does(value, statements) for value in part)


def _legacy() -> bool:
    """Return whether iptables has rules that nft does not show."""
    for name in ("ip_tables_names", "ip6_tables_names"):
        try:
            with open("/proc/net/" + name) as file:
                if file.read().strip():
                    return True
        except OSError:
            # A user who may list the rules of nft may read these, except in the user namespace of a lab.
            continue
    return False
