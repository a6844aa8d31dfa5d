# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Injects faults into a standing lab, remembers them, and undoes them.

What was injected is recorded in the lab's state directory *before* anything is done, with the steps that undo it: `clear`
works after a crash, and when the catalogue has changed since.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from .._lab import supervisor
from .._lab.lab import Lab, environment
from .._lab.record import Record
from .._lab.supervisor import LabError
from .actors import Roles, assign_actors
from .catalogue import Fault, Step

_LIBRARY: Final = Path(__file__).with_name("lib.sh")
_DELAY: Final = Path(__file__).with_name("delay.py")
_PAUSE_S: Final = 0.2
_PREAUTHKEY: Final = """
user=$(headscale users list -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')
headscale preauthkeys create --user "$user" --reusable --expiration 10m -o json |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["key"])'
"""
# Reusable: a client that is in doubt whether it was heard asks twice. The key comes on standard input and is in no list of processes.
_REJOIN: Final = """
umask 077
cat > /run/fault.key
trap 'rm -f /run/fault.key' EXIT
tailscale up --reset --force-reauth --login-server="$SERVER_URL" --auth-key=file:/run/fault.key --hostname="$HERE" \
    --accept-dns=true --timeout=25s
"""


class FaultError(RuntimeError):
    """A fault cannot be injected or undone; the message says which, where and why."""


