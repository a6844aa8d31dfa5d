# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check the server's configuration for settings that break it, now or with the next upgrade."""

from __future__ import annotations

from .. import urls
from ..files import config_keys, config_names
from ..files.document import Document
from ..files.settings import Settings
from ..records import Check, CheckContext, Iterator, Server

_PUBLIC_MAP = "https://controlplane.tailscale.com/derpmap/default"


def judge(server: Server, context: CheckContext) -> Check:
    """Return the problems of the configuration."""
    try:
        config, why = server.config
    except ValueError as exc:
        return context.check(
            False, expected={"problems": []}, observed={"problems": 1}, command="headscale configtest",
            hint=f"headscale cannot read its configuration, and refuses to start: {exc}",
        )  # fmt: skip
    if config is None:
        return context.skipped(why, expected="a configuration without known problems")
    settings = Settings(Document("", config))
    problems = [*_former(settings), *_derp(settings), *_url(settings), *_dns(settings)]
    return context.check(
        not problems, expected={"problems": []}, observed={"problems": len(problems)}, hint="; ".join(problems),
        evidence={"problems": problems}, command="headscale configtest",
    )  # fmt: skip


def _former(settings: Settings) -> Iterator[str]:
    for one in config_keys.former(settings):
        yield f"{one.problem}: {one.remedy}"


def _derp(settings: Settings) -> Iterator[str]:
    if settings.flag("derp.server.enabled", otherwise=False) or settings.texts("derp.paths"):
        return
    maps = settings.texts("derp.urls")
    if not maps:
        yield "no relay is configured, and headscale refuses to start: set derp.server.enabled, derp.paths or derp.urls"
    elif any(url != _PUBLIC_MAP for url in maps):
        yield (
            f"all relays come from {', '.join(maps)}, and headscale does not start while that is unreachable: keep a copy in "
            "derp.paths"
        )


def _url(settings: Settings) -> Iterator[str]:
    url = settings.text("server_url")
    if url and (problem := urls.problem(url)):
        yield problem
    elif urls.normal(url)[3]:
        yield f"server_url {url} has a path, and headscale answers without one: remove {urls.normal(url)[3]} from it"


def _dns(settings: Settings) -> Iterator[str]:
    # Where Headscale starts, clients see whether they find the name: the finding domain is theirs.
    if config_names.is_refused_domain(settings):
        yield (
            f"dns.base_domain {settings.text('dns.base_domain')} contains the server's own name "
            f"{urls.host(settings.text('server_url'))}, and headscale refuses to start: choose another domain"
        )
    if settings.flag("dns.override_local_dns", otherwise=True) and not settings.texts("dns.nameservers.global"):
        yield "dns.override_local_dns is on without dns.nameservers.global: headscale refuses to start; set one of them"
