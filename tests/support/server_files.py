# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of a server: good ones, changes that break them, and what the doctor says of each."""

from __future__ import annotations

from dataclasses import dataclass

CONFIG = """\
server_url: https://hs.example.com
listen_addr: 127.0.0.1:8080
metrics_listen_addr: 127.0.0.1:9090
noise:
  private_key_path: /var/lib/headscale/noise.key
prefixes:
  v4: 100.64.0.0/10
  v6: fd7a:115c:a1e0::/48
derp:
  server:
    enabled: true
    region_id: 999
    stun_listen_addr: 0.0.0.0:3478
    private_key_path: /var/lib/headscale/derp.key
  urls: []
  paths: [/etc/headscale/derp.yaml]
database:
  type: sqlite
  sqlite:
    path: /var/lib/headscale/db.sqlite
policy:
  mode: file
  path: /etc/headscale/policy.hujson
dns:
  magic_dns: true
  base_domain: mesh.internal
  override_local_dns: true
  nameservers:
    global: [192.0.2.53, "https://dns.nextdns.io/ab1234"]
    split:
      corp.example.com: [10.0.0.53]
unix_socket: /run/headscale/headscale.sock
unix_socket_permission: "0770"
log:
  level: info
"""

DERP_MAP = """\
regions:
  1: null
  900:
    regionid: 900
    regioncode: home
    regionname: Home
    nodes:
      - name: 900a
        regionid: 900
        hostname: relay.example.com
        ipv4: 203.0.113.10
        ipv6: none
        stunport: 3478
        derpport: 443
"""

POLICY = """\
{
  // Staff reaches the web servers.
  "groups": {"group:staff": ["alice@", "bob@example.com"]},
  "hosts": {"lan": "10.1.0.0/16"},
  "tagOwners": {"tag:web": ["group:staff"]},
  "acls": [
    {"action": "accept", "src": ["group:staff"], "dst": ["tag:web:443", "lan:*"]},
    {"action": "accept", "proto": "icmp", "src": ["tag:web"], "dst": ["group:staff:*"]},
  ],
  "autoApprovers": {"routes": {"10.1.0.0/16": ["tag:web"]}},
  "tests": [
    {"src": "alice@", "accept": ["tag:web:443"], "deny": ["tag:web:22"]},
  ],
}
"""
USERS = ("alice", "bob@example.com")


@dataclass(frozen=True)
class Change:
    """A text that replaces another one, and the finding that must follow."""

    old: str
    new: str
    id: str
    severity: str
    line: str
    """A part of the line that the finding names, empty for none."""
    stops: bool = False
    """Whether Headscale refuses the file."""

    def of(self, text: str) -> str:
        """Return the changed file."""
        assert self.old in text
        return text.replace(self.old, self.new, 1)

    def __str__(self) -> str:
        """Return the id of a test."""
        return f"{self.id}: {self.new.strip() or self.old.strip()}"


def _add(text: str, found: str, severity: str, *, stops: bool = False) -> Change:
    """Return a change that adds lines at the end."""
    return Change(
        "  level: info\n", f"  level: info\n{text}\n", found, severity, text.rsplit("\n", maxsplit=1)[-1].strip(), stops
    )


