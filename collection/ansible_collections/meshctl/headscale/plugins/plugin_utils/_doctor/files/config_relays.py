# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check where the relays come from: the embedded one, URLs and files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ....module_utils._errors import BadInput
from ..._judge.answer import address, items, mapping, text
from .. import urls
from .derp_map import findings as map_findings
from .document import read_yaml
from .finding import Finding
from .settings import Settings
from .source import Source, read

_PUBLIC_MAP = "https://controlplane.tailscale.com/derpmap/default"


def findings(settings: Settings) -> Iterator[Finding]:
    """Return what is wrong with the relays."""
    yield from _embedded(settings)
    yield from _sources(settings)
    for number, path in enumerate(settings.texts("derp.paths")):
        yield from _file(settings, path, number)


def _embedded(settings: Settings) -> Iterator[Finding]:
    if not settings.flag("derp.server.enabled", otherwise=False):
        return
    if not settings.text("derp.server.stun_listen_addr"):
        yield settings.finding(
            "derp", "high", "derp.server.stun_listen_addr", "the embedded relay has no address for STUN, and Headscale refuses to start",
            "write 0.0.0.0:3478", stops=True,
        )  # fmt: skip
    if not settings.text("server_url").startswith("https://"):
        yield settings.finding(
            "derp", "high", "derp.server.enabled", "the embedded relay works only with https, and server_url is http",
            "give the server a certificate, or run a separate relay",
        )  # fmt: skip
    noise, derp = "noise.private_key_path", "derp.server.private_key_path"
    if settings.text(noise) and settings.text(noise) == settings.text(derp):
        yield settings.finding(
            "derp",
            "high",
            derp,
            f"{derp} and {noise} are the same file, and Headscale refuses to start",
            "name a separate file",
        )
    automatic = "derp.server.automatically_add_embedded_derp_region"
    if not settings.flag(automatic, otherwise=True) and not settings.texts("derp.paths"):
        yield settings.finding(
            "derp", "high", automatic, "no map contains the embedded relay, and Headscale refuses to start",
            "write true, or add it to a file in derp.paths", stops=True,
        )  # fmt: skip
    for family, version in (("ipv4", 4), ("ipv6", 6)):
        name = f"derp.server.{family}"
        said = settings.text(name)
        known = address(said)
        if said and (not known or "/" in said or (":" in known) != (version == 6)):  # noqa: PLR2004 - IPv6
            yield settings.finding(
                "derp", "high", name, f"{said!r} is not an IPv{version} address, so clients do not connect to the embedded relay by "
                f"IPv{version}", "write the server's public address, or remove it",
            )  # fmt: skip
    if not settings.text("derp.server.region_id", "0").strip("0"):
        yield settings.finding("derp", "high", "derp.server.region_id", "the embedded relay has no region", "write 999")


def _sources(settings: Settings) -> Iterator[Finding]:
    maps = settings.texts("derp.urls")
    for number, url in enumerate(maps):
        if not urls.host(url) or not url.startswith(("https://", "http://")):
            yield settings.finding(
                "derp",
                "high",
                "derp.urls",
                f"{url!r} is not a URL, and Headscale does not start",
                "write an https URL",
                entry=number,
            )
    if settings.flag("derp.server.enabled", otherwise=False) or settings.texts("derp.paths"):
        return
    if not maps:
        yield settings.finding(
            "derp", "high", "derp.urls", "no relay is configured, and Headscale refuses to start",
            "set derp.server.enabled, derp.paths or derp.urls", stops=True,
        )  # fmt: skip
    elif any(url != _PUBLIC_MAP for url in maps):
        yield settings.finding(
            "derp", "medium", "derp.urls", "all relays come from URLs, and Headscale does not start while one is unreachable",
            "keep a copy in derp.paths",
        )  # fmt: skip


def _file(settings: Settings, path: str, number: int) -> Iterator[Finding]:
    found = _found(settings.document.name, path)
    if found is None:
        yield settings.finding(
            "derp.file", "info", "derp.paths", f"{path} was not examined: it is not next to the configuration",
            "put a copy next to the configuration", entry=number,
        )  # fmt: skip
        return
    try:
        source = read(str(found))
        yield from map_findings(source)
        yield from _same_region(settings, source, number)
        yield from _hidden_relays(settings, source, number)
    except BadInput as exc:
        yield settings.finding("derp.file", "high", "derp.paths", str(exc), "correct the file", entry=number)


def _same_region(settings: Settings, source: Source, number: int) -> Iterator[Finding]:
    """Return whether a map has the region of the embedded relay, which then replaces it."""
    if not settings.flag("derp.server.automatically_add_embedded_derp_region", otherwise=True):
        return  # The map is what names it then.
    region = settings.text("derp.server.region_id")
    listed = mapping(mapping(read_yaml(source, "derp").data).get("regions"))
    if settings.flag("derp.server.enabled", otherwise=False) and listed.get(region) is not None:
        yield settings.finding(
            "derp", "high", "derp.paths", f"{source.name} has region {region} as well, and the embedded relay replaces it",
            "give one of them another number", entry=number,
        )  # fmt: skip


def _hidden_relays(settings: Settings, source: Source, number: int) -> Iterator[Finding]:
    """Return the relays whose names are in the domain of the mesh, where clients ask only Headscale."""
    domain = settings.text("dns.base_domain").rstrip(".").lower()
    if not domain or not settings.flag("dns.magic_dns", otherwise=True):
        return
    regions = mapping(mapping(read_yaml(source, "derp").data).get("regions"))
    nodes = [mapping(node) for region in regions.values() for node in items(mapping(region).get("nodes"))]
    hidden = [node for node in nodes if urls.within(text(node.get("hostname")).rstrip(".").lower(), domain)]
    for host in dict.fromkeys(text(node.get("hostname")) for node in hidden):
        # With an address in the map, clients need no lookup.
        bare = any(node.get("hostname") == host and not address(node.get("ipv4")) for node in hidden)
        yield settings.finding(
            "base_domain", "high" if bare else "low", "dns.base_domain",
            f"dns.base_domain contains the relay {host} of {source.name}, whose name nodes then cannot resolve",
            "choose another domain, which contains neither the server nor a relay",
        )  # fmt: skip


def _found(config: str, path: str) -> Path | None:
    """Return a file of the server where repositories keep it, below the configuration's directory and nowhere else."""
    here = Path(config).parent
    places = (here / Path(path).name, here / path)
    return next((place for place in places if place.is_file() and _is_below(place, here)), None)


def _is_below(place: Path, directory: Path) -> bool:
    """Whether a file is in a directory, links included: who wrote the configuration may not read other files with it."""
    return place.resolve().is_relative_to(directory.resolve())
