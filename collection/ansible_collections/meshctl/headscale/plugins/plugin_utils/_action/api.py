# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the modules of Headscale's API on the controller, and only their requests on the host.

A module that Ansible sends to a host costs half a second of CPU there, most of it for code that the module does not need.
"""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, cast

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase

from ...module_utils import _module
from ...module_utils._api import HeadscaleAPI
from ...module_utils._errors import HeadscaleError
from ...module_utils._http import Reply, date_of
from ...module_utils._plain import plain
from .._host.foreign import cleaned
from .._host.package import source_of
from .._host.remote import RemoteError, run_script

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible.module_utils.basic import AnsibleModule

_MODULES: Final = "ansible_collections.meshctl.headscale.plugins.modules"
_NEEDED: Final = ("url", "api_key_file")
# These change how a request is made: such tasks are left to the module.
_SPECIAL: Final = ("api_key", "ca_path", "ca_file", "validate_certs", "timeout", "use_proxy")
_REFUSED: Final = (401, 403)
_TIMEOUT_S: Final = 10.0
_LARGEST: Final = 4_000_000


class _LeaveToModule(Exception):
    """The module must do it, or say why it cannot be done."""


class ApiAction(ActionBase):
    """Do what the module of the same name does.

    Whatever is unusual is left to the module, which looks at everything afresh: it has all options, and explains what goes wrong.
    """

    MODULE: ClassVar[str]
    # Options that are about files on the host.
    ON_HOST: ClassVar[tuple[str, ...]] = ()
    # Whether the result says when the change began.
    TIMED: ClassVar[bool] = False

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        run = _Run(self)
        if self.TIMED:
            result["started_at"] = time.time()
        options = {**self._trust(task_vars or {}), **self._task.args}
        try:
            return {**result, **run.result(self._direct(plain(options)))}
        except _LeaveToModule:
            done, _dropped = cleaned(
                self._execute_module(module_args=options, task_vars=task_vars, wrap_async=bool(self._task.async_val))
            )
            # A change whose answer was lost is there when the module looks.
            return {**result, **done, **({"changed": True} if run.changed and not done.get("failed") else {})}

    def _trust(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the option that the inventory gives all tasks, unless the task has it itself."""
        given = variables.get("mesh_ca_path")
        if not given or any(name in self._task.args for name in ("ca_path", "ca_file")):
            return {}
        found = self._templar.template(given)
        return {"ca_path": found} if found else {}

    def _direct(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the module's options; raise `_LeaveToModule` if it must run on the host."""
        usual = all(options.get(name) for name in _NEEDED) and not any(
            name in options for name in (*_SPECIAL, *self.ON_HOST)
        )
        if not usual or not str(options["url"]).startswith("https://"):
            raise _LeaveToModule
        if self._task.async_val or any(self._task.environment or ()):
            raise _LeaveToModule
        specification = _module.whole(**import_module(f"{_MODULES}.{self.MODULE}").SPECIFICATION)
        specification.pop("add_file_common_args", None)
        checked = ArgumentSpecValidator(**specification).validate(options)
        if checked.error_messages or checked.unsupported_parameters:
            raise _LeaveToModule
        return dict(plain(checked.validated_parameters))


class _Run:
    """One run of a module's code, which takes this for its `AnsibleModule`, and for what sends its requests."""

    def __init__(self, action: ApiAction) -> None:
        self._action = action
        self.check_mode = bool(action._task.check_mode)
        self.no_log_values: set[str] = set()
        self.params: dict[str, Any] = {}
        self.warnings: list[str] = []
        self._task: _module.Task | None = None

    @property
    def changed(self) -> bool:
        """Whether a change was tried."""
        return bool(self._task and self._task.changed and not self.check_mode)

    def warn(self, message: str) -> None:
        """Keep a warning for the result."""
        if message not in self.warnings:
            self.warnings.append(message)

    def result(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the result of the module's code."""
        self.params = options
        handle = import_module(f"{_MODULES}.{self._action.MODULE}").handle
        try:
            # The key is on the host.
            api = HeadscaleAPI(url=options["url"], api_key="none", sender=self)
            self._task = _module.Task(cast("AnsibleModule", self), api=api)
            found: dict[str, Any] = handle(self._task)
        except HeadscaleError as exc:
            found = {"failed": True, "changed": False, "msg": str(exc)}
        if self.warnings:
            found["warnings"] = self.warnings
        return dict(remove_values(found, self.no_log_values))

    def send(self, method: str, url: str, *, headers: dict[str, str], body: bytes | None) -> Reply:
        """Make one request on the host."""
        request = {
            "method": method,
            "url": url,
            "headers": {name: value for name, value in headers.items() if name != "Authorization"},
            "body": None if body is None else body.decode(),
            "api_key_file": self.params["api_key_file"],
            "timeout": _TIMEOUT_S,
            "largest": _LARGEST,
        }
        try:
            answer = run_script(self._action, source_of("call"), request, deadline_s=_TIMEOUT_S)
        except (RemoteError, AnsibleConnectionFailure):
            self._leave()
        status, told = answer.get("status"), answer.get("headers")
        if not isinstance(status, int) or not isinstance(told, dict) or status in _REFUSED:
            self._leave()
        if answer.get("exposed"):
            self.warn(_module.EXPOSED.format(path=self.params["api_key_file"]))
        return Reply(
            status=status,
            content_type=str(told.get("Content-Type") or "").split(";", maxsplit=1)[0].strip().lower(),
            body=str(answer.get("body") or ""),
            location=str(told.get("Location") or ""),
            date=date_of(str(told.get("Date") or "")),
        )

    @staticmethod
    def _leave() -> NoReturn:
        raise _LeaveToModule
