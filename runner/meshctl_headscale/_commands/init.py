# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`meshctl init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from meshctl_headscale._options import option


def init(
    url: Annotated[
        str, option("--url", envvar="HEADSCALE_URL", metavar="URL", help="URL of the server, as in its server_url.")
    ],
    api_key_file: Annotated[
        Path | None,
        option(
            "--api-key-file",
            metavar="FILE",
            show_default="HEADSCALE_API_KEY or HEADSCALE_API_KEY_FILE, otherwise prompted for",
            help="File that contains an API key and nothing else. No option takes the key itself: other users could see it.",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        option(
            "--ca-file",
            envvar="HEADSCALE_CA_PATH",
            metavar="FILE",
            help="CA certificates to trust instead of the system's.",
        ),
    ] = None,
    output: Annotated[
        str, option("--output", "-o", metavar="FILE", help="File to write; `-` is stdout.")
    ] = "hosts.yml",
    force: Annotated[bool, option("--force", "-f", help="Replace an existing file.")] = False,
    expect: Annotated[
        bool, option("--expect/--no-expect", help="Write the paths that the policy allows to mesh_expect.")
    ] = True,
) -> None:
    """Write an inventory of existing hosts from the nodes of a running Headscale server.

    Nodes that are online become `clients`; the others are listed separately. Only the server is contacted.

    \b
    Examples:
      meshctl init --url https://headscale.example.com --api-key-file ~/api_key
      meshctl init --url https://headscale.example.com --output - | less
      meshctl doctor --mesh -i hosts.yml
      meshctl run all -i hosts.yml
    """
    from meshctl_headscale import _init

    _init.refuse_to_overwrite(output, force=force)
    source = _init.Source(url=url, api_key_file=api_key_file, ca_file=ca_file)
    _init.write(_init.compose(source, expect=expect), output, force=force)
