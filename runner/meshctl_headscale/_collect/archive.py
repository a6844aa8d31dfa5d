# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gather the files of a run and the evidence of the hosts, and pack them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from meshctl_headscale import _collection, _inputs, _versions
from meshctl_headscale._collect.pseudonyms import Pseudonyms, names
from meshctl_headscale._exit import MeshctlError

_MOST_BYTES = 8 << 20
_MOST_ALL = 256 << 20
_OF_RUN = ("report.json", "meshctl.log", "artifacts/ansible/stdout")
# Values of these are secrets wherever they occur.
_SECRET_VARIABLES = ("KEY", "TOKEN", "PASSWORD", "SECRET", "NOTIFY")
_SHORTEST_SECRET = 6
_UNREADABLE = "Left out: it is not a complete JSON document, so names in it cannot be replaced.\n"


def texts(run: Path | None, evidence: Path | None) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file of the archive, without secrets."""
    secrets = [
        value
        for name, value in os.environ.items()
        if any(word in name.upper() for word in _SECRET_VARIABLES)
        and len(value) >= _SHORTEST_SECRET
        and value[:1] != "/"
    ]
    left = _MOST_ALL
    for name, path in _files(run, evidence):
        text = _read(path)
        for secret in secrets:
            text = text.replace(secret, _collection.scrub.REDACTED)
        text = _collection.visible.text(_clean(text, path.suffix == ".json"))
        left -= len(text)
        if left < 0:
            yield "TOO-LARGE.txt", f"The archive would be too large: {name} and what follows is missing.\n"
            return
        yield name, text


def _clean(text: str, is_json: bool) -> str:
    """Return a text without secrets; in JSON, a name can say that its value is one."""
    if is_json:
        with contextlib.suppress(ValueError, RecursionError):
            # Not as text afterwards: a line of JSON may look like one of YAML.
            return json.dumps(_collection.scrub.data(json.loads(text)), indent=1, ensure_ascii=False)
    return str(_collection.scrub.text(text))


def _files(run: Path | None, evidence: Path | None) -> Iterator[tuple[str, Path]]:
    for name in _OF_RUN if run else ():
        # The origin of the run may be unknown; it may have links to files of this user.
        if run and (path := run.resolve() / name).is_file() and path.resolve() == path:
            yield f"run/{name.rpartition('/')[2]}", path
    if evidence and evidence.is_dir():
        for path in sorted(evidence.rglob("*")):
            # A link could lead out of the directory.
            if path.is_file() and not path.is_symlink():
                yield f"hosts/{path.relative_to(evidence)}", path


def _read(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(_MOST_BYTES)
        rest = file.read(1)
    text = raw.decode("utf-8", "replace")
    return f"{text}\n[cut here: the file is longer]\n" if rest and path.suffix != ".json" else text


def pack(files: Mapping[str, str], output: Path, *, anonymous: bool, server_url: str = "") -> None:
    """Write the archive, which only this user can read."""
    about = {
        "versions": _versions.versions(),
        "created": f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}",
        "anonymous": anonymous,
    }
    whole = {**files, "about.json": json.dumps(about, indent=1) + "\n"}
    if anonymous:
        whole |= {
            name: _UNREADABLE for name, text in files.items() if name.endswith(".json") and _document(text) is None
        }
        pseudonyms = _pseudonyms(files, server_url)
        whole = {pseudonyms.text(name): pseudonyms.text(text) for name, text in whole.items()}
    top = output.name.removesuffix(".tar.gz")
    try:
        with (
            _inputs.replacing(output, mode=0o600) as raw,
            tarfile.open(fileobj=raw, mode="w:gz") as archive,
        ):
            for name, text in sorted(whole.items()):
                data = text.encode("utf-8", "backslashreplace")
                entry = tarfile.TarInfo(f"{top}/{name}")
                entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
                archive.addfile(entry, io.BytesIO(data))
    except OSError as error:
        raise MeshctlError(
            f"{output} cannot be written: {error.strerror}. Specify another file with --output."
        ) from None


def _pseudonyms(files: Mapping[str, str], server_url: str) -> Pseudonyms:
    documents = [_document(text) for name, text in files.items() if name.endswith(".json")]
    report = _document(files.get("run/report.json", "{}"))
    # Without a home directory, this is ~.
    home = Path(os.path.expanduser("~")).name.strip("~")  # noqa: PTH111
    extra = {socket.gethostname(): "host", os.environ.get("USER", ""): "user", home: "user"}
    extra[urlsplit(server_url).hostname or ""] = "domain"
    return Pseudonyms(names(report if isinstance(report, dict) else {}, documents, extra))


def _document(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
