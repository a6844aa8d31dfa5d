# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module: keep a Headscale API key."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: api_key
short_description: Keep a Headscale API key in a file, and revoke API keys
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Keeps a valid API key in a file on the host that the task runs on. A key that is still accepted and does not expire
    soon is kept; another one is replaced, and expired.
  - The first key of a server can only be created on the server's host, see O(via).
extends_documentation_fragment:
  - meshctl.headscale._headscale
  - meshctl.headscale._attributes
  - meshctl.headscale._attributes.state
  - ansible.builtin.files
options:
  url:
    description:
      - Where Headscale is, as in its own C(server_url), for example V(https://headscale.example.com).
      - Required with O(via=api). With O(via=cli) the kept key is tried there when this is set; when it is not, the
        key's prefix is looked up.
      - The environment variable E(HEADSCALE_URL) of the host that the task runs on is used when the option is not set.
    type: str
  via:
    description:
      - V(api) uses the HTTP API. When no API key is given, the key in O(path) is used, so a key can replace itself.
      - V(cli) runs the C(headscale) command, which needs no key, on the server's host and as a user that may use
        its socket.
    type: str
    choices: [api, cli]
    default: api
  executable:
    description: The C(headscale) command, by name or path, for O(via=cli).
    type: str
    default: headscale
  config:
    description: The server's configuration file, for O(via=cli). The command's own default when not set.
    type: path
  path:
    description:
      - The file that the key is kept in, written at once and, unless O(mode) says otherwise, with mode V(0600).
      - Required with O(state=present).
      - With O(state=expired) and O(state=absent), the file whose key is meant. V(absent) removes the file as well.
    type: path
  expiration:
    description: How long a new key is valid, for example V(90d).
    type: str
    default: 90d
  renew_before:
    description: A key is replaced this long before it expires.
    type: str
    default: 7d
  id:
    description: The id of the key to expire or delete.
    type: str
  prefix:
    description: The prefix of the key to expire or delete, with or without what Headscale shows around it.
    type: str
  return_key:
    description:
      - Whether the key is returned in RV(key). Set C(no_log) on a task that does.
    type: bool
    default: false
  state:
    description:
      - V(present) makes sure that O(path) contains a valid key.
      - V(expired) makes sure that the key is no longer accepted; it stays listed.
      - V(absent) deletes the key.
    type: str
    choices: [present, expired, absent]
    default: present
  mode:
    description: The file's permissions, V(0600) when not set.
seealso:
  - module: meshctl.headscale.api_key_info
"""

EXAMPLES = r"""
- name: Make the first key on the server's host, and replace it in time later on
  meshctl.headscale.api_key:
    via: cli
    path: /var/lib/headscale/meshctl_api_key

- name: Let a key on another machine replace itself
  meshctl.headscale.api_key:
    url: https://headscale.example.com
    path: ~/.config/headscale_api_key
    expiration: 30d

- name: End a key that was seen where it should not be
  meshctl.headscale.api_key:
    url: https://headscale.example.com
    api_key_file: ~/.config/headscale_api_key
    prefix: hskey-api-AAAAAAAAAAAA-***
    state: absent
"""

RETURN = r"""
key:
  description: The key itself. This is a secret. Not returned in check mode when a key would be made.
  returned: when O(return_key) is V(true) and O(state=present)
  type: str
  sample: hskey-api-AAAAAAAAAAAA-VALUE_NOT_SHOWN
api_key:
  description: The key without its secret, as it is now, or as it would be in check mode. V(null) when there is none.
  returned: success
  type: dict
  sample:
    id: "1"
    prefix: AAAAAAAAAAAA
    expiration: "2026-05-01T12:00:00Z"
    created_at: "2026-01-31T12:00:00.123456789Z"
    last_seen: null
    expired: false
"""

import os
import typing as t

from ansible_collections.meshctl.headscale.plugins.module_utils import _files, _keys, _shapes
from ansible_collections.meshctl.headscale.plugins.module_utils._api import connect
from ansible_collections.meshctl.headscale.plugins.module_utils._cli import ApiKeyCommand
from ansible_collections.meshctl.headscale.plugins.module_utils._durations import format_moment, parse_duration
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import AuthError, BadInput
from ansible_collections.meshctl.headscale.plugins.module_utils._module import Task, check_id, run

if t.TYPE_CHECKING:
    from datetime import timedelta

    from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import Record


class _OverApi:
    """API keys through the HTTP API, with the same methods as `ApiKeyCommand`."""

    def __init__(self, task: Task) -> None:
        self.api = task.api
        self.now = self.api.now
        self.list_api_keys = self.api.list_api_keys
        self.expire_api_key = self.api.expire_api_key

    def create(self, expiration: str) -> str:
        return self.api.create_api_key(expiration=self.now() + parse_duration(expiration, option="expiration"))

    def delete(self, record: Record) -> None:
        self.api.delete_api_key(record["prefix"])


class ApiKey:
    """The key that the options describe."""

    def __init__(self, task: Task) -> None:
        """Look at what there is."""
        self.task = task
        self.options = task.options
        self.path: str = self.options["path"] or ""
        self.secret = _keys.kept_key(task, self.path, "api") if self.path else None
        self.server = self._command() if self.options["via"] == "cli" else self._over_api()
        self.all = self.server.list_api_keys()

    def _command(self) -> ApiKeyCommand:
        name = self.options["executable"]
        executable = self.task.module.get_bin_path(name)
        if executable is None:
            raise BadInput(f"executable is {name!r}, which is not on this host: via=cli works on the server's host.")
        return ApiKeyCommand(self.task.module.run_command, executable=executable, config=self.options["config"])

    def _over_api(self) -> _OverApi:
        given = self.options["api_key"] or self.options["api_key_file"]
        named = any(os.environ.get(name) for name in ("HEADSCALE_API_KEY", "HEADSCALE_API_KEY_FILE"))
        if not given and not named and self.secret:
            self.options["api_key_file"] = self.path
        try:
            return _OverApi(self.task)
        except BadInput as error:
            raise BadInput(f"{error} Create a server's first key with via=cli on its host.") from None

    # -- present

    def present(self) -> dict[str, t.Any]:
        """Keep the file's key where it will do, else replace it."""
        lifetime = parse_duration(self.options["expiration"], option="expiration")
        ahead = parse_duration(self.options["renew_before"], option="renew_before")
        _keys.check_ahead(ahead, lifetime)
        before = _keys.by_prefix(self.all, _shapes.key_prefix(self.secret)) if self.secret else None
        if before and self._will_do(before, ahead):
            self.task.keep_mode(self.path)
            return self._finish(before, before)
        _files.writable(self.path)
        promised = {"expiration": format_moment(self.server.now() + lifetime), "expired": False}
        return self._finish(before, self.task.write(lambda: self._replace(before)) or self._promise(promised))

    def _will_do(self, record: Record, ahead: timedelta) -> bool:
        return _keys.lasts(record, now=self.server.now(), ahead=ahead) and self._accepted()

    def _accepted(self) -> bool:
        """Whether the server takes the kept key, secret included; only HTTP can tell."""
        if not self.options["url"]:
            return True
        try:
            connect({**self.options, "api_key": self.secret}).list_api_keys()
        except AuthError:
            return False
        return True

    def _replace(self, before: Record | None) -> Record:
        secret = _keys.mint_into(self.task, self.path, mint=self._mint, discard=self._discard)
        after = self._by_prefix(_shapes.key_prefix(secret))
        if before and not before["expired"]:
            # With via=api this may end the very key in use, so it comes last.
            self.server.expire_api_key(before["id"])
        return after or {}

    def _mint(self) -> str:
        secret = self.server.create(self.options["expiration"])
        self.task.hide(secret)
        self.secret = secret
        return secret

    def _discard(self, prefix: str) -> None:
        if record := self._by_prefix(prefix):
            self.server.expire_api_key(record["id"])

    def _by_prefix(self, prefix: str) -> Record | None:
        return _keys.by_prefix(self.server.list_api_keys(), prefix)

    def _promise(self, promised: Record) -> Record:
        self.secret = None
        return promised

    # -- expired and absent

    def expired(self) -> dict[str, t.Any]:
        """See to it that the key is not accepted any more."""
        before = _keys.chosen(self.all, self.options, self.secret)
        if before is None:
            raise BadInput("There is no such API key on the server to expire: see api_key_info, or use state=absent.")
        after = before
        if not before["expired"]:
            self.task.write(lambda: self.server.expire_api_key(before["id"]))
            after = {**before, "expired": True, "expiration": format_moment(self.server.now())}
        return self._finish(before, after)

    def absent(self) -> dict[str, t.Any]:
        """Delete the key, and the file that held it."""
        before = _keys.chosen(self.all, self.options, self.secret)
        if before:
            self.task.write(lambda: self.server.delete(before))
        if self.path and self.secret:
            self.task.write(lambda: _files.remove(self.path))
        return self._finish(before, None)

    # -- result

    def _finish(self, before: Record | None, after: Record | None) -> dict[str, t.Any]:
        result = self.task.finish(before=before, after=after, api_key=after)
        if self.options["return_key"] and self.options["state"] == "present" and self.secret:
            self.task.reveal(self.secret)
            result["key"] = self.secret
        return result


def _handle(task: Task) -> dict[str, t.Any]:
    options = task.options
    check_id(options["id"])
    if options["state"] == "present" and (options["id"] or options["prefix"]):
        raise BadInput(
            "id and prefix name a key to expire or delete; with state=present name the file of the one to keep with path."
        )
    if options["state"] != "present" and not (options["id"] or options["prefix"] or options["path"]):
        raise BadInput(f"state={options['state']} needs id, prefix or path to know which API key is meant.")
    key = ApiKey(task)
    handlers = {"present": key.present, "expired": key.expired, "absent": key.absent}
    return handlers[options["state"]]()


def main() -> None:
    """Run the module."""
    run(
        _handle,
        options={
            "via": {"type": "str", "choices": ["api", "cli"], "default": "api"},
            "executable": {"type": "str", "default": "headscale"},
            "config": {"type": "path"},
            "path": {"type": "path"},
            "expiration": {"type": "str", "default": "90d"},
            "renew_before": {"type": "str", "default": "7d"},
            "id": {"type": "str"},
            "prefix": {"type": "str"},
            "return_key": {"type": "bool", "default": False, "no_log": False},
            "state": {"type": "str", "choices": ["present", "expired", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["path"])],
        mutually_exclusive=[("path", "id", "prefix")],
        add_file_common_args=True,
    )


if __name__ == "__main__":
    main()
