# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client of Headscale's HTTP API v1 (0.29 and later).

It needs no AnsibleModule: `HeadscaleAPI(url=..., api_key=...)` works in modules, actions, inventory and elsewhere.
What it returns is described by `_shapes.SHAPES`.
"""

from __future__ import annotations

import json
import os
import typing as t
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from ansible_collections.meshctl.headscale.plugins.module_utils import _answers, _hujson, _shapes
from ansible_collections.meshctl.headscale.plugins.module_utils._durations import format_moment, utc_now
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import (
    ApiError,
    AuthError,
    BadAnswerError,
    BadInput,
    NotFoundError,
    WrongUrlError,
)
from ansible_collections.meshctl.headscale.plugins.module_utils._files import read_secret
from ansible_collections.meshctl.headscale.plugins.module_utils._http import Reply, Sender, Transport
from ansible_collections.meshctl.headscale.plugins.module_utils._operations import OPERATIONS, Operation

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import Json, Record

_OK, _NOT_FOUND, _REFUSED = 200, 404, (401, 403)
_REDIRECTS = (301, 302, 303, 307, 308)


class HeadscaleAPI:
    """A Headscale server, by URL and API key. Every method makes one request and raises a `HeadscaleError`."""

    def __init__(  # noqa: PLR0913 - keywords, each with a default
        self,
        *,
        url: str,
        api_key: str,
        ca_path: str | None = None,
        validate_certs: bool = True,
        timeout: float = 10.0,
        use_proxy: bool = True,
        sender: Sender | None = None,
    ) -> None:
        """Keep where the server is and how it is spoken to; nothing is sent yet."""
        if ca_path and not os.access(ca_path, os.R_OK):
            raise BadInput(f"ca_path is {ca_path!r}, which cannot be read: name a file of PEM certificates.")
        if ca_path and not Path(ca_path).is_file():
            # A pipe would be waited for.
            raise BadInput(f"ca_path is {ca_path!r}, which is not a regular file: name a file of PEM certificates.")
        if timeout <= 0:
            raise BadInput(f"timeout is {timeout:g}: it must be more than 0 seconds.")
        if not api_key.strip() or not api_key.strip().isprintable() or " " in api_key.strip():
            raise BadInput("The API key is empty or contains spaces: it should look like hskey-api-….")
        self.url = _base_url(url)
        self.api_key = api_key.strip()
        self._transport: Sender = sender or Transport(ca_path, validate_certs, float(timeout), use_proxy)
        self._server_date: datetime | None = None

    @property
    def key_prefix(self) -> str:
        """The part of the API key in use that may be shown."""
        return _shapes.key_prefix(self.api_key)

    def now(self) -> datetime:
        """Return the present moment by the server's clock, which decides over expirations, as of its last answer."""
        # The header holds whole seconds, cut off: without one more, what expired just now would still seem valid.
        return self._server_date + timedelta(seconds=1) if self._server_date else utc_now()

    # -- the server itself

    def version(self) -> str:
        """Return the server's version, such as `v0.29.3` (needs no valid key)."""
        reply = self._send("GET", self.url + "/version", None)
        document = _answers.parsed(reply, repeated=True)
        if reply.status != _OK or not isinstance(document, dict) or not isinstance(document.get("version"), str):
            raise self._wrong_url(reply)
        return str(document["version"])

    # -- users

    def list_users(self) -> list[Record]:
        """Return all users, by id."""
        return self._list("list_users", "users", "user")

    def create_user(self, *, name: str, display_name: str = "", email: str = "", picture_url: str = "") -> Record:
        """Create a user."""
        body = {"name": name, "displayName": display_name, "email": email, "pictureUrl": picture_url}
        return self._one("create_user", "user", "user", body=body)

    def rename_user(self, user_id: str, name: str) -> Record:
        """Give a user another name."""
        return self._one("rename_user", "user", "user", path={"oldId": user_id, "newName": name})

    def delete_user(self, user_id: str) -> None:
        """Delete a user, who must have no nodes, and the user's preauthkeys."""
        self._call("delete_user", path={"id": user_id})

    # -- preauthkeys

    def list_preauthkeys(self) -> list[Record]:
        """Return all preauthkeys, of all users, by id, without their secrets."""
        records = self._list("list_preauthkeys", "preAuthKeys", "preauthkey")
        return [_shapes.preauthkey_with_state(record, now=self.now()) for record in records]

    def create_preauthkey(
        self,
        *,
        user_id: str | None,
        expiration: datetime,
        reusable: bool = False,
        ephemeral: bool = False,
        tags: Iterable[str] = (),
    ) -> tuple[Record, str]:
        """Mint a preauthkey; return what it is, and the key itself, which the server shows this one time."""
        body = {
            "user": user_id or "0",
            "reusable": reusable,
            "ephemeral": ephemeral,
            "expiration": format_moment(expiration),
            "aclTags": sorted(set(tags)),
        }
        record = self._one("create_preauthkey", "preAuthKey", "preauthkey", body=body)
        secret = record["key"]
        if not secret or secret.endswith("*"):
            raise BadAnswerError("Headscale created a preauthkey, but its answer does not contain the key.")
        return _shapes.preauthkey_with_state(record, now=self.now()), secret

    def expire_preauthkey(self, key_id: str) -> None:
        """Expire a preauthkey. Headscale 0.29 accepts an id that does not exist."""
        self._call("expire_preauthkey", body={"id": key_id})

    def delete_preauthkey(self, key_id: str) -> None:
        """Delete a preauthkey. Headscale 0.29 accepts an id that does not exist."""
        self._call("delete_preauthkey", query={"id": key_id})

    # -- nodes

    def list_nodes(self) -> list[Record]:
        """Return all nodes, by id."""
        records = self._list("list_nodes", "nodes", "node")
        _shapes.refuse_too_many(records)
        return [_shapes.node_with_state(record, now=self.now()) for record in records]

    def rename_node(self, node_id: str, name: str) -> Record:
        """Give a node another name (its label in MagicDNS)."""
        return self._node("rename_node", node_id, path={"newName": name})

    def tag_node(self, node_id: str, tags: Iterable[str]) -> Record:
        """Replace a node's tags. A tagged node belongs to no user any more, for good."""
        return self._node("tag_node", node_id, body={"tags": sorted(set(tags))})

    def approve_routes(self, node_id: str, routes: Iterable[str]) -> Record:
        """Replace the routes that a node may serve."""
        return self._node("approve_routes", node_id, body={"routes": list(routes)})

    def expire_node(self, node_id: str, *, at: datetime | None = None) -> Record:
        """Expire a node now, or at a moment."""
        return self._node("expire_node", node_id, query={"expiry": format_moment(at)} if at else {})

    def never_expire_node(self, node_id: str) -> Record:
        """Let a node never expire."""
        return self._node("expire_node", node_id, query={"disableExpiry": "true"})

    def delete_node(self, node_id: str) -> None:
        """Delete a node."""
        self._call("delete_node", path={"nodeId": node_id})

    # -- policy

    def get_policy(self) -> Record | None:
        """Return `policy` (text) and `updated_at` (None when it is read from a file), or None when none is set."""
        try:
            document = self._call("get_policy")
        except ApiError as error:
            if _answers.says_no_policy(error.reason):
                return None
            raise
        return self._policy(document)

    def set_policy(self, text: str) -> Record:
        """Replace the policy."""
        return self._policy(self._call("set_policy", body={"policy": text}))

    def check_policy(self, text: str) -> None:
        """Have the server check a policy without keeping it; raise `ApiError` with its words when it is no good."""
        self._call("check_policy", body={"policy": text})

    # -- API keys

    def list_api_keys(self) -> list[Record]:
        """Return all API keys, by id, without their secrets."""
        records = self._list("list_api_keys", "apiKeys", "apikey")
        return [_shapes.api_key_with_state(record, now=self.now()) for record in records]

    def create_api_key(self, *, expiration: datetime) -> str:
        """Mint an API key and return it; the server shows it this one time."""
        secret = self._call("create_api_key", body={"expiration": format_moment(expiration)}).get("apiKey")
        if not isinstance(secret, str) or not secret:
            raise BadAnswerError("Headscale created an API key, but its answer does not contain the key.")
        return secret

    def expire_api_key(self, key_id: str) -> None:
        """Expire an API key."""
        self._call("expire_api_key", body={"id": key_id})

    def delete_api_key(self, prefix: str) -> None:
        """Delete an API key."""
        self._call("delete_api_key", path={"prefix": prefix})

    # -- requests

    def _node(self, name: str, node_id: str, *, path: Mapping[str, str] | None = None, **rest: Json) -> Record:
        record = self._one(name, "node", "node", path={"nodeId": node_id, **(path or {})}, **rest)
        return _shapes.node_with_state(record, now=self.now())

    def _policy(self, document: dict[str, t.Any]) -> Record:
        text = document.get("policy")
        if not isinstance(text, str):
            raise BadAnswerError("Headscale's answer about the policy does not contain its text.")
        return {"policy": text, "updated_at": document.get("updatedAt") or None}

    def _list(self, name: str, member: str, kind: str) -> list[Record]:
        values = self._call(name).get(member)
        if values is not None and not isinstance(values, list):
            raise BadAnswerError(
                f"Headscale was asked to {OPERATIONS[name].does}, and its answer contains no list of {member}."
            )
        records = [_shapes.shaped(kind, value) for value in values or []]
        return sorted(records, key=lambda record: int(record["id"]))

    def _one(self, name: str, member: str, kind: str, **request: Json) -> Record:
        return _shapes.shaped(kind, self._call(name, **request).get(member))

    def _call(
        self,
        name: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, t.Any] | None = None,
    ) -> dict[str, t.Any]:
        """Make the request of one operation and return the JSON object that answers it."""
        operation = OPERATIONS[name]
        parts = {key: quote(value, safe="") for key, value in (path or {}).items()}
        url = self.url + operation.path.format(**parts)
        if query:
            url += "?" + urlencode(query)
        reply = self._send(operation.method, url, body)
        if reply.status != _OK:
            raise self._refusal(operation, reply)
        try:
            document = _answers.parsed(reply)
        except _hujson.RepeatedNameError as error:
            raise BadAnswerError(
                f"Headscale was asked to {operation.does}, and its answer is ambiguous: {error}."
            ) from None
        if not isinstance(document, dict):
            raise self._wrong_url(reply)
        return document

    def _send(self, method: str, url: str, body: Mapping[str, t.Any] | None) -> Reply:
        headers = {"Authorization": f"Bearer {self.api_key}", "Accept": "application/json"}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        reply = self._transport.send(method, url, headers=headers, body=content)
        self._server_date = reply.date or self._server_date
        return reply

    # -- refusals

    def _refusal(self, operation: Operation, reply: Reply) -> Exception:
        if reply.status in _REFUSED:
            return AuthError(
                f"{self.url} does not accept the API key {_shapes.masked(self.api_key)}: "
                "it is unknown there or expired. Make a new one on the server with 'headscale apikeys create'."
            )
        reason = _answers.reason(_answers.parsed(reply, repeated=True))
        if reply.status in _REDIRECTS or reason is None or (reply.status == _NOT_FOUND and reason == "Not Found"):
            return self._wrong_url(reply)
        kind = NotFoundError if reply.status == _NOT_FOUND else ApiError
        return kind(
            f"Headscale refused to {operation.does}: {reason.rstrip('.')} (HTTP {reply.status}).",
            status=reply.status,
            reason=reason,
        )

    def _wrong_url(self, reply: Reply) -> WrongUrlError:
        if reply.status in _REDIRECTS:
            target = _answers.excerpt(reply.location.split("/api/v1", 1)[0]) or "another place"
            return WrongUrlError(f"{self.url} redirects to {target}: set url to the address of Headscale's API.")
        if "HTTP request to an HTTPS server" in reply.body:
            return WrongUrlError(f"{self.url} expects TLS: begin url with https://.")
        kind = _answers.excerpt(reply.content_type) or "no content type"
        return WrongUrlError(
            f"{self.url} is not the address of a Headscale API: it answered HTTP {reply.status} ({kind}). "
            "Set url to Headscale's server_url, without /api/v1."
        )