@dataclass(frozen=True, kw_only=True)
class Active:
    """A fault that is in a lab now."""

    id: str
    title: str
    since: str
    undo: tuple[Step, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    """Why it could not be undone."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for the record."""
        return {**vars(self), "undo": [step.as_dict() for step in self.undo], "variables": dict(self.variables)}

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Active:
        """Return a fault from the record."""
        return cls(**{**data, "undo": tuple(Step(**step) for step in data["undo"])})


class Engine:
    """Breaks one lab, and mends it."""

    def __init__(self, lab: Lab, *, up: Callable[[], None], variables: Mapping[str, str]) -> None:
        """Name the lab; `up` brings lab and mesh up again, and scripts also know these variables of the inventory."""
        self._lab = lab
        self._up = up
        self._given = dict(variables)
        self._path = lab.directory / "faults.json"

    @property
    def roles(self) -> Roles:
        """Return which machine plays which part; raise `FaultError`."""
        return assign_actors(self._record().topology)

    def active(self) -> list[Active]:
        """Return the faults that are in the lab, the latest last."""
        try:
            return [Active.read(entry) for entry in json.loads(self._path.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise FaultError(
                f"{self._path} cannot be read ({exc}): `meshctl down` and `meshctl up` make a sound lab"
            ) from None

    def inject(self, fault: Fault) -> Active:
        """Break the lab; what was begun is undone when it cannot be done. Raise `FaultError`."""
        before = self.active()
        if any(entry.id == fault.id for entry in before):
            raise FaultError(f"{fault.id} is in the lab '{self._lab.name}' already; `meshctl faults clear` undoes it")
        active = Active(
            id=fault.id, title=fault.title, since=datetime.now(UTC).isoformat(timespec="seconds"), undo=fault.undo,
            variables=self._variables(),
        )  # fmt: skip
        self._write([*before, active])
        try:
            for step in fault.inject:
                self._do(step, active)
        except BaseException:
            self.clear(fault.id)
            raise
        return active

    def clear(self, fault_id: str | None = None) -> list[Active]:
        """Undo a fault, or all, the latest first; return those that could not be undone, with the problem."""
        chosen = [entry for entry in self.active() if fault_id in (None, entry.id)]
        with _uninterrupted():
            for entry in reversed(chosen):
                problem = self._undo(entry)
                kept = [known for known in self.active() if known.id != entry.id]
                if problem:
                    kept.append(Active(**{**vars(entry), "problem": problem}))
                self._write(kept)
        ids = {entry.id for entry in chosen}
        return [entry for entry in self.active() if entry.id in ids]

    @contextlib.contextmanager
    def injected(self, fault: Fault) -> Iterator[Active]:
        """Have a fault in the lab while the block runs; undone whatever happens."""
        active = self.inject(fault)
        try:
            yield active
        finally:
            self.clear(fault.id)

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
                        f"{active.id}: not within {step.seconds:g} s: {step.until.strip()} ({exc})"
                    ) from None
                time.sleep(_PAUSE_S)
            else:
                return

    def _run(self, where: str, script: str, active: Active, *, seconds: float, stdin: str = "") -> str:
        command = ["/bin/sh", "-euc", _LIBRARY.read_text(encoding="utf-8") + script]
        here = active.variables.get(where.upper(), where)
        shown = " ".join(script.split())[:160]
        try:
            done = subprocess.run(
                self._entered(where, here, command), input=stdin, capture_output=True, text=True, timeout=seconds,
                check=False, env={**environment(), **active.variables, "HERE": here}, start_new_session=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise FaultError(f"{active.id}: {here} did not end within {seconds:g} s: {shown}") from None
        if done.returncode:
            said = " | ".join(done.stderr.strip().splitlines()[:2]) or f"exit {done.returncode}"
            raise FaultError(f"{active.id}: {here}: {said}: {shown}")
        return done.stdout

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
        """Have a machine serve a certificate that is sound, expired, not valid yet, or of an authority that nobody knows."""
        machine = active.variables[step.at.upper()]
        own = self._lab.directory / "tls" / machine
        certificate, key = (own / "cert.pem").read_text("utf-8"), (own / "key.pem").read_text("utf-8")
        if step.certificate != "own":
            names = self._record().topology["machines"][machine]["names"]
            certificate, key = _certificate(step.certificate, self._lab.directory, names)
        for name, content in (("cert", certificate), ("key", key)):
            script = f"umask 077; cat > /etc/meshctl/tls/{name}.pem"
            self._run(step.at, script, active, seconds=step.seconds, stdin=content)

    # -- what is known -----------------------------------------------------------------------------------------------

    def _record(self) -> Record:
        record = self._lab.record
        if record is None:
            raise FaultError(self._lab.missing())
        return record

    def _variables(self) -> dict[str, str]:
        """Return what the scripts know of the lab."""
        record = self._record()
        found = assign_actors(record.topology).variables(record.topology)
        found |= {**self._given, "LAB_DIR": str(self._lab.directory), "FAULT_DELAY": str(_DELAY)}
        for role in ("a", "b", "c"):
            known = self._mesh_addresses(found[role.upper()])
            found |= {f"{role.upper()}_MESH{6 if ':' in address else 4}": address for address in known}
        return found

    def _mesh_addresses(self, machine: str) -> list[str]:
        try:
            done = subprocess.run(
                self._lab.enter(machine, ["tailscale", "ip"]), capture_output=True, text=True, timeout=10, check=False,
                env=environment(), stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except (LabError, subprocess.TimeoutExpired):
            return []
        return done.stdout.split() if done.returncode == 0 else []

    def _write(self, entries: Sequence[Active]) -> None:
        if not entries:
            self._path.unlink(missing_ok=True)
            return
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps([entry.as_dict() for entry in entries], indent=1) + "\n", encoding="utf-8")
        fresh.replace(self._path)


def _certificate(kind: str, directory: Path, names: Sequence[str]) -> tuple[str, str]:
    import trustme  # only faults of certificates need it

    authority = trustme.CA(organization_name="somebody else")
    lifetime: dict[str, Any] = {}
    if kind != "foreign":
        authority = trustme.CA.from_pem((directory / "ca.pem").read_bytes(), (directory / "ca.key").read_bytes())
        days = {"expired": (-90, -1), "early": (1, 90)}[kind]
        lifetime = {
            name: datetime.now(UTC) + timedelta(days=count)
            for name, count in zip(("not_before", "not_after"), days, strict=True)
        }
    made = authority.issue_cert(*names, **lifetime)
    chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
    return chain.decode(), made.private_key_pem.bytes().decode()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Finish what is being mended before Ctrl-C is heard."""
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
