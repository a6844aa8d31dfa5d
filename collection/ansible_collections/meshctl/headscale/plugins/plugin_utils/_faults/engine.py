# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inject faults into a lab that is up, record them, and undo them.

The record in the lab's state directory is written *before* a fault is injected and holds the steps that undo it: `clear`
works after a crash, and after the catalogue has changed.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from .._host import limited
from .._judge.answer import addresses
from .._lab import supervisor
from .._lab.lab import Lab, environment
from .._lab.record import Record
from .._lab.supervisor import LabError, Process
from . import certificates
from .actors import Actors, assign_actors
from .catalogue import Fault, Step
from .record import Active, FaultError, Faults

_LIBRARY: Final = Path(__file__).with_name("lib.sh")
_DELAY: Final = Path(__file__).with_name("delay.py")
_PAUSE_S: Final = 0.2
_PREAUTHKEY: Final = """
user=$(headscale users list -o json | python3 -ISc 'import json, sys; print(json.load(sys.stdin)[0]["id"])')
headscale preauthkeys create --user "$user" --reusable --expiration 10m -o json |
    python3 -ISc 'import json, sys; print(json.load(sys.stdin)["key"])'
"""
# The key is reusable because a client that misses the answer asks again. It comes on standard input, so that no process
# list shows it.
_REJOIN: Final = """
umask 077
cat > /run/fault.key
trap 'rm -f /run/fault.key' EXIT
tailscale up --reset --force-reauth --login-server="$SERVER_URL" --auth-key=file:/run/fault.key --hostname="$HERE" \
    --accept-dns=true --timeout=25s
"""