def _base_url(url: str) -> str:
    """Return the URL below which /api/v1 is, or say what is wrong with it."""
    text = url.strip().rstrip("/")
    if text.endswith("/api/v1"):
        text = text[: -len("/api/v1")]
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if valid and (parts.username or parts.password):
        # The message would show the password.
        raise BadInput("url holds a user or a password before its '@': leave them out, Headscale asks for an API key.")
    if not valid or parts.query or parts.fragment or any(char.isspace() for char in text):
        raise BadInput(f"url is {url!r}: it must look like https://headscale.example.com or http://127.0.0.1:8080.")
    return text


def connect(options: Mapping[str, t.Any], *, environ: Mapping[str, str] | None = None) -> HeadscaleAPI:
    """Return the server that the common options of the modules name, what is missing taken from the environment."""
    environ = os.environ if environ is None else environ
    url = options.get("url") or environ.get("HEADSCALE_URL")
    if not url:
        raise BadInput("No Headscale server is named: set url, or HEADSCALE_URL in the environment of this host.")
    return HeadscaleAPI(
        url=url,
        api_key=find_api_key(options, environ=environ),
        ca_path=options.get("ca_path"),
        validate_certs=options.get("validate_certs", True) is not False,
        timeout=10.0 if options.get("timeout") is None else options["timeout"],
        use_proxy=options.get("use_proxy", True) is not False,
    )


def find_api_key(options: Mapping[str, t.Any], *, environ: Mapping[str, str] | None = None) -> str:
    """Return the API key: of the options when they name one, else of the environment."""
    environ = os.environ if environ is None else environ
    if key := options.get("api_key"):
        return str(key)
    path = options.get("api_key_file")
    if not path:
        if key := environ.get("HEADSCALE_API_KEY"):
            return key
        path = environ.get("HEADSCALE_API_KEY_FILE")
    if not path:
        raise BadInput(
            "No API key is given: set api_key or api_key_file, or HEADSCALE_API_KEY or HEADSCALE_API_KEY_FILE in the "
            "environment of this host."
        )
    key = read_secret(str(path))
    if not key:
        state = "does not exist" if key is None else "is empty"
        raise BadInput(f"api_key_file is {str(path)!r}, which {state} on this host.")
    return key
