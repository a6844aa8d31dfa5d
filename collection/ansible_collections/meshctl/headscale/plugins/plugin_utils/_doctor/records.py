# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hold what the control server answered, and what the clients saw."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from ...module_utils import _hujson
from ...module_utils._answers import says_no_policy
from ...module_utils._errors import BadInput
from .._inventory.expect import Expectation
from .._judge.answer import Json, addresses, items, mapping, moment, number, text
from .._policy import Node, Policy, User, unknown_names
from . import config_text, log_lines, urls
from .observed import Cause, Check, CheckContext, Iterator, Observed, because
from .view import ClientView

__all__ = [
    "LOG_WORDS", "NO_FILES", "RECENT_S", "STOPPED", "Cause", "Check", "CheckContext", "ClientView", "Iterator", "Record", "Server", "ServerContext", "because",
    "given_name", "setting", "texts",
]  # fmt: skip
# headscale logs this when a client uses another noise key than its own.
_WRONG_KEY = "message authentication failed"
_START, STOPPED = "Opening database", "Headscale stopped"
_FAILED = re.compile(r"(?:^| )(?:Error: |FTL )|\"level\":\"fatal\"")
NO_FILES = "too many open files"
LOG_WORDS = ["Error: ", " FTL ", "panic: ", _START, STOPPED, _WRONG_KEY, NO_FILES]
RECENT_S = 300.0
_RECORDS = ("nodes", "users", "preauthkeys", "policy")

Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ServerContext:
    """What is known of the mesh before its server is examined."""

    url: str = ""
    clients: tuple[str, ...] = ()
    views: tuple[ClientView, ...] = ()
    warning_days: float = 7.0
    min_severity: str = "medium"
    expect: Expectation = field(default_factory=Expectation)


