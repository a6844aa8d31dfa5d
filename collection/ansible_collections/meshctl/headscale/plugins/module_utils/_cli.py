# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""API keys through the `headscale` command, for when there is no key yet.

The command's JSON is Go's own form of protobuf in 0.29 (snake_case, numbers, seconds and nanos) and the API's form in
0.30; both are read.
"""

from __future__ import annotations

import json
import re
import typing as t
from datetime import datetime, timezone

from ansible_collections.meshctl.headscale.plugins.module_utils import _hujson, _shapes
from ansible_collections.meshctl.headscale.plugins.module_utils._durations import utc_now
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadAnswerError, CommandError

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import Record

_UTC = timezone.utc


class ApiKeyCommand:
    """`headscale apikeys`, run on the server's host."""

    def __init__(
        self, run: Callable[[list[str]], tuple[int, str, str]], *, executable: str, config: str | None
    ) -> None:
        """Keep how the command is run: `run` takes an argument list and returns status, output and errors."""
        self._run = run
        self._base = [executable, *(["-c", config] if config else []), "apikeys"]

    def now(self) -> datetime:
        """Return the present moment: the command runs where the server runs."""
        return utc_now()

    def list_api_keys(self) -> list[Record]:
        """Return all API keys, by id."""
        try:
            values = json.loads(self._command("list") or "null", object_pairs_hook=_hujson.unique)
        except _hujson.RepeatedNameError as error:
            raise BadAnswerError(f"What 'headscale apikeys list -o json' printed is ambiguous: {error}.") from None
        except (ValueError, RecursionError):
            raise BadAnswerError(
                "'headscale apikeys list -o json' did not print JSON: is it headscale 0.29 or later?"
            ) from None
        if isinstance(values, dict):
            values = values.get("apiKeys")
        if values is not None and not isinstance(values, list):
            raise BadAnswerError("'headscale apikeys list -o json' did not print a list.")
        records = [_shapes.shaped("apikey", _like_api(value)) for value in values or []]
        records.sort(key=lambda record: int(record["id"]))
        return [_shapes.api_key_with_state(record, now=self.now()) for record in records]

    def create(self, expiration: str) -> str:
        """Mint an API key that is valid for a duration."""
        secret = _shapes.find_secret(self._command("create", "-e", expiration), "api")
        if secret is None:
            raise BadAnswerError("'headscale apikeys create' did not print a key that this module knows.")
        return secret

    def expire_api_key(self, key_id: str) -> None:
        """Expire an API key."""
        self._command("expire", "--id", key_id)

    def delete(self, record: Record) -> None:
        """Delete an API key."""
        self._command("delete", "--id", record["id"], "--force")

    def _command(self, *words: str) -> str:
        command = [*self._base, *words, "-o", "json"]
        status, output, errors = self._run(command)
        if status != 0:
            # The output is not repeated: `create` prints a key there.
            raise CommandError(f"'{' '.join(command)}' failed (exit {status}): {_said(errors)}.")
        return output


def _said(errors: str) -> str:
    for line in reversed(errors.strip().splitlines()):
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict) and isinstance(document.get("error"), str):
            return str(document["error"]).rstrip(".")
    return " ".join(errors.split())[-300:].rstrip(".") or "it said nothing"


def _like_api(value: object) -> object:
    """Return what the command of 0.29 prints as the API would have it."""
    if not isinstance(value, dict):
        return value
    return {_camel(str(name)): _like_time(item) for name, item in value.items()}


def _camel(name: str) -> str:
    return re.sub(r"_(.)", lambda match: match[1].upper(), name)


def _like_time(value: object) -> object:
    if not isinstance(value, dict):
        return value
    try:
        return datetime.fromtimestamp(int(value.get("seconds", 0)), _UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return value
