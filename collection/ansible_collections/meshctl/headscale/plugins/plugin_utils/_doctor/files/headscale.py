# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Let Headscale itself read the files, on a copy without secrets, relays and other servers, so that it contacts nothing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....module_utils import _hujson
from ....module_utils._errors import BadInput
from ..._policy import Node
from .. import log_lines
from .policy_mesh import Mesh, decidable

if TYPE_CHECKING:
    from .settings import Settings

_LONGEST_S = 15.0
_MOST = 64 << 10
_BYPASS = "--bypass-grpc-and-access-database-directly"
_FAILED_TESTS = "test(s) failed"
_LEVEL = re.compile(r"\S+ (?:FTL|ERR) (?:\S+ > )?|Error: ")
# They name secrets, other servers, or files that need not exist here.
_LEFT_OUT = (
    "acme_url", "cli.address", "cli.api_key", "derp.paths", "derp.urls", "dns.extra_records_path", "oidc.client_secret",
    "oidc.client_secret_path", "oidc.issuer", "policy.path", "tls_cert_path", "tls_key_path", "tls_letsencrypt_cache_dir",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What Headscale says of a file: empty if it takes it, None if it could not be asked."""

    config: str | None = None
    policy: str | None = None
    why_not: str = ""


def ask(program: str, settings: Settings | None, policy: str, mesh: Mesh | None = None) -> Answer:
    """Return what Headscale says of the configuration and the policy, each if it is given."""
    with tempfile.TemporaryDirectory(prefix="meshctl-doctor-") as name:
        directory = Path(name)
        try:
            return _Asking(program, directory).ask(settings, policy, mesh or Mesh())
        except (OSError, subprocess.SubprocessError) as exc:
            return Answer(why_not=" ".join(str(exc).replace(name, "…").split()))


class _Asking:
    def __init__(self, program: str, directory: Path) -> None:
        self._program, self._directory = program, directory

    def ask(self, settings: Settings | None, policy: str, mesh: Mesh) -> Answer:
        config = self._configtest(copy_of(settings, self._directory)) if settings else None
        if not policy:
            return Answer(config)
        # The policy is checked by itself: a broken configuration must not hide what is wrong with it.
        plain = copy_of(None, self._directory)
        if problem := self._configtest(plain):
            return Answer(config, why_not=problem)
        document = _hujson.parse(policy)
        nodes = mesh.nodes(document)
        self._fill(nodes)
        said = self._check(policy)
        if _FAILED_TESTS in said:
            # The made-up nodes do not have the addresses that the policy names.
            with contextlib.suppress(BadInput):
                said = self._check(_json(decidable(document, nodes)))
        return Answer(config, said)

    def _check(self, policy: str) -> str:
        file = self._directory / "policy.hujson"
        file.write_text(policy, encoding="utf-8")
        return self._run("policy", "check", "--file", str(file), _BYPASS, "--force")

    def _configtest(self, data: dict[str, Any]) -> str:
        import yaml

        (self._directory / "config.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
        return self._run("configtest")

    def _fill(self, nodes: Sequence[Node]) -> None:
        """Put the sample's users and nodes into the database, so that the policy's tests have something to be about."""
        now = "2026-01-01 00:00:00+00:00"
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(contextlib.closing(sqlite3.connect(self._directory / "db.sqlite")))
            stack.enter_context(database)
            for number, node in enumerate(nodes, start=1):
                if node.user:
                    database.execute(
                        "insert into users (id, name, email, created_at, updated_at) values (?, ?, ?, ?, ?)",
                        (int(node.user.number), node.user.name, node.user.email, now, now),
                    )
                database.execute(
                    "insert into nodes (id, machine_key, node_key, disco_key, endpoints, host_info, ipv4, ipv6, hostname, given_name,"
                    " user_id, register_method, tags, approved_routes, created_at, updated_at)"
                    " values (?, ?, ?, ?, '[]', '{}', ?, ?, ?, ?, ?, 'cli', ?, '[]', ?, ?)",
                    (number, f"mkey:{number:064x}", f"nodekey:{number:064x}", f"discokey:{number:064x}", *_addresses(node), node.name,
                     node.name, int(node.user.number) if node.user else None, _json(list(node.tags)), now, now),
                )  # fmt: skip

    def _run(self, *arguments: str) -> str:
        """Return why Headscale refuses, empty if it does not. Raise `OSError` or `SubprocessError`."""
        output = self._directory / "output"
        with output.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603 - the user's own program
                [self._program, "--config", str(self._directory / "config.yaml"), *arguments],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=self._directory, start_new_session=True,
                # Nothing of the environment: HEADSCALE_… would change the configuration.
                env={"HOME": str(self._directory), "PATH": "/usr/bin:/bin"},
            )  # fmt: skip
            try:
                code = _wait(process, output)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        with output.open("rb") as file:
            said = file.read(_MOST).decode("utf-8", "replace")
        return "" if code == 0 else self._reason(said)

    def _reason(self, said: str) -> str:
        """Return the error in Headscale's output, without times and places in its code."""
        rows = said.splitlines()
        at = next(
            (number for number, row in enumerate(rows) if re.search(r"^Error:|\bFTL\b|^panic:", row)),
            max(len(rows) - 1, 0),
        )
        words = " ".join(_words(row) for row in rows[at : at + 8])
        return " ".join(words.replace(str(self._directory), "…").split())[:600] or "it ended without a message"


def _words(row: str) -> str:
    said = log_lines.without_places(row)
    level = _LEVEL.match(said)
    return said[level.end() :] if level else said


def _wait(process: subprocess.Popen[bytes], output: Path) -> int:
    """Return the exit code within the limits of time and output. Raise `SubprocessError`."""
    until = time.monotonic() + _LONGEST_S
    while True:
        try:
            return process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            if time.monotonic() > until:
                raise subprocess.SubprocessError(f"headscale did not end within {_LONGEST_S:g} s") from None
            if output.stat().st_size > _MOST << 4:
                raise subprocess.SubprocessError("headscale wrote too much") from None


def copy_of(settings: Settings | None, directory: Path) -> dict[str, Any]:
    """Return a configuration with all files in a directory and without what is secret or elsewhere."""
    data: dict[str, Any] = dict(_kept(settings)) if settings else dict(_PLAIN)
    if settings is None or settings.text("noise.private_key_path"):
        data["noise.private_key_path"] = str(directory / "noise.key")
    if settings is None or data.get("database.type") == "postgres":
        data["database.type"] = "sqlite"
    data["database.sqlite.path"] = str(directory / "db.sqlite")
    if settings and "policy.path" in settings:
        data["policy.path"] = ""
    if "derp.server.private_key_path" in data:
        data["derp.server.private_key_path"] = str(directory / "derp.key")
    # It must be there for an embedded relay that is not added by itself.
    if settings and settings.texts("derp.paths"):
        data["derp.paths"] = [str(directory / "derp.yaml")]
    data |= {"unix_socket": str(directory / "socket"), "disable_check_updates": True}
    return _nested(data)


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name, value in flat.items():
        *sections, last = name.split(".")
        place = data
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return data


_PLAIN = {
    "server_url": "https://headscale.invalid", "prefixes.v4": "100.64.0.0/10", "prefixes.v6": "fd7a:115c:a1e0::/48",
    "dns.magic_dns": False, "dns.override_local_dns": False,
}  # fmt: skip


def _kept(settings: Settings) -> Iterator[tuple[str, Any]]:
    for name, (value, _path) in settings.values.items():
        if name not in _LEFT_OUT and not name.startswith("database.postgres."):
            yield name, value


def _addresses(node: Node) -> tuple[str | None, str | None]:
    return tuple(next((entry for entry in node.addresses if (":" in entry) is six), None) for six in (False, True))  # type: ignore[return-value]


def _json(value: Any) -> str:  # noqa: ANN401
    import json

    return json.dumps(value)
