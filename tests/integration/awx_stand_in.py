# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for AWX: as much of its API, in memory, as awx.awx's modules need to keep objects. It runs no jobs.

What it has from AWX are the rules that decide whether our objects are right: which files of a project are playbooks,
that a job template's playbook must be one, that secrets are never told, and that a survey comes back as it was given.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TOKEN = "stand-in-token"
_ENCRYPTED = "$encrypted$"
# As AWX's own: a playbook is a YAML file with a play or an import in it.
_PLAYBOOK = re.compile(
    r"^\s*?-?\s*?(?:hosts|(ansible\.builtin\.)?include|(ansible\.builtin\.)?import_playbook):\s*?.*?$"
)
_NO_PLAYBOOKS = {"roles", "tasks", "group_vars", "host_vars"}
_TYPES = {"inventories": "inventory"}
_UNIFIED = ("job_templates", "workflow_job_templates", "projects", "inventory_sources")

Item = dict[str, Any]


def playbooks(project: Path) -> list[str]:
    """Return what AWX offers as playbooks of a project: links to directories are not followed."""
    found = []
    for folder, names, files in os.walk(project, followlinks=False):
        relative = Path(folder).relative_to(project)
        if any(part in _NO_PLAYBOOKS or part.startswith(".") for part in relative.parts):
            names.clear()
            continue
        for name in files:
            path = Path(folder) / name
            if path.suffix in (".yml", ".yaml") and any(map(_PLAYBOOK.match, path.read_text().splitlines())):
                found.append(str(path.relative_to(project)))
    return sorted(found)


class StandIn:
    """Objects by collection, and what awx.awx asked."""

    def __init__(self, project: Path) -> None:
        """Begin with what every AWX has."""
        self.playbooks = playbooks(project)
        self.objects: dict[str, list[Item]] = {}
        self.links: dict[tuple[str, int, str], list[int]] = {}
        self.surveys: dict[tuple[str, int], Item] = {}
        self.secrets: dict[int, Item] = {}
        self.requests: list[tuple[str, str]] = []
        self.url = ""
        self._next = 0

    def named(self, collection: str, name: str) -> Item:
        """Return an object by its name."""
        (found,) = [item for item in self.objects[collection] if name in (item.get("name"), item.get("identifier"))]
        return found

    def linked(self, collection: str, name: str, relation: str) -> list[Item]:
        """Return the objects that one is associated with."""
        numbers = self.links.get((collection, self.named(collection, name)["id"], relation), [])
        return [item for items in self.objects.values() for item in items if item["id"] in numbers]

    def list(self, collection: str, query: dict[str, str]) -> list[Item]:
        """Return the objects that a query asks for."""
        if collection == "unified_job_templates":
            items = [item for name in _UNIFIED for item in self.objects.get(name, [])]
        else:
            items = self.objects.get(collection, [])
        either = {key[4:]: value for key, value in query.items() if key.startswith("or__")}
        every = {key: value for key, value in query.items() if not key.startswith("or__") and key != "page_size"}
        return [
            item
            for item in items
            if all(str(item.get(key)) == value for key, value in every.items())
            and (not either or any(str(item.get(key)) == value for key, value in either.items()))
        ]

    def create(self, collection: str, data: Item) -> Item:
        """Make an object."""
        self._next += 1
        kind = _TYPES.get(collection, collection.removesuffix("s"))
        url = f"/api/v2/{collection}/{self._next}/"
        item: Item = {"id": self._next, "type": kind, "url": url, "summary_fields": {}}
        item["related"] = {"survey_spec": f"{url}survey_spec/"} if "template" in kind else {}
        if collection == "projects":
            item["scm_revision"] = ""
        self.change(collection, item, data)
        self.objects.setdefault(collection, []).append(item)
        return item

    def change(self, collection: str, item: Item, data: Item) -> Item:
        """Change an object as AWX would, which keeps secrets to itself and refuses what is no playbook."""
        if collection == "job_templates" and data.get("playbook") not in (None, *self.playbooks):
            raise ValueError(f"Playbook not found for project: {data['playbook']}.")
        if collection == "credentials" and "inputs" in data:
            number = data.get("credential_type", item.get("credential_type"))
            (kind,) = self.list("credential_types", {"id": str(number)})
            secret = {field["id"] for field in kind["inputs"]["fields"] if field.get("secret")}
            shown = {key: _ENCRYPTED if key in secret else value for key, value in data["inputs"].items()}
            self.secrets[item["id"]] = data["inputs"]
            data = {**data, "inputs": shown}
        item.update(data)
        return item


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandIn

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, data: object = None) -> None:
        body = b"" if data is None else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("X-API-Product-Name", "AWX")
        self.send_header("X-API-Product-Version", "24.6.1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _handle(self) -> None:
        self.stand_in.requests.append((self.command, self.path))
        length = int(self.headers.get("Content-Length") or 0)
        data = json.loads(self.rfile.read(length) or b"{}")
        parts = urlsplit(self.path)
        words = [word for word in parts.path.split("/") if word][2:]
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"detail": "Authentication credentials were not provided."})
            return
        try:
            self._answer(*self._route(words, dict(parse_qsl(parts.query)), data))
        except ValueError as error:
            self._answer(400, {"__all__": [str(error)]})

    do_GET = do_POST = do_PATCH = _handle

    def _route(self, words: list[str], query: dict[str, str], data: Item) -> tuple[int, object]:
        api = self.stand_in
        if len(words) == 1:
            if self.command == "POST":
                return 201, api.create(words[0], data)
            found = api.list(words[0], query)
            return 200, {"count": len(found), "next": None, "previous": None, "results": found}
        collection, number = words[0], int(words[1])
        (item,) = [known for known in api.objects[collection] if known["id"] == number]
        if len(words) == 2:
            return 200, item if self.command == "GET" else api.change(collection, item, data)
        return self._related((collection, number, words[2]), data)

    def _related(self, key: tuple[str, int, str], data: Item) -> tuple[int, object]:
        api = self.stand_in
        if key[2] == "survey_spec":
            if self.command == "POST":
                api.surveys[key[:2]] = data
            return 200, api.surveys.get(key[:2], {})
        linked = api.links.setdefault(key, [])
        if self.command == "POST":
            (linked.remove if data.get("disassociate") else linked.append)(data["id"])
            return 204, None
        results = [{"id": known} for known in linked]
        return 200, {"count": len(results), "next": None, "previous": None, "results": results}


@contextmanager
def serve(project: Path) -> Iterator[StandIn]:
    """Serve a stand-in for AWX on loopback."""
    stand_in = StandIn(project)
    handler = type("Handler", (_Handler,), {"stand_in": stand_in})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield stand_in
        finally:
            server.shutdown()
            thread.join()