class Engine:
    """Injects and undoes the faults of one lab."""

    def __init__(
        self,
        lab: Lab,
        *,
        variables: Mapping[str, str],
        up: Callable[[], None] | None = None,
        drill: Process | None = None,
    ) -> None:
        """Name the lab.

        :param variables: further variables of the scripts, from the inventory.
        :param up: brings lab and mesh up again; without it, steps that need that are left out.
        :param drill: the process that injects faults only to test the stories.
        """
        self._lab = lab
        self._up = up
        self._given = dict(variables)
        self._drill = drill
        self._faults = Faults(lab.directory)

    @property
    def actors(self) -> Actors:
        """Return the machine of each actor; raise `BadInput` or `FaultError`."""
        return assign_actors(self._record().topology)

    def active(self) -> list[Active]:
        """Return the faults that are in the lab, the latest last."""
        return self._faults.active()

    def inject(self, fault: Fault) -> Active:
        """Inject a fault; undo its first steps when a later one fails. Raise `FaultError`."""
        before = self.active()
        if any(entry.id == fault.id for entry in before):
            raise FaultError(
                f"the fault {fault.id} is already in the lab '{self._lab.name}'; `meshctl faults clear` undoes it"
            )
        active = Active(
            id=fault.id, title=fault.title, since=datetime.now(UTC).isoformat(timespec="seconds"), undo=fault.undo,
            variables=self._variables(), drill=(self._drill.pid, self._drill.started) if self._drill else None,
        )  # fmt: skip
        self._faults.write([*before, active])
        try:
            for step in fault.inject:
                self._do(step, active)
        except BaseException:
            self.clear([fault.id])
            raise
        return active

    def keep(self, name: str, title: str, undo: Sequence[Step]) -> None:
        """Record steps that bring the mesh back, under a name that is no fault's."""
        entry = Active(
            id=name, title=title, since=datetime.now(UTC).isoformat(timespec="seconds"), undo=tuple(undo),
            drill=(self._drill.pid, self._drill.started) if self._drill else None,
        )  # fmt: skip
        self._faults.write([*(known for known in self.active() if known.id != name), entry])

    def clear(self, ids: Sequence[str] | None = None) -> list[Active]:
        """Undo these faults, or all, the latest first; return those that could not be undone, with the problem."""
        chosen = [entry for entry in self.active() if ids is None or entry.id in ids]
        with _uninterrupted():
            for entry in reversed(chosen):
                problem = self._undo(entry)
                kept = [known for known in self.active() if known.id != entry.id]
                if problem:
                    kept.append(Active(**{**vars(entry), "problem": problem}))
                self._faults.write(kept)
        undone = {entry.id for entry in chosen}
        return [entry for entry in self.active() if entry.id in undone]

    @contextlib.contextmanager
    def injected(self, fault: Fault) -> Iterator[Active]:
        """Keep a fault in the lab while the block runs, and undo it in any case."""
        active = self.inject(fault)
        try:
            yield active
        finally:
            self.clear([fault.id])

    # -- one step ----------------------------------------------------------------------------------------------------

    def _undo(self, entry: Active) -> str:
        problems = []
        for step in entry.undo:
            try:
                self._do(step, entry)
            except (FaultError, LabError) as exc:
                problems.append(str(exc))
        return "; ".join(problems)

    def _do(self, step: Step, active: Active) -> None:
        if step.up:
            if self._up:
                self._up()
        elif step.rejoin:
            key = self._run("server", _PREAUTHKEY, active, seconds=step.seconds)
            self._run(step.at, _REJOIN, active, seconds=step.seconds, stdin=key)
        elif step.certificate:
            self._certify(step, active)
        elif step.until:
            self._await(step, active)
        else:
            self._run(step.at, step.run, active, seconds=step.seconds)

    def _await(self, step: Step, active: Active) -> None:
        deadline = time.monotonic() + step.seconds
        while True:
            try:
                self._run(step.at, step.until, active, seconds=step.seconds)
            except FaultError as exc:
                if time.monotonic() > deadline:
                    raise FaultError(
                        f"{active.id}: this did not succeed within {step.seconds:g} s: {step.until.strip()} ({exc})"
                    ) from None
                time.sleep(_PAUSE_S)
            else:
                return

    def _run(self, where: str, script: str, active: Active, *, seconds: float, stdin: str = "") -> str:
        command = ["/bin/sh", "-euc", _LIBRARY.read_text(encoding="utf-8") + script]
        here = active.variables.get(where.upper(), where)
        shown = " ".join(script.split())[:160]
        try:
            done = limited.output(
                self._entered(where, here, command), stdin=stdin.encode(), seconds=seconds,
                environment={**environment(), **active.variables, "HERE": here}, new_session=True,
            )  # fmt: skip
        except OSError as exc:
            raise FaultError(f"{active.id}: {here}: {exc.strerror}: {shown}") from None
        if done.exceeded:
            raise FaultError(f"{active.id}: {here} {done.exceeded}: {shown}")
        if done.status:
            said = " | ".join(done.errors.strip().splitlines()[:2])[:300] or f"exit {done.status}"
            raise FaultError(f"{active.id}: {here}: {said}: {shown}")
        return done.output

    def _entered(self, where: str, machine: str, command: Sequence[str]) -> list[str]:
        if where == "controller":
            return list(command)
        if where != "fabric":
            return self._lab.enter(machine, command)
        init = supervisor.first_process(self._lab.directory)
        if init is None:
            raise FaultError(self._lab.missing())
        return supervisor.enter(init.pid, command)

    def _certify(self, step: Step, active: Active) -> None:
        """Install a certificate of the step's kind on a machine."""
        machine = active.variables[step.at.upper()]
        own = self._lab.directory / "tls" / machine
        certificate, key = (own / "cert.pem").read_text("utf-8"), (own / "key.pem").read_text("utf-8")
        if step.certificate != "own":
            names = self._record().topology["machines"][machine]["names"]
            certificate, key = certificates.issue(step.certificate, self._lab.directory, names)
        for name, content in (("cert", certificate), ("key", key)):
            script = f"umask 077; cat > /etc/meshctl/tls/{name}.pem"
            self._run(step.at, script, active, seconds=step.seconds, stdin=content)

    # -- variables ---------------------------------------------------------------------------------------------------

    def _record(self) -> Record:
        record = self._lab.record
        if record is None:
            raise FaultError(self._lab.missing())
        return record

    def _variables(self) -> dict[str, str]:
        """Return the variables of the scripts."""
        record = self._record()
        found = assign_actors(record.topology).variables(record.topology)
        found |= {**self._given, "LAB_DIR": str(self._lab.directory), "FAULT_DELAY": str(_DELAY)}
        for actor in ("a", "b", "c"):
            known = self._mesh_addresses(found[actor.upper()])
            found |= {f"{actor.upper()}_MESH{6 if ':' in address else 4}": address for address in known}
        return found

    def _mesh_addresses(self, machine: str) -> list[str]:
        try:
            entered = self._lab.enter(machine, ["tailscale", "ip"])
        except LabError:
            return []
        done = limited.output(entered, seconds=10, environment=environment())
        # One line for each address.
        return [] if done.status or done.exceeded else addresses(done.output.split(maxsplit=2)[:2])


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Defer Ctrl-C and termination until the block has ended."""
    heard: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda found, _frame: heard.append(found)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if heard:
            signal.raise_signal(heard[0])
