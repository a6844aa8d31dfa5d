# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask a tailscaled that accepts and never answers no more for the rest of the story, so that the other hosts need not wait. Pure.

Its host does answer: observations that need no tailscaled are made as always. A slow client may let single questions go
unanswered. It counts as silent when it answered none within the limit, in one assertion or in several; what cannot be read
is no answer. The next story asks it again, and believes the first silence; a client that answers is asked as always.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from .._host.probe.observing import KINDS
from .._judge.answer import Json, error_of, mapping, number, observed, text

FACT: Final = "mesh_silent_client"
WITHHELD: Final = "withheld"
LIMIT_S: Final = 15.0
_KINDS: Final = frozenset(kind for kind, place in KINDS.items() if place.startswith("tailscaled."))
# Errors that a tailscaled of good will causes as well, by its words or by its absence.
_ANSWERS: Final = ("", "refused", "not_permitted", "no_tailscaled", "no_socket")


def asks_client(request: Mapping[str, Any]) -> bool:
    """Whether a request is one to tailscaled."""
    return request.get("kind") in _KINDS


def reason(known: Json, story: Json) -> str:
    """Return why tailscaled is not asked again in this story, empty if it is asked; `known` is the fact."""
    fact = mapping(known)
    return text(fact.get("message")) if story and fact.get("story") == story and fact.get("silent") is True else ""


def remember(known: Json, story: Json, answer: Json, *, seconds: float, patience: float = 1.0) -> dict[str, Any] | None:
    """Return the fact after a probe that took so many seconds, None if it stays as it is."""
    before, errors = mapping(known), [error_of(found) for found in _asked(answer)]
    if not story or not errors or WITHHELD in errors:
        return None
    if any(found in _ANSWERS for found in errors):
        return {} if before else None
    waited = (number(before.get("seconds")) or 0.0) + seconds
    probes = (number(before.get("probes")) or 0) + 1
    return _fact(story, waited, probes, silent=before.get("silent") is True or waited >= LIMIT_S * patience)


def give_up(known: Json, *, looks: int, seconds: float, patience: float = 1.0) -> dict[str, Any] | None:
    """Return the fact after an assertion that asked so many times and failed, None if tailscaled is not the reason."""
    before = mapping(known)
    waited = max(number(before.get("seconds")) or 0.0, seconds)
    probes = number(before.get("probes")) or 0
    if before.get("silent") is True or probes < looks or waited < LIMIT_S * patience:
        return None
    return _fact(text(before.get("story")), waited, probes, silent=True)


def _fact(story: str, waited: float, probes: float, *, silent: bool) -> dict[str, Any]:
    message = f"tailscaled gave no valid answer within {waited:.0f} s; it is not asked again in this story"
    return {"story": story, "seconds": round(waited, 1), "probes": probes, "silent": silent, "message": message}


def withheld(answer: Json) -> bool:
    """Whether the answer lacks what tailscaled was not asked."""
    return any(error_of(found) == WITHHELD for found in _asked(answer))


def _asked(answer: Json) -> Iterator[dict[str, Any]]:
    """Yield the observations by tailscaled."""
    return (found for found in observed(answer) if text(found.get("kind")) in _KINDS)
