# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assert that a service is found nowhere else; see the module of the same name."""

from __future__ import annotations

from dataclasses import replace
from secrets import randbelow
from typing import TYPE_CHECKING, Any, ClassVar

from ..plugin_utils._action.assertion import Assertion, NotAsserted
from ..plugin_utils._action.options import COMMON
from ..plugin_utils._action.probing import Request
from ..plugin_utils._expectations import service
from ..plugin_utils._expectations.subnets import published
from ..plugin_utils._expectations.view import is_lab
from ..plugin_utils._judge.observations import KNOCK
from ..plugin_utils._judge.private import Place, Private, judge_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..plugin_utils._judge.answer import Json
    from ..plugin_utils._judge.check import Check

_FIRST_CHOSEN, _LAST_PORT = 1024, 65535
_MOST_ATTEMPTS = 600
_REQUEST = "GET / HTTP/1.0\r\nHost: service\r\nConnection: close\r\n\r\n"


class ActionModule(Assertion):
    """Ask the ports of other places for the service's page."""

    ASSERTION = "private"
    DEADLINE_S = 8.0
    LOOK_S = 6.0
    SHORTEST_LOOK_S = 4.0
    ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {**COMMON, "ports": {"type": "list", "elements": "int"}}

    def prepare(self) -> None:
        """Decide where the page must not be."""
        host, port = self.setting("service_host"), int(self.setting("service_port"))
        ports, chosen = self._ports(port)
        routers = service.routers(self)
        places = {**service.other_addresses(self), **routers}
        # In large meshes each place is tried on some of the ports.
        total = max(1, sum(map(len, places.values())))
        count = max(1, min(len(ports), _MOST_ATTEMPTS // (2 * total)))
        found = []
        for turn, (name, addresses) in enumerate(places.items()):
            start = turn * count % len(ports)
            some = [*ports, *ports][start : start + count]
            tried = tuple(
                (address, protocol, one)
                for address in addresses
                for protocol in ("tcp", "udp")
                for one in some
                if one not in self._expected(name, protocol, host, port)
            )
            found.append(Place(name=name, tried=tried))
        self._own_addresses = service.own_addresses(self)
        self._listens = is_lab(self) and bool(self._own_addresses) and not self.options["ports"]
        self._but = [port] if self.host == host else []
        member = self.host in self.group("clients") and self.host != host
        known = service.mesh_addresses(self, host)
        self._expect = Private(
            service=host,
            places=tuple(place for place in found if place.tried),
            own=(known[0], port) if member and known else None,
            routers=frozenset(routers),
            chosen=chosen,
            listeners=self._listens,
        )
        if not self._expect.places:
            raise NotAsserted("no other host or router has a known address")

    def _ports(self, port: int) -> tuple[list[int], int]:
        """Return the ports to try, and the one among them that this run has chosen at random."""
        if not self.setting("service_body"):
            raise NotAsserted("without mesh_service_body, the service's page cannot be distinguished from others")
        if given := self.options["ports"]:
            return list(dict.fromkeys(given)), 0
        if is_lab(self):
            chosen = _FIRST_CHOSEN + randbelow(_LAST_PORT - _FIRST_CHOSEN)
            return list(dict.fromkeys([port, *self.setting("isolated_ports"), chosen])), chosen
        if named := self.setting("probe_ports"):
            return list(dict.fromkeys(named)), 0
        raise NotAsserted("existing hosts are tried only on ports that the inventory names: set mesh_probe_ports")

    def _expected(self, name: str, protocol: str, host: str, port: int) -> set[int]:
        """Return the ports where something else is tested, or may lead to anything."""
        if name == host:
            return {port}
        hidden = service.behind(self, name) if name in service.routers(self) else []
        if not hidden:
            return set()
        return {*published(self, hidden[0], protocol), *({port} if host in hidden else ())}

    def _attempts(self, pending: frozenset[str | None] | None) -> Iterator[Request]:
        for place in self._expect.places:
            if pending is None or place.name in pending:
                for address, protocol, port in place.tried:
                    yield {"host": address, "protocol": protocol, "port": port}
        if self._expect.own:
            yield {"host": self._expect.own[0], "protocol": "tcp", "port": self._expect.own[1]}

    def observe(self, pending: frozenset[str | None] | None) -> list[Request]:
        """Ask every port for the page, those on which this host listens as well, and the service itself."""
        request: Request = {"id": KNOCK, "kind": "knock", "send": _REQUEST, "find": self.setting("service_body")}
        if self._listens and (pending is None or self.host in pending):
            request["own"] = {"addresses": self._own_addresses, "but": self._but}
        return [{**request, "targets": list(self._attempts(pending)), "try_timeout_s": 1.0 * self.patience}]

    def judge(self, answer: Json) -> list[Check]:
        """Judge where the page was found."""
        expect = replace(self._expect, patient=self.elapsed_s < self.deadline_s)
        return judge_private(answer, self.context, expect)