CONFIG_CHANGES = (
    # Keys.
    _add("acl_policy_path: /x", "config.removed", "high"),
    _add("randomize_client_port: true", "config.removed", "high", stops=True),
    _add("oidc: {expiry: 180d}", "config.removed", "high", stops=True),
    _add("dns_config: {extra_records: []}", "config.removed", "high", stops=True),
    _add("dns_config: {magic_dns: true}", "config.removed", "high"),
    _add("ephemeral_node_inactivity_timeout: 30m", "config.deprecated", "low"),
    _add("db_type: sqlite3", "config.unknown", "medium"),
    _add("metrics_listen_adr: 127.0.0.1:9090", "config.unknown", "medium"),
    _add("log.levle: info", "config.unknown", "medium"),
    _add("log: {format: text}", "config.duplicate", "high", stops=True),
    Change("magic_dns: true", "magic_dns: yes", "config.value", "high", "magic_dns"),
    Change("region_id: 999", "region_id: nine", "config.value", "high", "region_id"),
    Change('"0770"', "0770", "config.value", "medium", "unix_socket_permission"),
    _add("node: {ephemeral: {inactivity_timeout: 1d}}", "config.value", "high", stops=True),
    _add("node: {ephemeral: {inactivity_timeout: 1800}}", "config.value", "high", stops=True),
    _add("node: {expiry: 5x}", "config.value", "medium"),
    # Names.
    Change(
        "server_url: https://hs.example.com",
        "server_url: hs.example.com",
        "config.server_url",
        "high",
        "server_url",
        True,
    ),
    Change("https://hs.example.com", "https://hs.example.com/mesh", "config.server_url", "high", "server_url"),
    Change("mesh.internal", "example.com", "config.base_domain", "high", "base_domain", True),
    Change("mesh.internal", "hs.example.com", "config.base_domain", "high", "base_domain", True),
    Change("mesh.internal", '""', "config.base_domain", "high", "base_domain", True),
    Change("mesh.internal", "Mesh.internal", "config.base_domain", "medium", "base_domain"),
    Change("mesh.internal", "mesh_1.internal", "config.base_domain", "high", "base_domain"),
    Change('[192.0.2.53, "https://dns.nextdns.io/ab1234"]', "[]", "config.nameservers", "high", "global", True),
    Change("192.0.2.53", "dns.example.com", "config.nameservers", "medium", "global"),
    Change("[10.0.0.53]", "[10.0.0.530]", "config.nameservers", "medium", "corp.example.com"),
    _add("dns.extra_records: [{name: a.b, type: CNAME, value: c.d}]", "config.records", "medium"),
    Change("https://hs.example.com", "https://localhost", "config.server_url", "high", "server_url"),
    Change("https://hs.example.com", "https://0.0.0.0:8080", "config.server_url", "high", "server_url"),
    Change("mesh.internal", "mesh.local", "config.base_domain", "medium", "base_domain"),
    Change("192.0.2.53", "127.0.0.53", "config.nameservers", "medium", "global"),
    Change("192.0.2.53", "100.100.100.100", "config.nameservers", "medium", "global"),
    Change("192.0.2.53", '"https://dns.example.com/q"', "config.nameservers", "medium", "global"),
    _add("dns.search_domains: [corp.example.com, 'https://x']", "config.nameservers", "medium"),
    _add("dns.extra_records: [{name: hs.example.com, type: A, value: 100.64.0.3}]", "config.records", "high"),
    _add("dns.extra_records: [{name: hs.example.com, type: A, value: 192.0.2.9}]", "", ""),
    _add("dns.extra_records: [{name: my_nas.home.arpa, type: A, value: 'fd7a:115c:a1e0::3'}]", "", ""),
    _add("dns.extra_records: [{name: '*.home.arpa', type: A, value: 100.64.0.3}]", "config.records", "medium"),
    Change("corp.example.com:", "_msdcs.corp.example.com:", "", "", ""),
    Change("corp.example.com:", '"*.corp.example.com":', "config.nameservers", "medium", "*.corp"),
    Change("192.0.2.53", '"https://private.canadianshield.cira.ca/dns-query"', "", "", ""),
    Change("mesh.internal", "relay.example.com", "config.base_domain", "low", "base_domain"),
    # Server.
    _add("tls_letsencrypt_hostname: other.example.com", "config.tls", "high"),
    _add("oidc: {issuer: 'https://id.example.com', allowed_domains: [example.com]}", "config.oidc", "high"),
    _add(
        "oidc: {issuer: 'https://id.example.com/.well-known/openid-configuration', client_id: x, allowed_users: [a@b]}",
        "config.oidc",
        "high",
    ),
    _add(
        "oidc: {issuer: 'https://id.example.com', client_id: x, allowed_domains: ['@example.com']}",
        "config.oidc",
        "high",
    ),
    _add(
        "oidc: {issuer: 'https://id.example.com', client_id: x, allowed_users: [a@b], scope: [email]}",
        "config.oidc",
        "high",
    ),
    _add(
        "oidc: {issuer: 'https://id.example.com', client_id: x, allowed_users: [a@b], pkce: {enabled: true, method: SHA256}}",
        "config.oidc",
        "medium",
    ),
    _add("---", "config.documents", "high"),
    Change("100.64.0.0/10", "100.64.0.0/33", "config.prefixes", "high", "v4", True),
    Change("100.64.0.0/10", "10.0.0.0/8", "config.prefixes", "high", "v4"),
    Change("100.64.0.0/10", "100.64.0.4/30", "config.prefixes", "medium", "v4"),
    Change("100.64.0.0/10", "100.64.0.4/31", "config.prefixes", "high", "v4"),
    Change("100.64.0.0/10", "100.115.93.0/24", "config.prefixes", "high", "v4"),
    Change("  v6: fd7a:115c:a1e0::/48\n", "  allocation: any\n", "config.prefixes", "high", "allocation", True),
    Change("  private_key_path: /var/lib/headscale/noise.key", "  x: 1", "config.required", "high", "noise", True),
    _add("trusted_proxies: [10.0.0.1]", "config.trusted_proxies", "high", stops=True),
    _add("trusted_proxies: [0.0.0.0/0]", "config.trusted_proxies", "high", stops=True),
    _add("tls_cert_path: /etc/cert.pem", "config.tls", "high"),
    _add("tls_letsencrypt_challenge_type: DNS-01", "config.tls", "high", stops=True),
    Change("type: sqlite", "type: mysql", "config.database", "high", "type: mysql", True),
    _add("node: {ephemeral: {inactivity_timeout: 60s}}", "config.timer", "high", stops=True),
    _add("node: {routes: {ha: {probe_interval: 5s}}}", "config.timer", "high", stops=True),
    _add("tuning: {node_store_batch_size: 0}", "config.timer", "high", stops=True),
    Change("mode: file", "mode: db", "config.policy", "high", "mode"),
    Change("mode: file", "mode: database", "config.policy", "low", "path"),
    Change("level: info", "level: all", "config.log", "medium", "level"),
    # Listeners.
    Change("127.0.0.1:8080", "127.0.0.1", "config.listen", "high", "listen_addr"),
    Change("127.0.0.1:8080", "127.0.0.1:99999", "config.listen", "high", "listen_addr"),
    Change("127.0.0.1:9090", "127.0.0.1:8080", "config.listen", "high", "metrics_listen_addr"),
    Change("0.0.0.0:3478", '"3478"', "config.listen", "high", "stun_listen_addr"),
    Change("0.0.0.0:3478", "127.0.0.1:3478", "config.listen", "high", "stun_listen_addr"),
    Change("127.0.0.1:8080", "0.0.0.0:80\ntls_letsencrypt_hostname: hs.example.com", "config.listen", "high", ""),
    # Relays.
    Change("    enabled: true", "    enabled: true\n    ipv4: 203.0.113.500", "config.derp", "high", "ipv4"),
    Change("    enabled: true", "    enabled: true\n    ipv6: 203.0.113.5", "config.derp", "high", "ipv6"),
    Change("/var/lib/headscale/derp.key", "/var/lib/headscale/noise.key", "config.derp", "high", "private_key_path"),
    Change("  urls: []", "  urls: [derp.example.com/map]", "config.derp", "high", "urls"),
    Change("    stun_listen_addr: 0.0.0.0:3478\n", "", "config.derp", "high", "server:", True),
    Change(
        "    enabled: true",
        "    enabled: true\n    verify_clients: false",
        "config.relay.open",
        "medium",
        "verify_clients",
    ),
    Change("  urls: []", "  urls: [https://derp.example.com/map]", "", "", ""),
    # Exposure.
    Change("127.0.0.1:9090", "0.0.0.0:9090", "config.metrics", "medium", "metrics_listen_addr"),
    Change("127.0.0.1:9090", ":9090", "config.metrics", "medium", "metrics_listen_addr"),
    Change("127.0.0.1:8080", "0.0.0.0:8080", "config.tls.listener", "low", "listen_addr"),
    Change('"0770"', '"0777"', "config.socket", "high", "unix_socket_permission"),
    Change("level: info", "level: debug", "config.log.debug", "low", "level"),
    _add("trusted_proxies: [10.0.0.0/8]", "config.trusted_proxies.broad", "medium"),
    _add("grpc_allow_insecure: true", "config.grpc", "high"),
    _add("logtail: {enabled: true}", "config.logtail", "low"),
    _add("oidc: {issuer: 'https://id.example.com', client_id: x}", "config.oidc.open", "medium"),
)

