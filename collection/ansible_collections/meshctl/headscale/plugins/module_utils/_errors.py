# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong with a Headscale server, each as one sentence.

Every error carries its whole message: what was tried, what was seen, what to do.  Nothing but `_module.run` and other
entry points turns one into output.
"""

from __future__ import annotations


class HeadscaleError(Exception):
    """Anything that this client has to say to a person."""


class InputError(HeadscaleError):
    """An option, a file or an environment variable cannot be used as it is."""


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
        """Keep the server's own words beside the sentence for people."""
        super().__init__(message)
        self.status = status
        self.reason = reason


class NotFoundError(ApiError):
    """The object does not exist (Headscale 0.29 says this for nodes only; 0.30 for everything)."""
