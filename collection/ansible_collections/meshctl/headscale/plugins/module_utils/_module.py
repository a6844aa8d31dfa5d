# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all modules share: options, one guarded write, one place where errors end."""

from __future__ import annotations

import os
import stat
import typing as t
from pathlib import Path

from ansible.module_utils import basic
from ansible.module_utils.basic import env_fallback
from ansible_collections.meshctl.headscale.plugins.module_utils import _files
from ansible_collections.meshctl.headscale.plugins.module_utils._api import HeadscaleAPI, connect
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput, HeadscaleError
from ansible_collections.meshctl.headscale.plugins.module_utils._home import expanded

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.meshctl.headscale.plugins.module_utils._shapes import Json

_Written = t.TypeVar("_Written")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
OWNER_ONLY = "0600"
EXPOSED = "The API key in {path} can be read by users other than its owner: its mode should be 0600."


def connection_arguments() -> dict[str, dict[str, t.Any]]:
    """Return the options that say where the server is."""
    return {
        "url": {"type": "str", "fallback": (env_fallback, ["HEADSCALE_URL"])},
        # `find_api_key` asks the environment for it: a fallback here would contradict an explicit api_key_file.
        "api_key": {"type": "str", "no_log": True},
        "api_key_file": {"type": "path", "no_log": False},
        "ca_path": {"type": "path", "aliases": ["ca_file"], "fallback": (env_fallback, ["HEADSCALE_CA_PATH"])},
        "validate_certs": {"type": "bool", "default": True, "fallback": (env_fallback, ["HEADSCALE_VALIDATE_CERTS"])},
        "timeout": {"type": "float", "default": 10.0, "fallback": (env_fallback, ["HEADSCALE_TIMEOUT"])},
        "use_proxy": {"type": "bool", "default": True},
    }


class Task:
    """One run of a module: its options, its server, what it changes."""

    def __init__(self, module: basic.AnsibleModule, *, api: HeadscaleAPI | None = None) -> None:
        """Take over the module's options; without `api`, they say where the server is."""
        self.module = module
        self.options: dict[str, t.Any] = module.params
        self.changed = False
        self._api = api

    @property
    def api(self) -> HeadscaleAPI:
        """The server that the options name."""
        if self._api is None:
            self._api = connect(self.options)
            self.hide(self._api.api_key)
            self._warn_of_readers(self.options["api_key_file"])
        return self._api

    def hide(self, secret: str) -> None:
        """Keep a secret out of everything that the module prints."""
        self.module.no_log_values.add(secret)

    def reveal(self, secret: str) -> None:
        """Let a secret be printed after all, unless it came as an option: the invocation is printed as well."""
        if secret not in self.options.values():
            self.module.no_log_values.discard(secret)

    def write(self, call: Callable[[], _Written]) -> _Written | None:
        """Change something, unless in check mode: every write of every module goes through here."""
        self.changed = True
        return None if self.module.check_mode else call()

    def write_key_file(self, path: str, secret: str) -> None:
        """Put a key where only its owner reads it (call within `write`)."""
        _files.write_secret(path, secret)
        self.keep_mode(path)

    def keep_mode(self, path: str) -> None:
        """Give a key's file the owner, group and mode of the options, 0600 where they say nothing."""
        full = str(expanded(path))
        if not Path(full).exists():
            return
        options = {**self.options, "mode": self.options.get("mode") or OWNER_ONLY}
        wanted = self.module.load_file_common_arguments(options, path=full)
        self.changed = self.module.set_fs_attributes_if_different(wanted, self.changed)

    def finish(self, *, before: Json = None, after: Json = None, **result: Json) -> dict[str, t.Any]:
        """Return a module's result."""
        return {"changed": self.changed, "diff": {"before": before or {}, "after": after or {}}, **result}

    def _warn_of_readers(self, path: str | None) -> None:
        if path and os.path.exists(path) and Path(path).stat().st_mode & _OTHERS:  # noqa: PTH110 - unreadable parents
            self.module.warn(EXPOSED.format(path=path))


def whole(*, options: dict[str, dict[str, t.Any]], **specification: Json) -> dict[str, t.Any]:
    """Return the specification of a module's arguments, with those that say where the server is."""
    exclusive = [("api_key", "api_key_file"), *specification.pop("mutually_exclusive", [])]
    return {"argument_spec": {**connection_arguments(), **options}, "mutually_exclusive": exclusive, **specification}


def run(
    handler: Callable[[Task], dict[str, t.Any]],
    *,
    options: dict[str, dict[str, t.Any]],
    **specification: Json,
) -> t.NoReturn:
    """Run a module; the one place where an error becomes its message."""
    # Through its module: linters replace the class there with one that stops before anything is done.
    module = basic.AnsibleModule(supports_check_mode=True, **whole(options=options, **specification))
    try:
        result = handler(Task(module))
    except HeadscaleError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


def check_id(value: str | None, *, option: str = "id") -> None:
    """Refuse an id that is none."""
    if value is not None and not (value.isascii() and value.isdigit()):
        raise BadInput(f"{option} is {value!r}: it must be a number, as the _info module lists it.")


def check_tags(tags: list[str] | None) -> None:
    """Refuse tags that Headscale would refuse."""
    for tag in tags or []:
        if not tag.startswith("tag:") or tag != tag.lower() or len(tag.split()) != 1 or tag == "tag:":
            raise BadInput(f"tags contains {tag!r}: a tag looks like tag:server, in lower case and without spaces.")
