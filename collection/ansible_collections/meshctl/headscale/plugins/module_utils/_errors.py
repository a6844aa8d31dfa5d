# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of the collection, each with its whole message: what was tried, what was seen, what to do.

Only entry points (modules, actions, plugins, commands) catch them, and turn them into output.
"""

from __future__ import annotations

from ansible_collections.meshctl.headscale.plugins.module_utils import _visible


class HeadscaleError(Exception):
    """An error that the user can act on."""

    def __init__(self, message: str) -> None:
        """Make what a terminal would act on visible: messages quote servers and hosts."""
        super().__init__(_visible.text(message))


class BadInput(HeadscaleError, ValueError):
    """The user gave a value that cannot be used: one sentence that names the thing, the value and the remedy."""

    def __init__(self, message: str) -> None:
        """Keep the message on one line, even if the value that it quotes has several."""
        super().__init__(" ".join(message.split()))


class CouldNotRun(HeadscaleError):
    """The input is valid, but what it asks for failed."""


class UnreachableError(HeadscaleError):
    """Nothing answered: name, address, port, time."""


class TlsError(HeadscaleError):
    """Something answered, but the TLS connection was not trusted or not possible."""


class WrongUrlError(HeadscaleError):
    """Something answered that is not Headscale's API."""


class AuthError(HeadscaleError):
    """The server does not accept the API key."""


class BadAnswerError(HeadscaleError):
    """Headscale answered with a document that this client cannot read."""


class CommandError(HeadscaleError):
    """The `headscale` command on the server host failed."""


class ApiError(HeadscaleError):
    """Headscale refused an operation; `reason` holds its own words and `status` the HTTP status."""

    def __init__(self, message: str, *, status: int, reason: str) -> None:
        """Keep the server's own words in addition to the sentence for people."""
        super().__init__(message)
        self.status = status
        self.reason = reason


class NotFoundError(ApiError):
    """The object does not exist (Headscale 0.29 says this for nodes only; 0.30 for everything)."""
