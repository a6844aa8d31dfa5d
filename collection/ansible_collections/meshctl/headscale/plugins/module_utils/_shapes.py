# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Headscale's JSON becomes: checked, snake_case, every field there.

The table is the whole truth about what this collection reads from the server.  A field that the server leaves out gets
its zero value (protobuf's own rule); a field of the wrong type is an error that names it.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.meshctl.headscale.plugins.module_utils._durations import is_past, moment_or_none, parse_moment
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadAnswerError

if t.TYPE_CHECKING:
    from datetime import datetime

# JSON data: of any type until it is checked.
Json = t.Any
Record = t.Dict[str, Json]

_MOST_NODES, _MOST_TAGS = 20_000, 10_000

_REGISTER_METHODS = {
    "REGISTER_METHOD_AUTH_KEY": "auth_key",
    "REGISTER_METHOD_CLI": "cli",
    "REGISTER_METHOD_OIDC": "oidc",
}

SHAPES: dict[str, dict[str, str]] = {
    "user": {
        "id": "id",
        "name": "str",
        "displayName": "str",
        "email": "str",
        "provider": "str",
        "providerId": "str",
        "profilePicUrl": "str",
        "createdAt": "time",
    },
    "preauthkey": {
        "id": "id",
        "key": "str",
        "user": "user?",
        "reusable": "bool",
        "ephemeral": "bool",
        "used": "bool",
        "aclTags": "list",
        "expiration": "stamp",
        "createdAt": "time",
    },
    "node": {
        "id": "id",
        "name": "str",
        "givenName": "str",
        "user": "user?",
        "tags": "list",
        "ipAddresses": "list",
        "online": "bool",
        "lastSeen": "time",
        "expiry": "time",
        "createdAt": "time",
        "registerMethod": "method",
        "approvedRoutes": "list",
        "availableRoutes": "list",
        "subnetRoutes": "list",
        "machineKey": "str",
        "nodeKey": "str",
        "discoKey": "str",
        "preAuthKey": "preauthkey?",
    },
    "apikey": {
        "id": "id",
        "prefix": "str",
        "expiration": "stamp",
        "createdAt": "time",
        "lastSeen": "time",
    },
}


def snake(name: str) -> str:
    """Return a camelCase name as snake_case."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def shaped(kind: str, value: Json) -> Record:
    """Return a record of the server in this collection's form."""
    if not isinstance(value, dict):
        raise BadAnswerError(f"Headscale answered with {_type(value)} where a {kind} was expected.")
    fields = SHAPES[kind]
    return {snake(name): _field(f"{kind}.{name}", how, value.get(name)) for name, how in fields.items()}


def _type(value: Json) -> str:
    return "nothing" if value is None else f"a value of type {type(value).__name__}"


def _wrong(where: str, expected: str, value: Json) -> t.NoReturn:
    raise BadAnswerError(f"Headscale answered with {_type(value)} in {where} where {expected} was expected.")


def _field(where: str, how: str, value: Json) -> Json:
    if how.endswith("?"):
        return None if value is None else shaped(how[:-1], value)
    return _READERS[how](where, value)


def _id(where: str, value: Json) -> str:
    # Strings in the HTTP API, numbers in the command's JSON.
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]{1,20}", text):
        _wrong(where, "an id", value)
    return text


def _str(where: str, value: Json) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        _wrong(where, "a text", value)
    return encodable(value)


def encodable(text: str) -> str:
    """Return a text without lone surrogates, which JSON can hold and no file or terminal can."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _bool(where: str, value: Json) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        _wrong(where, "true or false", value)
    return value


def _list(where: str, value: Json) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        _wrong(where, "a list of texts", value)
    return [encodable(item) for item in value]


def _stamp(where: str, value: Json) -> str | None:
    """Read a time and keep Go's zero time (the year 1): a key of that time is long past, one without never ends."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        _wrong(where, "a time", value)
    try:
        parse_moment(value)
    except (ValueError, OverflowError):
        raise BadAnswerError(f"Headscale answered with {value[:40]!r} in {where}, which is not a time.") from None
    return value


