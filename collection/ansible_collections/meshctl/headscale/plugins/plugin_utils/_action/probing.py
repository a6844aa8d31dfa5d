# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Actions that examine their host through the probe."""

from __future__ import annotations

import functools
import os
import time
from typing import TYPE_CHECKING, Any, ClassVar

from ansible import constants as C
from ansible import context
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from ...module_utils._errors import BadInput
from ...module_utils._plain import plain
from .._host.package import script_of
from .._host.remote import RemoteError, run_script
from .._judge.answer import Json
from .._judge.saturation import Load, load_of
from . import client_silence, silence
from .pacing import Pace, pace_of, watch_of
from .view import HostView

if TYPE_CHECKING:
    from collections.abc import Sequence

Request = dict[str, Any]

# A host that cannot keep its pace gets so many times longer.
_SLACK = 3.0

PROBE = script_of("probe")


class ProbingAction(HostView, ActionBase):
    """An action that examines its host through the probe."""

    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {}
    ALONE: ClassVar[bool] = False
    """Whether no other host of the play is probed at the same time."""

    _supports_check_mode = True
    _supports_async = False

    options: dict[str, Any]
    load = Load()
    """How busy the host was when it was last probed."""
    paced_s = 0.0
    """For how many seconds probes were slower than they could be, for the pace."""
    _silence: dict[str, Any] | None = None
    _client_silence: dict[str, Any] | None = None

    def start(self, task_vars: dict[str, Any] | None) -> None:
        """Read the task's options; raise `BadInput`."""
        self.known = task_vars or {}
        self.host = str(self.known.get("inventory_hostname") or "localhost")
        checked = ArgumentSpecValidator(self.ARGUMENTS).validate(dict(self._task.args))
        if checked.unsupported_parameters:
            # An option of the task is text, an option inside another option is a path.
            paths = ((path,) if isinstance(path, str) else path for path in checked.unsupported_parameters)
            names = ", ".join(sorted(".".join(path) for path in paths))
            raise BadInput(f"there is no option {names}: the options are {', '.join(sorted(self.ARGUMENTS))}")
        if checked.error_messages:
            raise BadInput("; ".join(str(message) for message in checked.error_messages))
        self.options = plain(checked.validated_parameters)
        for name in ("deadline", "interval"):
            if (given := self.options.get(name)) is not None and given < 0:
                raise BadInput(f"{name} is {given:g}: it must not be less than 0 seconds")

    def probe(self, requests: Sequence[Request], *, seconds: float) -> dict[str, Any]:
        """Return the probe's answer; a failure of the probe is part of the answer."""
        paced, more = self.pace.requests([self._completed(request) for request in requests])
        began = time.monotonic()
        answer = self._probe_host(paced, seconds + _SLACK * more)
        self.paced_s += more
        self.load = load_of(answer)
        self.note_silence(answer)
        self._note_client(answer, seconds=min(time.monotonic() - began, seconds))
        return answer

    @functools.cached_property
    def pace(self) -> Pace:
        """Return what the probe of this host may do while others are probed."""
        forks = context.CLIARGS.get("forks") or C.config.get_config_value("DEFAULT_FORKS")
        hosts = [self.host] if self.ALONE else list(self.known.get("ansible_play_hosts_all") or [self.host])
        place = hosts.index(self.host) if self.host in hosts else 0
        return pace_of(shared=self._shared, cores=_cores(), hosts=len(hosts), forks=int(forks), place=place)

    def watch_per_second(self, nodes: int) -> float:
        """Return how many pings per second all hosts together may send all the time in a mesh of so many nodes."""
        return watch_of(shared=self._shared, cores=_cores(), nodes=nodes)

    @property
    def _shared(self) -> bool:
        """Whether the hosts share this computer's cores."""
        return bool(self.setting("backend") != "hosts")

    def _probe_host(self, asked: list[Request], seconds: float) -> dict[str, Any]:
        known = self.variable(silence.FACT)
        if reason := silence.reason(known, self.variable("mesh_story")):
            return {"host": {}, "observations": {}, "failure": {"type": "silent", "message": reason, "stderr": ""}}
        try:
            request = {"observe": asked, "deadline_s": seconds}
            return run_script(self, PROBE, request, deadline_s=seconds, patient=not silence.suspect(known))
        except RemoteError as exc:
            return {"host": {}, "observations": {}, "failure": exc.as_dict()}

    def note_silence(self, answer: dict[str, Any], *, in_vain: bool = False) -> None:
        """Note whether the host answered, for later tasks of the story."""
        known = self.variable(silence.FACT) if self._silence is None else self._silence
        found = silence.remember(known, self.variable("mesh_story"), answer, in_vain=in_vain)
        self._silence = self._silence if found is None else found

    def with_silence(self, result: dict[str, Any]) -> dict[str, Any]:
        """Return the task's result with what later tasks need to know."""
        noted = {silence.FACT: self._silence, client_silence.FACT: self._client_silence}
        facts = {name: fact for name, fact in noted.items() if fact is not None}
        return {**result, "ansible_facts": {**(result.get("ansible_facts") or {}), **facts}} if facts else result

    def _note_client(self, answer: dict[str, Any], *, seconds: float) -> None:
        """Note whether the host's tailscaled answered, for later tasks of the story."""
        story, patience = self.variable("mesh_story"), self._client_patience
        found = client_silence.remember(self._known_client, story, answer, seconds=seconds, patience=patience)
        self._client_silence = self._client_silence if found is None else found

    def give_client_up(self, *, looks: int, seconds: float) -> None:
        """Note that an assertion has asked so many times, and has failed."""
        found = client_silence.give_up(self._known_client, looks=looks, seconds=seconds, patience=self._client_patience)
        self._client_silence = self._client_silence if found is None else found

    @property
    def _known_client(self) -> Json:
        return self.variable(client_silence.FACT) if self._client_silence is None else self._client_silence

    @property
    def _client_patience(self) -> float:
        return float(self.setting("patience") * self.load.patience)

    def _completed(self, request: Request) -> Request:
        """Add to a request where tailscaled listens, or why it is not asked."""
        where = self.options.get("socket") or self.variable("mesh_tailscaled_socket")
        steps: Request = {
            key: [self._completed(step) for step in request[key]] for key in ("steps", "during") if key in request
        }
        more = {"socket": where} if where else {}
        if client_silence.asks_client(request) and (why := self._client_reason):
            more[client_silence.WITHHELD] = why
        return {**more, **request, **steps}

    @functools.cached_property
    def _client_reason(self) -> str:
        return client_silence.reason(self.variable(client_silence.FACT), self.variable("mesh_story"))


def _cores() -> int:
    return len(os.sched_getaffinity(0))
