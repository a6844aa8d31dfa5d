# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real reverse proxies on loopback, with the configurations of the documentation."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import trustme
from project import ROOT

PAGE = ROOT / "docs" / "how-to" / "reverse-proxy.md"
SERVER, RELAY = "headscale.example.com", "relay.example.com"
PROGRAMS = {"nginx": "nginx", "caddy": "caddy", "haproxy": "haproxy", "apache": "apache2"}
_APACHE_MODULES = ("mpm_event", "authz_core", "socache_shmcb", "ssl", "proxy", "proxy_http", "rewrite")


def documented(name: str) -> str:
    """Return a proxy's configuration as the documentation has it."""
    found = re.findall(rf"^```{name}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 1, name
    return str(found[0])


@dataclass
class Places:
    """Where a proxy finds its certificate, and which ports stand for those of the documentation."""

    directory: Path
    https: int
    server: int
    relay: int

    def certify(self, authority: trustme.CA) -> None:
        """Write the certificate in every form that a proxy wants."""
        certificate = authority.issue_cert(SERVER, RELAY, "127.0.0.1")
        chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
        key = certificate.private_key_pem.bytes()
        for name, content in (("chain.pem", chain), ("key.pem", key), ("both.pem", chain + key)):
            (self.directory / name).write_bytes(content)
        authority.cert_pem.write_to_path(str(self.directory / "ca.pem"))

    def fill(self, text: str) -> str:
        """Return a configuration with these ports and files in place of the documented ones."""
        text = text.replace("/etc/ssl/mesh", str(self.directory))
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{self.server}")
        text = text.replace("127.0.0.1:3340", f"127.0.0.1:{self.relay}")
        text = re.sub(r"(listen |bind ):?443\b", rf"\g<1>127.0.0.1:{self.https}", text)
        return text.replace("VirtualHost *:443", f"VirtualHost *:{self.https}")


_Started = tuple[str, list[str]]


def _nginx(places: Places, text: str, config: Path) -> _Started:
    here = places.directory
    paths = " ".join(
        f"{kind}_temp_path {here}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    around = f"pid {here}/nginx.pid; daemon off; error_log stderr; events {{}}\nhttp {{ access_log off; {paths}\n"
    return f"{around}{text}}}\n", ["nginx", "-c", str(config)]


def _caddy(places: Places, text: str, config: Path) -> _Started:
    options = f"admin off\nauto_https disable_redirects\nhttps_port {places.https}\ndefault_bind 127.0.0.1\n"
    return f"{{\n{options}}}\n{text}", ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"]


def _haproxy(_places: Places, text: str, config: Path) -> _Started:
    return text, ["haproxy", "-db", "-f", str(config)]


def _apache(places: Places, text: str, config: Path) -> _Started:
    here, program = places.directory, shutil.which("apache2") or ""
    modules = Path(program).resolve().parents[1] / "lib" / "apache2" / "modules"
    loads = "".join(f"LoadModule {name}_module {modules}/mod_{name}.so\n" for name in _APACHE_MODULES)
    around = f"ServerRoot {here}\nPidFile {here}/apache.pid\nServerName localhost\nDefaultRuntimeDir {here}\n"
    around += f"ErrorLog {here}/error.log\nListen 127.0.0.1:{places.https}\n"
    return loads + around + text, ["apache2", "-X", "-f", str(config)]


_START: dict[str, Callable[[Places, str, Path], _Started]] = {
    "nginx": _nginx, "caddy": _caddy, "haproxy": _haproxy, "apache": _apache,
}  # fmt: skip


def command(name: str, places: Places, text: str, config: Path) -> tuple[str, list[str]]:
    """Return the whole configuration of a proxy, and the command that runs it."""
    return _START[name](places, places.fill(text), config)


@contextlib.contextmanager
def running(name: str, places: Places, text: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a proxy with a configuration."""
    config = places.directory / name
    content, words = command(name, places, text, config)
    config.write_text(content, encoding="utf-8")
    with (places.directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=places.directory,
            env={**os.environ, "HOME": str(places.directory)},
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