def _time(where: str, value: Json) -> str | None:
    """Read a time for which Go's zero time means none."""
    stamp = _stamp(where, value)
    return stamp if moment_or_none(stamp) else None


def _method(where: str, value: Json) -> str:
    return _REGISTER_METHODS.get(_str(where, value), "unspecified")


_READERS: dict[str, t.Callable[[str, Json], Json]] = {
    "id": _id,
    "str": _str,
    "bool": _bool,
    "list": _list,
    "time": _time,
    "stamp": _stamp,
    "method": _method,
}

_KEY = re.compile(r"hskey-(?P<kind>api|auth)-(?P<prefix>[A-Za-z0-9_-]{12})(?:-(?:\*\*\*|[A-Za-z0-9_-]{64}))?")
_SECRET = re.compile(r"hskey-(?P<kind>api|auth)-[A-Za-z0-9_-]{12}-[A-Za-z0-9_-]{64}")


def key_prefix(key: str) -> str:
    """Return the part of a key that may be shown: of a whole key, a masked one, or a prefix alone."""
    match = _KEY.fullmatch(key.strip())
    if match:
        return match["prefix"]
    # Keys of Headscale before 0.28 are PREFIX.SECRET, shown as PREFIX***.
    return re.split(r"[.*]", key.strip(), maxsplit=1)[0]


def masked(key: str) -> str:
    """Return a key with its secret part hidden, as Headscale shows it."""
    match = _KEY.fullmatch(key.strip())
    if match:
        return f"hskey-{match['kind']}-{match['prefix']}-***"
    # Anything else may be a secret as a whole.
    return "***"


def is_secret(key: str, kind: str) -> bool:
    """Whether a text is a whole key of this kind (`api` or `auth`)."""
    match = _SECRET.fullmatch(key)
    return match is not None and match["kind"] == kind


def find_secret(text: str, kind: str) -> str | None:
    """Return the whole key of this kind that a text holds."""
    return next((match.group() for match in _SECRET.finditer(text) if match["kind"] == kind), None)


def preauthkey_with_state(record: Record, *, now: datetime) -> Record:
    """Return a preauthkey with what follows from its fields: `expired`, `usable`, and nothing secret in it."""
    expired = is_past(record["expiration"], now=now)
    usable = not expired and (record["reusable"] or not record["used"])
    # Keys of old servers are listed in full.
    return {
        **record,
        "key": masked(record["key"]),
        "prefix": _shown(record["key"]),
        "expired": expired,
        "usable": usable,
    }


def _shown(key: str) -> str:
    match = _KEY.fullmatch(key.strip())
    return match["prefix"] if match else ""


def refuse_too_many(nodes: list[Record]) -> None:
    """Raise `BadAnswerError` if there are more nodes or tags than anyone has: each becomes a host or a group of an inventory."""
    tags = {tag for node in nodes for tag in node["tags"]}
    if len(nodes) > _MOST_NODES or len(tags) > _MOST_TAGS:
        # Ansible takes minutes for more.
        raise BadAnswerError(
            f"Headscale lists {len(nodes)} nodes with {len(tags)} different tags: at most {_MOST_NODES} nodes and {_MOST_TAGS} tags are read."
        )


def node_with_state(record: Record, *, now: datetime) -> Record:
    """Return a node with what follows from its fields: `expired`; and nothing secret in it."""
    key = record["pre_auth_key"]
    return {
        **record,
        "expired": is_past(record["expiry"], now=now),
        "pre_auth_key": key and preauthkey_with_state(key, now=now),
    }


def api_key_with_state(record: Record, *, now: datetime) -> Record:
    """Return an API key with what follows from its fields: `expired`, and the prefix without decoration."""
    expired = is_past(record["expiration"], now=now)
    return {**record, "prefix": key_prefix(record["prefix"]), "expired": expired}
