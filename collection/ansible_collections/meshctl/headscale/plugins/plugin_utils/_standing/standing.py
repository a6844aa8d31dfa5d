# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare a mesh with the notes of the `up` that built it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

from ...module_utils._errors import BadInput, CouldNotRun
from .._action.client import plan
from .._judge.answer import Answer, addresses, items, mapping, text
from .notes import POLICY_NOTE, Notes


def requests(notes: Notes) -> dict[str, dict[str, Any]]:
    """Return the request to the script `look` for each host."""
    asked: dict[str, dict[str, Any]] = {
        host: {"services": services, "observe": [], "empty": []} for host, services in notes.services.items()
    }

    def of(host: str) -> dict[str, Any]:
        return asked.setdefault(host, {"services": [], "observe": [], "empty": []})

    for host, options in notes.clients.items():
        of(host)["observe"] += [{"id": kind, "kind": kind, "socket": options["socket"]} for kind in ("status", "prefs")]
    for host in notes.addresses.keys() - notes.clients.keys():
        of(host)["observe"].append({"id": "status", "kind": "status"})
    of(notes.server)["observe"].append({"id": "nodes", "kind": "headscale", "path": "/api/v1/node", **notes.nodes})
    of(notes.server)["empty"].append(POLICY_NOTE)
    return asked


def difference(notes: Notes, answers: Mapping[str, Any]) -> str:
    """Return the first thing that `up` would change, or that is unknown; empty if there is none."""
    try:
        return next(_differences(notes, {host: mapping(answers.get(host)) for host in requests(notes)}), "")
    except (BadInput, CouldNotRun) as error:
        return str(error)
    except (ValueError, TypeError, AttributeError, KeyError):
        return "a host's answer cannot be read"


def _differences(notes: Notes, answers: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    for host, answer in answers.items():
        # An answer without the list is no answer.
        if (changes := answer.get("changes")) != []:
            yield f"{host}: {text((items(changes) or ['no answer'])[0])}"
    seen = {host: Answer(answer) for host, answer in answers.items()}
    nodes = mapping(seen[notes.server].data("nodes")).get("nodes")
    if not isinstance(nodes, list):
        yield f"{notes.server}: {seen[notes.server].why('nodes')}"
    listed = {text(mapping(node).get("nodeKey")) for node in items(nodes)}
    for host, options in notes.clients.items():
        yield from (f"{host}: {each}" for each in _client(options, seen[host], listed))
    for host, expected in notes.addresses.items():
        if addresses(_own(seen[host]).get("TailscaleIPs")) != expected:
            yield f"{host}: its mesh addresses have changed"


def _client(options: Mapping[str, Any], seen: Answer, listed: Set[str]) -> Iterator[str]:
    status, prefs = mapping(seen.data("status")), mapping(seen.data("prefs"))
    if not status or not prefs:
        yield seen.why("prefs" if status else "status")
    planned = plan(options, status, prefs)
    if planned.commands or planned.needs_key:
        yield "; ".join(planned.changes)
    if text(_own(seen).get("PublicKey")) not in listed:
        yield "the server does not know its node"


def _own(seen: Answer) -> dict[str, Any]:
    return mapping(mapping(seen.data("status")).get("Self"))