class Server(Observed):
    """A control server, as its API and its configuration describe it."""

    def __init__(self, answer: Json, known: ServerContext) -> None:
        super().__init__(answer)
        self.known = known
        self.prefixes: Record = {}
        self.key_errors: list[str] = []
        self.source = ""
        self.serves_at: list[str] = []
        self.starts: int | None = None
        self.log_span_s: float | None = None
        self.policy_mode = ""

    @cached_property
    def listed(self) -> bool:
        """Whether the API listed the nodes."""
        return bool(mapping(self.data("nodes")))

    @cached_property
    def names_are_known(self) -> bool:
        """Whether the API listed the nodes and the users, which the names of a policy mean."""
        return self.listed and bool(mapping(self.data("users")))

    @cached_property
    def nodes(self) -> list[Record]:
        """Return the nodes that the server lists."""
        return [mapping(node) for node in items(mapping(self.data("nodes")).get("nodes"))]

    @cached_property
    def users(self) -> list[Record]:
        """Return the users that the server lists."""
        return [mapping(user) for user in items(mapping(self.data("users")).get("users"))]

    @cached_property
    def keys(self) -> dict[str, int]:
        """Return how many preauthkeys there are in each state."""
        counts = {"usable": 0, "used": 0, "expired": 0}
        for key in items(mapping(self.data("preauthkeys")).get("preAuthKeys")):
            counts[_key_state(mapping(key), self.now)] += 1
        return counts

    @cached_property
    def policy_answered(self) -> bool:
        """Whether the API told the policy, or that there is none."""
        return mapping(self.data("policy")).get("policy") is not None or says_no_policy(self.why("policy"))

    @cached_property
    def policy(self) -> tuple[Policy | None, Json, str]:
        """Return the policy and its document, or why they cannot be read."""
        said = mapping(self.data("policy")).get("policy")
        if not self.policy_answered:
            return None, None, self.why("policy")
        try:
            document = _hujson.parse(text(said)) if text(said).strip() else None
            return Policy.read(document), document, ""
        except ValueError as exc:
            return None, None, str(exc)

    @cached_property
    def config(self) -> tuple[Record | None, str]:
        """Return the server's configuration, or why it was not examined; raise `ValueError` if it is broken."""
        found = mapping(self.data("config"))
        if not found:
            return None, f"the server's configuration was not read: {self.why('config')}"
        path = text(found.get("path"))
        try:
            config = config_text.read(text(found.get("text")), path)
        except BadInput as exc:
            return None, f"the server's configuration was not examined: {exc}"
        theirs = text(config.get("server_url"))
        # A path does not make it another server: headscale has none.
        if urls.normal(theirs)[:3] != urls.normal(self.known.url)[:3]:
            return None, f"{path} on this host belongs to another server ({theirs})"
        return config, ""

    @cached_property
    def log(self) -> list[str]:
        """Return the last lines of headscale's log, without times and places in its code."""
        lines = (log_lines.without_time(text(line)) for line in items(mapping(self.data("log")).get("lines")))
        return list(filter(None, lines))

    def log_since(self, event: str) -> list[str]:
        """Return the lines after the last one that tells of an event."""
        at = max((number for number, line in enumerate(self.log) if event in line), default=0)
        return self.log[at:]

    @cached_property
    def settings(self) -> Record:
        """Return the settings of the configuration, empty if there are none."""
        try:
            return self.config[0] or {}
        except ValueError:
            return {}

    def recent_lines(self, pattern: re.Pattern[str], seconds: float) -> list[float]:
        """Return how many seconds ago each line of the last seconds was written in which a pattern occurs after its time, the last one first."""
        known = map(text, items(mapping(self.data("log")).get("lines")))
        lines = [line for line in known if pattern.search(log_lines.without_time(line))]
        times = [at for line in reversed(lines) if (at := log_lines.time_of(line)) is not None]
        ages = [max(0.0, self.now - at) for at in times if self.now is not None and self.now - at >= -seconds]
        return [age for age in ages if age <= seconds]

    @property
    def recent_starts(self) -> int | None:
        """Return how often headscale started in the last minutes, None if its log does not tell."""
        lines = [text(line) for line in items(mapping(self.data("log")).get("lines"))]
        timed = any(log_lines.time_of(line) is not None for line in lines)
        return len(log_lines.recent(lines, _START, RECENT_S)) if timed else None

    @property
    def log_seconds(self) -> float | None:
        """Return how many seconds the part of the log spans in which starts were looked for, None if its log does not tell."""
        seen = mapping(self.data("log"))
        began = log_lines.time_of(text(seen.get("since")))
        ended = log_lines.time_of(next((text(line) for line in reversed(items(seen.get("lines")))), ""))
        return None if began is None or ended is None else ended - began

    def ended_abruptly(self) -> list[float]:
        """Return how many seconds ago headscale was started without having ended by itself before, the last one first."""
        log = [text(line) for line in items(mapping(self.data("log")).get("lines"))]
        end = log_lines.time_of(log[-1]) if log else None
        ages, running = list[float](), False
        for line in log:
            at = log_lines.time_of(line)
            if _START in line and running and at is not None and end is not None and 0 <= end - at <= RECENT_S:
                ages.append(end - at)
            if _START in line:
                running = True
            elif STOPPED in line or _FAILED.search(line):
                running = False
        return ages[::-1]

    @property
    def listeners(self) -> list[str]:
        """Return the addresses and ports at which headscale listens for clients; empty if that is unknown."""
        port = text(self.settings.get("listen_addr")).rpartition(":")[2]
        return [
            urls.authority(text(row.get("address")), port)
            for row in self.rows("listening")
            if mapping(row.get("process")).get("name") == "headscale" and str(row.get("port")) == port
        ]

    def as_fact(self) -> Record:
        """Return what other examinations need."""
        kept = {name: self._observations.get(name) for name in (*_RECORDS, "web")}
        prefixes = mapping(self.settings.get("prefixes"))
        bad = {name: asdict(cause) for name, cause in self.bad.items()}
        return {
            "url": self.known.url,
            "host": self._answer.get("host"),
            "observations": kept,
            "prefixes": prefixes,
            "bad": bad,
            "serves_at": self.listeners,
            "starts": self.recent_starts,
            "log_span_s": self.log_seconds,
            "policy_mode": text(setting(self.settings, "policy.mode")),
            "key_errors": [line for line in self.log_since(_START) if _WRONG_KEY in line],
        }

    @classmethod
    def read(cls, fact: Record, known: ServerContext) -> Server:
        """Return a server from the fact that `as_fact` made."""
        server = cls(fact, known)
        server.bad = {name: Cause(**cause) for name, cause in mapping(fact.get("bad")).items()}
        server.source = text(fact.get("source"))
        server.serves_at = [text(entry) for entry in items(fact.get("serves_at"))]
        server.log_span_s = number(fact.get("log_span_s"))
        server.starts = int(number(fact["starts"]) or 0) if fact.get("starts") is not None else None
        server.policy_mode = text(fact.get("policy_mode"))
        server.prefixes, server.key_errors = mapping(fact.get("prefixes")), items(fact.get("key_errors"))
        return server

    def node_of(self, key: str) -> Record:
        """Return the node with a key, empty if there is none."""
        return next((node for node in self.nodes if key and text(node.get("nodeKey")) == key), {})

    @cached_property
    def _expiries(self) -> dict[str, float | None]:
        # Of nodes with the same name, the first counts.
        return {given_name(node): moment(node.get("expiry")) for node in reversed(self.nodes)}

    def expired(self, name: str, story: str) -> Cause | None:
        """Return that a node's key has expired, which the comparison of all hosts reports."""
        expiry = self._expiries.get(name)
        past = expiry is not None and self.now is not None and expiry <= self.now
        return Cause(id=f"{story}.expiry", source=self.source) if past else None

    def view(self, node: Record) -> ClientView | None:
        """Return the view of the client that is a node, None if it was not examined, or if several state the node's key."""
        views = self.stating(text(node.get("nodeKey")))
        return views[0] if len(views) == 1 else None

    def stating(self, key: str) -> list[ClientView]:
        """Return the views of the clients that state a key: if there are several, any of them may not be that node."""
        return self._by_key.get(key, [])

    @cached_property
    def _by_key(self) -> dict[str, list[ClientView]]:
        views: dict[str, list[ClientView]] = {}
        for view in self.known.views:
            if view.key:
                views.setdefault(view.key, []).append(view)
        return views

    def silent_view(self, node: Record) -> ClientView | None:
        """Return the view of a client that did not tell its key, and has the name of a node."""
        names = (given_name(node), text(node.get("name")))
        return next((view for view in self.known.views if not view.key and view.name in names), None)

    @cached_property
    def unknown_names(self) -> list[str]:
        """Return the names of the policy that mean nothing; raise `ValueError` if it cannot be read."""
        tags = {tag for node in self.nodes for tag in texts(node, "tags")}
        return unknown_names(self.policy[1], users=self.users, tags=tags)

    def members(self) -> list[Node]:
        """Return the clients as a policy names them."""
        return [self.member(node, view.name) for node in self.nodes if (view := self.view(node))]

    def member(self, node: Record, name: str) -> Node:
        """Return a node as a policy names it."""
        user, tags, approved = mapping(node.get("user")), tuple(texts(node, "tags")), texts(node, "approvedRoutes")
        return Node(
            name=name,
            # A node's record keeps the user's former name until the server restarts.
            user=_owner(self._users_by_id.get(text(user.get("id")), user)) if user and not tags else None,
            tags=tags,
            addresses=tuple(addresses(node.get("ipAddresses"))),
            routes=tuple(route for route in texts(node, "availableRoutes") if route in approved),
        )

    @cached_property
    def _users_by_id(self) -> dict[str, Record]:
        return {text(user.get("id")): user for user in self.users}

    def owners(self) -> list[User]:
        """Return the users as a policy names them."""
        return [_owner(user) for user in self.users]


def given_name(node: Record) -> str:
    """Return the name of a node in the mesh."""
    return text(node.get("givenName")) or text(node.get("name"))


def texts(node: Record, key: str) -> list[str]:
    """Return a field of a node that is a list of texts."""
    return [text(entry) for entry in items(node.get(key))]


def setting(config: Record, path: str) -> Json:
    """Return a setting by its dotted name, None if it is not set."""
    found: Json = config
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _key_state(key: Record, now: float | None) -> str:
    expiry = moment(key.get("expiration"))
    if now is not None and expiry is not None and expiry <= now:
        return "expired"
    return "used" if key.get("used") is True and key.get("reusable") is not True else "usable"


def _owner(user: Record) -> User:
    return User(*(text(user.get(key)) for key in ("name", "email", "providerId", "id")))
