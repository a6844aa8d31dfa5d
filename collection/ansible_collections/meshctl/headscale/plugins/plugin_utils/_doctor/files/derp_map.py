# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check a file with relays, as `derp.paths` names them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..._judge.answer import Json, address, items, mapping, text
from .config_names import is_dns_name
from .document import Document, read_yaml
from .finding import Finding, Severity
from .source import Source

_REGION = (
    "avoid", "latencymultiplier", "latitude", "longitude", "nodes", "nomeasurenohome", "regioncode", "regionid", "regionname",
)  # fmt: skip
_NODE = (
    "canport80", "certname", "derpport", "hostname", "insecurefortests", "ipv4", "ipv6", "name", "regionid", "stunonly", "stunport",
    "stuntestip",
)  # fmt: skip
_HIGHEST_PORT = 65535
_NONE = "none"


def findings(source: Source) -> list[Finding]:
    """Return what is wrong with a map. Raise `BadInput`."""
    document = read_yaml(source, "derp")
    found = list(document.findings)
    return found if found and document.root is None else [*found, *_Map(document).findings()]


class _Map:
    """The regions and the nodes of a map."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._regions = mapping(mapping(document.data).get("regions"))

    def _say(
        self, severity: Severity, path: tuple[str, ...], problem: str, remedy: str, *, kind: str = "map"
    ) -> Finding:
        return Finding(
            id=f"derp.{kind}", severity=severity, file=self._document.name, line=self._document.line(*path), problem=problem,
            evidence=".".join(path), remedy=remedy,
        )  # fmt: skip

    def findings(self) -> Iterator[Finding]:
        """Return what is wrong with the map."""
        yield from self._unknown((), mapping(self._document.data), ("regions", "omitdefaultregions", "homeparams"))
        # A region without a value switches off one of another map.
        regions = {name: mapping(region) for name, region in self._regions.items() if region is not None}
        if not self._regions:
            yield self._say("high", ("regions",), "the map has no regions", "add regions; its keys are in lower case")
        for name, region in regions.items():
            yield from self._region(("regions", name), name, region)
        nodes = [mapping(node) for region in regions.values() for node in items(region.get("nodes"))]
        if nodes and all(text(node.get("stunport")) == "-1" for node in nodes):
            yield self._say(
                "medium", ("regions",), "no node has STUN, so clients do not learn their addresses, and relay more than necessary",
                "set stunport to 0 or 3478, and open UDP 3478",
            )  # fmt: skip

    def _unknown(self, path: tuple[str, ...], data: dict[str, Any], known: tuple[str, ...]) -> Iterator[Finding]:
        for key in data:
            if key not in known:
                remedy = f"write {key.lower()}" if key.lower() in known else "remove it"
                yield self._say(
                    "high" if key.lower() in known else "medium",
                    (*path, key),
                    f"Headscale ignores the key {key}",
                    remedy,
                )

    def _region(self, path: tuple[str, ...], name: str, region: dict[str, Any]) -> Iterator[Finding]:
        yield from self._unknown(path, region, _REGION)
        if not re.fullmatch(r"[1-9][0-9]{0,8}", name):
            yield self._say(
                "high", path, f"the region {name} is not a number", "write a number; 900 to 999 are free for your own"
            )
        elif text(region.get("regionid")) != name:
            yield self._say(
                "high", (*path, "regionid"), f"regionid is not {name}, the number of the region", f"write {name}"
            )
        if not text(region.get("regioncode")):
            yield self._say(
                "medium", path, f"the region {name} has no regioncode, which reports and clients show", "set it"
            )
        nodes = items(region.get("nodes"))
        if not nodes:
            yield self._say("high", path, f"the region {name} has no nodes", "add one, or remove the region")
        names = [text(mapping(node).get("name")) for node in nodes]
        for number, node in enumerate(map(mapping, nodes)):
            here = (*path, "nodes", str(number))
            if names.index(names[number]) < number:
                yield self._say("high", here, f"two nodes are called {names[number]!r}", "give each another name")
            yield from self._node(here, name, node)

    def _node(self, path: tuple[str, ...], region: str, node: dict[str, Any]) -> Iterator[Finding]:
        yield from self._unknown(path, node, _NODE)
        if not text(node.get("name")):
            yield self._say("medium", path, "the node has no name", f"write {region}a")
        if text(node.get("regionid")) != region:
            yield self._say(
                "high",
                (*path, "regionid"),
                f"regionid is not {region}, the region that the node is in",
                f"write {region}",
            )
        yield from self._host(path, text(node.get("hostname")))
        yield from self._addresses(path, node)
        for key, lowest in (("derpport", 0), ("stunport", -1)):
            if key in node and not _is_number(node[key], lowest):
                yield self._say("high", (*path, key), f"{key} is not a port", "write a number up to 65535")
        if node.get("insecurefortests") is True:
            yield self._say(
                "medium", (*path, "insecurefortests"), "clients do not verify the certificate of this relay",
                "give it a certificate, or name its hash in certname (sha256-raw:…)", kind="insecure",
            )  # fmt: skip

    def _host(self, path: tuple[str, ...], host: str) -> Iterator[Finding]:
        at = (*path, "hostname")
        if "://" in host:
            bare = host.partition("://")[2].split("/")[0].partition(":")[0]
            yield self._say(
                "high", at, f"hostname {host} contains a scheme, and clients cannot connect", f"write {bare}"
            )
        elif not host:
            yield self._say("high", path, "the node has no hostname", "set it to the name in its certificate")
        elif not address(host) and not is_dns_name(host.rstrip(".")):
            yield self._say(
                "high", at, f"hostname {host!r} is not a DNS name", "write the name alone; derpport has the port"
            )

    def _addresses(self, path: tuple[str, ...], node: dict[str, Any]) -> Iterator[Finding]:
        given = {key: text(node.get(key)) for key in ("ipv4", "ipv6")}
        for key, said in given.items():
            known = address(said)
            if said and said != _NONE and (not known or "/" in said or (":" in known) != (key == "ipv6")):
                yield self._say(
                    "high",
                    (*path, key),
                    f"{key} {said!r} is not an address of that family",
                    "correct it, or write none",
                )
        if given["ipv4"] == _NONE and (not given["ipv6"] or given["ipv6"] == _NONE):
            yield self._say(
                "high", (*path, "ipv4"), "ipv4 is none and there is no ipv6, so clients have no address to connect to",
                "remove `ipv4: none`, or set ipv6",
            )  # fmt: skip


def _is_number(value: Json, lowest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= _HIGHEST_PORT