MAP_CHANGES = (
    Change("regions:", "Regions:", "derp.map", "high", "Regions"),
    Change("    regionid: 900\n", "    regionid: 901\n", "derp.map", "high", "regionid: 901"),
    Change("        regionid: 900\n", "        regionid: 9\n", "derp.map", "high", "regionid: 9"),
    Change("hostname: relay", "hostname: https://relay", "derp.map", "high", "hostname"),
    Change("relay.example.com", "relay.example.com:443", "derp.map", "high", "hostname"),
    Change("ipv4: 203.0.113.10", "ipv4: none", "derp.map", "high", "ipv4"),
    Change("ipv4: 203.0.113.10", "ipv4: 2001:db8::1", "derp.map", "high", "ipv4"),
    Change("stunport: 3478", "stunport: -1", "derp.map", "medium", "regions"),
    Change("derpport: 443", "derpport: 99999", "derp.map", "high", "derpport"),
    Change("derpport: 443", "derpPort: 443", "derp.map", "high", "derpPort"),
    Change("derpport: 443", "insecurefortests: true", "derp.insecure", "medium", "insecurefortests"),
    Change("regions:", "regions: [", "derp.yaml", "high", ""),
)

POLICY_CHANGES = (
    Change('"acls": [', '"acls": [ {', "policy.syntax", "high", "", True),
    Change('"hosts"', '"host"', "policy.key", "high", '"host"', True),
    Change('"src": ["group:staff"]', '"src": ["group:stuff"]', "policy.refused", "high", "group:stuff", True),
    Change('"tag:web:443"', '"tag:wep:443"', "policy.refused", "high", "tag:wep", True),
    Change('"10.1.0.0/16": ["tag:web"]', '"10.1.0.0/16": ["tag:wep"]', "policy.refused", "high", "tag:wep", True),
    Change('"10.1.0.0/16": ["tag:web"]', '"10.1.0.0/33": ["tag:web"]', "policy.refused", "high", "/33", True),
    Change('"bob@example.com"', '"bob@example.org"', "policy.user", "medium", "bob@example.org"),
    Change('"src": ["tag:web"]', '"src": []', "policy.never", "medium", '"src": []'),
    Change('"src": ["tag:web"], "dst": ["group:staff:*"]', '"src": ["100.64.0.9"], "dst": ["fd7a:115c:a1e0::9:*"]', "policy.never",
           "medium", "a1e0::9"),
    Change('"src": ["tag:web"]', '"src": ["fd7a:115c:a1e0::9"]', "policy.family", "low", "a1e0::9"),
    # Echo requests pass, although icmp is the protocol of IPv4.
    Change('["group:staff:*"]', '["fd7a:115c:a1e0::9:*"]', "policy.family", "low", "a1e0::9"),
    Change('"src": ["tag:web"]', '"src": ["100.64.0.9"]', "policy.family", "low", "100.64.0.9"),
    Change('"proto": "icmp", "src": ["tag:web"], "dst": ["group:staff:*"]', '"src": ["*"], "dst": ["*:*"]', "policy.everything", "low",
           '"*:*"', True),  # its test fails as well
    Change('"deny": ["tag:web:22"]', '"deny": ["tag:web:443"]', "policy.test", "high", '"deny"', True),
    Change('"accept": ["tag:web:443"]', '"accept": ["tag:web:80"]', "policy.test", "high", '"accept"', True),
    Change('{"src": "alice@"', '{"src": "carol@"', "policy.test", "high", '"src"', True),
    Change('"autoApprovers"', '"ssh": [{"action": "accept", "src": ["alice@"], "dst": ["tag:web"], "users": ["root"]}], "autoApprovers"',
           "policy.never", "medium", '"ssh"'),
    # The file alone does not tell which node has an address.
    *(
        Change(old, new, "policy.undecided", "info", line)
        for old, new, line in (
            ('"accept": ["tag:web:443"]', '"accept": ["100.64.0.9:443"]', '"accept"'),
            ('"deny": ["tag:web:22"]', '"deny": ["[fd7a:115c:a1e0::9]:443"]', '"deny"'),
            ('{"src": "alice@", "accept": ["tag:web:443"],', '{"src": "100.64.0.9", "accept": ["tag:web:443"],', '"accept"')
        )
    ),
    Change('"lan:*"]},', '"lan:*"]}, {"action": "accept", "src": ["alice@"], "dst": ["100.64.0.9:80", "[fd7a:115c:a1e0::9]:80"]},',
           "policy.family", "low", "100.64.0.9"),
    Change('"autoApprovers"', '"sshTests": [{"src": "alice@", "dst": ["100.64.0.9"], "accept": ["root"]}], "autoApprovers"',
           "policy.undecided", "info", "sshTests"),
    # Headscale refuses a policy that names these users.
    Change('"autoApprovers"', '"nodeAttrs": [{"target": ["carol@"], "attr": ["drive:share"]}], "autoApprovers"', "policy.user", "high",
           "nodeAttrs", True),
    Change('"bob@example.com"]}', '"bob@example.com"], "group:b": ["carol@"]}, "nodeAttrs": [{"target": ["group:b"], "attr": ["funnel"]}]',
           "policy.user", "high", "nodeAttrs", True),
    Change('"deny": ["tag:web:22"]', '"deny": ["carol@:22"]', "policy.user", "high", "carol@", True),
    Change('"deny": ["tag:web:22"]', '"deny": ["carol@:22"]', "policy.test", "high", "carol@", True),
    # Keys in another spelling.
    Change('"tagOwners"', '"Tag_Owners"', "", "", ""),
    Change('"acls"', '"a-c-l-s"', "", "", ""),
    Change('"dst": ["tag:web:443"', '"d_st": ["tag:web:443"', "", "", ""),
    Change('"hosts"', '"Groups": {}, "hosts"', "policy.refused", "high", "groups", True),
    *(
        Change('"autoApprovers"', f'"ssh": [{{"action": "accept", "src": ["{source}"], "dst": ["{target}"], "users": ["root"]}}], "autoApprovers"',
               "policy.refused", "high", '"ssh"', True)
        for source, target in (("group:stuff", "tag:web"), ("alice@", "lan"), ("alice@", "nas"), ("alice@", "*"), ("100.64.0.9", "tag:web"))
    ),
    Change('"10.1.0.0/16"}', '"10.1.0.0/16", "nas": "10.1.0.9"}', "policy.unused", "info", "nas"),
    # Headscale takes null for a list, but not for an object.
    Change('"10.1.0.0/16": ["tag:web"]', '"10.1.0.0/16": null', "", "", ""),
    Change('"tag:web": ["group:staff"]', '"tag:web": null', "", "", ""),
    Change('"acls": [', '"acls": [ null,', "policy.never", "medium", '"acls"'),
    Change('{"routes": {"10.1.0.0/16": ["tag:web"]}}', '{"routes": "10.1.0.0/16"}', "policy.refused", "high", "autoApprovers", True),
    Change('{"routes": {"10.1.0.0/16": ["tag:web"]}}', '["tag:web"]', "policy.refused", "high", "autoApprovers", True),
    # It ignores white space around some names.
    *(
        Change('"autoApprovers"', f'"ssh": [{{"action": "accept", "src": ["{source}"], "dst": ["{target}"], "users": ["root"]}}], "autoApprovers"',
               "policy.never", "medium", '"ssh"')
        for source, target in (("group:staff ", "tag:web"), ("alice@", " tag:web"))
    ),
    Change('"autoApprovers"', '"nodeAttrs": [{"target": [" tag:web "], "attr": ["drive:share"]}], "autoApprovers"', "", "", ""),
    Change('"10.1.0.0/16": ["tag:web"]', '"10.1.0.0/16": ["tag:web "]', "policy.refused", "high", "autoApprovers", True),
    Change('"autoApprovers"', '"nodeAttrs": [{"target": ["nas"], "attr": ["drive:share"]}], "autoApprovers"', "policy.refused", "high",
           "nodeAttrs", True),
    # What is refused in tests alone.
    *(
        Change('"deny": ["tag:web:22"]', f'"deny": ["{target}"]', "policy.test", "high", '"deny"', True)
        for target in ("tag:web:22-23", "tag:web:22,23", "tag:web:*", "10.2.0.0/16:22", "10.2.0.1/32:22", "lan:22", "autogroup:internet:22")
    ),
    Change('"accept": ["tag:web:443"], "deny": ["tag:web:22"]', '"deny": []', "policy.test", "high", '"src"', True),
    Change('{"src": "alice@"', '{"src": "alice@", "proto": "icmp"', "policy.test", "high", '"proto"', True),
    *(Change('{"src": "alice@"', f'{{"src": "alice@", "proto": "{proto}"', "", "", "") for proto in ("SCTP", "06")),
)  # fmt: skip
