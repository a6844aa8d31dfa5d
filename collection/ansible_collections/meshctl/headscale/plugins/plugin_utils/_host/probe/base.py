# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Common parts of all observations: the error, time, threads, JSON without secrets."""

from __future__ import annotations

import json
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Dict, Json, List, Work

MAX_ANSWER = 32 << 20
MAX_BODY = 64 << 10
_MAX_WORKERS = 64
# The network map of 10,000 nodes has about half as many; each takes some hundred bytes.
_MOST_VALUES = 2_000_000


class Unseen(Exception):
    """An observation could not be made."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def left(until: float) -> float:
    """Return the seconds until `until`; never 0, which would make a socket non-blocking."""
    return max(0.001, until - time.monotonic())


def ms_since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 3)


def each(work: Work, items: List, until: float, workers: int = _MAX_WORKERS, per_second: float = 0) -> List:
    """Return `work(item)` for every item, computed in threads; None for those that did not end in time.

    With `per_second`, no more of them begin in a second.
    """
    results: List = [None] * len(items)
    began = time.monotonic()
    todo = iter(range(len(items)))
    lock = threading.Lock()

    def run() -> None:
        while True:
            with lock:
                index = next(todo, None)
            if index is None:
                return
            if per_second:
                time.sleep(max(0.0, min(until, began + index / per_second) - time.monotonic()))
            if time.monotonic() >= until:
                return
            try:
                results[index] = work(items[index])
            except Exception as exc:  # an error of one item must not affect the others
                results[index] = {"outcome": "broken", "error": str(exc) or repr(exc)}

    threads = [threading.Thread(target=run, daemon=True) for _worker in range(min(workers, len(items)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        # Many may be blocked: together they get a moment more.
        thread.join(left(until + 0.1))
    return list(results)


def trusting(ca_file: str | None) -> Json:
    """Return a TLS context that trusts what a file holds, else the system's store; a pipe is not waited for."""
    import os
    import ssl

    if ca_file and os.path.exists(ca_file) and not os.path.isfile(ca_file):
        raise Unseen("bad_ca", f"the file of certificates {ca_file!r} (ca_path) is not a regular file on this host")
    return ssl.create_default_context(cafile=ca_file or None)


def read_json(body: bytes, repeated: bool = False) -> Json:
    """Return the data of an answer without secrets; a name occurs once in an object, unless it may be `repeated`."""
    if sum(map(body.count, (b"[", b"{", b","))) > _MOST_VALUES:
        raise Unseen("bad_response", f"the answer has more than {_MOST_VALUES} values")
    try:
        return _scrub(json.loads(body, object_pairs_hook=None if repeated else _unique))
    except (ValueError, RecursionError) as exc:
        raise Unseen("bad_response", f"the answer is not JSON: {exc}") from exc


def _unique(pairs: List) -> Dict:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return found


def _scrub(value: Json) -> Json:
    """Drop everything that could be a secret; keys never leave the host."""
    if isinstance(value, dict):
        return {name: _scrub(item) for name, item in value.items() if not _is_secret(name, item)}
    if isinstance(value, list):
        return [_scrub(item) for item in value]
    return value


def _is_secret(name: str, item: Json) -> bool:
    low = name.lower()
    named = ("private" in low and "key" in low) or (low in ("preauthkey", "authkey", "authurl") and bool(item))
    return named or (isinstance(item, str) and item.startswith(("nlpriv:", "privkey:")))
