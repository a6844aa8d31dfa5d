# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check the server's configuration for settings that break it, now or with the next upgrade."""

from __future__ import annotations

from ..._judge.answer import items, text
from .. import urls
from ..records import Check, CheckContext, Iterator, Record, Server, setting

# Settings with which a newer headscale refuses to start, and their replacement.
REMOVED = {
    "acl_policy_path": "policy.path",
    "ip_prefixes": "prefixes.v4 and prefixes.v6",
    "dns_config": "dns",
    "db_type": "database.type",
    "db_path": "database.sqlite.path",
    "db_host": "database.postgres.host",
    "private_key_path": "noise.private_key_path",
    "randomize_client_port": "randomizeClientPort in the policy",
    "oidc.expiry": "node.expiry",
    "ephemeral_node_inactivity_timeout": "node.ephemeral.inactivity_timeout",
    "use_username_in_magic_dns": "nothing: names do not contain users any more",
    "dns.use_username_in_magic_dns": "nothing: names do not contain users any more",
    "oidc.strip_email_domain": "nothing: names come from the provider",
    "oidc.map_legacy_users": "nothing",
}
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
    problems = [*_removed(config), *_derp(config), *_url(config), *_dns(config)]
    return context.check(
        not problems, expected={"problems": []}, observed={"problems": len(problems)}, hint="; ".join(problems),
        evidence={"problems": problems}, command="headscale configtest",
    )  # fmt: skip


def _removed(config: Record) -> Iterator[str]:
    for name, instead in REMOVED.items():
        if setting(config, name) is not None:
            yield f"{name} was removed, and headscale refuses to start with it: use {instead}"


def _derp(config: Record) -> Iterator[str]:
    if setting(config, "derp.server.enabled") is True or items(setting(config, "derp.paths")):
        return
    maps = [text(url) for url in items(setting(config, "derp.urls"))]
    if not maps:
        yield "no relay is configured, and headscale refuses to start: set derp.server.enabled, derp.paths or derp.urls"
    elif any(url != _PUBLIC_MAP for url in maps):
        yield (
            f"all relays come from {', '.join(maps)}, and headscale does not start while that is unreachable: keep a copy in "
            "derp.paths"
        )


def _url(config: Record) -> Iterator[str]:
    url = text(config.get("server_url"))
    if url and (problem := urls.problem(url)):
        yield problem
    elif urls.normal(url)[3]:
        yield f"server_url {url} has a path, and headscale answers without one: remove {urls.normal(url)[3]} from it"


def _dns(config: Record) -> Iterator[str]:
    host = urls.host(text(config.get("server_url")))
    domain = text(setting(config, "dns.base_domain")).strip(".").lower()
    if domain and host and urls.within(host, domain):
        yield (
            f"dns.base_domain {domain} contains the server's own name {host}, which nodes then cannot resolve: choose another "
            "domain"
        )
    local = setting(config, "dns.override_local_dns") is not False
    if local and not items(setting(config, "dns.nameservers.global")):
        yield "dns.override_local_dns is on without dns.nameservers.global: headscale refuses to start; set one of them"
