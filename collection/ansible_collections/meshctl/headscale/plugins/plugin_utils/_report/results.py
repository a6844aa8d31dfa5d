# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what the results of tasks contain: documents, messages, and the facts of nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.meshctl.headscale.plugins.plugin_utils._scrub import Json

_MESSAGE_LIMIT = 2000


def documents(result: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the result, its facts and those of each loop item, except those that no_log hides."""
    if hidden(result):
        return
    yield result
    if isinstance(facts := result.get("ansible_facts"), Mapping):
        yield facts
    items = result.get("results")
    for item in items if isinstance(items, list) else []:
        if isinstance(item, Mapping):
            yield from documents(item)


def hidden(result: Mapping[str, Any]) -> bool:
    """Tell whether a result belongs to a task with no_log."""
    return bool(result.get("_ansible_no_log") or "censored" in result)


def message_of(result: Mapping[str, Any]) -> str:
    """Return the reason of a failed result on one line."""
    if hidden(result):
        return "The reason is hidden: the task has no_log."
    items = [item for item in result.get("results") or [] if isinstance(item, Mapping) and item.get("failed")]
    parts = [message_of(item) for item in items[:3]]
    for key in ("msg", "reason", "module_stderr", "stderr", "module_stdout"):
        if not parts and result.get(key):
            parts.append(str(result[key]))
    message = " ".join(" ".join(parts).split())[:_MESSAGE_LIMIT]
    # Ansible adds these prefixes to the message of an action.
    for prefix in ("Task failed: ", "Action failed: ", "Module failed: "):
        message = message.removeprefix(prefix)
    return message or "No reason was given."


def node_facts(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a node that the report keeps."""
    addresses = node.get("addresses") or node.get("mesh_addresses") or node.get("ip_addresses")
    number = node.get("id") or node.get("node_id")
    facts: dict[str, Any] = {}
    if isinstance(addresses, list | tuple):
        facts["mesh_addresses"] = [str(address).partition("/")[0] for address in addresses]
    if number is not None:
        facts["node_id"] = str(number)
    if node.get("given_name"):
        facts["mesh_name"] = str(node["given_name"])
    return facts


def mappings(value: Json) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the host and its facts, where a task really returned a mapping of mappings."""
    for name, facts in value.items() if isinstance(value, Mapping) else ():
        if isinstance(facts, Mapping):
            yield str(name), facts
