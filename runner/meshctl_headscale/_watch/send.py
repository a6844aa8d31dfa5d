# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Send messages through Apprise. URLs hold passwords and tokens, so no message or error contains one."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from meshctl_headscale import _collection
from meshctl_headscale._exit import BadInputError, MeshctlError
from meshctl_headscale._watch import require
from meshctl_headscale._watch.endpoint import private_text
from meshctl_headscale._watch.loop import PartlyError

_FILE = "@"
# As in @everyone of Discord, <!channel> of Slack, and links of both.
_LINK = re.compile(r"<(?=[!@#]|\w{1,20}:)|\](?=\()")
_INERT = {"<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}", "]": "] "}


def urls(given: Sequence[str], *, on_command_line: bool) -> list[str]:
    """Return the URLs that the user named: `@FILE` holds one per line, and a variable the URLs themselves."""
    found: list[str] = []
    for item in given:
        if item.strip() == _FILE:
            raise BadInputError("--notify is '@', without a file: write --notify @FILE.")
        if item.startswith(_FILE):
            path = Path(item.removeprefix(_FILE))
            lines = (line.strip() for line in private_text(path, "--notify").splitlines())
            found += [line for line in lines if line and not line.startswith("#")]
        elif on_command_line:
            raise BadInputError(
                "--notify takes @FILE, a file with one URL per line: every user of this machine can see an argument. "
                "The variable MESHCTL_NOTIFY can hold URLs."
            )
        else:
            found.append(item)
    if given and not found:
        raise BadInputError("--notify names no URL: write one per line into the file.")
    return found


def sender(addresses: Sequence[str]) -> Callable[[str, str], None]:
    """Return what sends a message to every address."""
    require("apprise", "--notify")
    import apprise

    # Its log contains URLs.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    services = []
    for number, url in enumerate(addresses, start=1):
        service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if service is None:
            raise BadInputError(
                f"URL {number} of --notify ({_scheme(url)}) is not one that Apprise knows. Check it against its list of services."
            )
        services.append(service)

    def send(subject: str, message: str) -> None:
        failed = []
        for number, service in enumerate(services, start=1):
            try:
                # Causes quote nodes and servers: they are text, and no markup.
                sent = service.notify(
                    title=_inert(_collection.scrub.text(subject)),
                    body=_inert(_collection.scrub.text(message)),
                    body_format=apprise.NotifyFormat.TEXT,
                )
            except Exception:
                # Any plugin may raise anything, and its text may hold the URL.
                sent = False
            if not sent:
                failed.append(f"{number} ({_scheme(addresses[number - 1])})")
        if failed and len(failed) == len(services):
            raise MeshctlError(
                f"The message could not be sent to URL {', '.join(failed)} of --notify; it will be sent later."
            )
        if failed:
            raise PartlyError(f"The message could not be sent to URL {', '.join(failed)} of --notify.")

    return send


def _inert(text: str) -> str:
    """Return a text without mentions and links: services read both in plain text, too."""
    return _LINK.sub(lambda found: _INERT[found[0]], text).replace("@", "\N{FULLWIDTH COMMERCIAL AT}")


def _scheme(url: str) -> str:
    scheme = url.partition("://")[0]
    return f"{scheme}://…" if scheme.isalnum() else "unknown service"
