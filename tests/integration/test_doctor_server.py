# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Break the server, its proxy, its relays and its DNS as public bug reports describe it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._doctor.files.examine import examine

from .broken_mesh import CONFIG, ONE, RELAY, SERVER, THREE, TWO, BrokenMesh, hint, ids, patient, roots
from .lab_driver import wait_for

__all__ = ["patient"]
pytestmark = pytest.mark.integration
_DERP, _DERPER = "/etc/headscale/derp.yaml", "/etc/meshctl/services/derper/run"
_DATABASE = "/var/lib/headscale/db.sqlite"
_NGINX = """events {} http { access_log off; map $http_upgrade $connection_upgrade { default upgrade; "" close; }
server { listen 443 ssl; ssl_certificate /etc/meshctl/tls/cert.pem; ssl_certificate_key /etc/meshctl/tls/key.pem;
location / { RULE proxy_pass https://127.0.0.1:8443; proxy_http_version 1.1; proxy_buffering off; proxy_set_header Host $host;
proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; } } }
pid /run/proxy.pid; error_log stderr; user root;"""


@contextlib.contextmanager
def _proxied(patient: BrokenMesh, rule: str) -> Iterator[None]:
    """Put nginx with a rule in front of headscale."""
    patient.sh(SERVER, f"cat >/etc/proxy.conf <<'END'\n{_NGINX.replace('RULE', rule)}\nEND")
    with patient.config(f"sed -i 's/^listen_addr:.*/listen_addr: 127.0.0.1:8443/' {CONFIG}", healthy=False):
        wait_for(lambda: "8443" in patient.sh(SERVER, "ss -Hltn"), "headscale has moved")
        patient.sh(SERVER, "nginx -c /etc/proxy.conf >/dev/null 2>&1 </dev/null")
        try:
            yield
        finally:
            patient.sh(SERVER, "kill $(cat /run/proxy.pid)")
            wait_for(lambda: ":443 " not in patient.sh(SERVER, "ss -Hltn"), "the proxy has gone")


@contextlib.contextmanager
def _derp_map(patient: BrokenMesh, script: str) -> Iterator[None]:
    """Change the DERP map for a while."""
    patient.sh(SERVER, f"cp {_DERP} /run/derp.good; {script}")
    try:
        patient.restart()
        wait_for(patient.online, "the clients have the map", seconds=30)
        yield
    finally:
        patient.sh(SERVER, f"cp /run/derp.good {_DERP}")
        patient.restart()
        wait_for(patient.online, "all nodes are back", seconds=30)


@contextlib.contextmanager
def _derper(patient: BrokenMesh, script: str) -> Iterator[None]:
    """Change the options of the relay for a while."""
    patient.sh(RELAY, f"cp {_DERPER} /run/derper.good; sed -i '{script}' {_DERPER}; s6-svc -r /etc/service/derper")
    try:
        yield
    finally:
        patient.sh(RELAY, f"cp /run/derper.good {_DERPER}; s6-svc -r /etc/service/derper")


def _hostname(name: str, more: str = "") -> str:
    return f"sed -i 's#hostname: .*#hostname: {name}{more}#' {_DERP}"


def _sql(patient: BrokenMesh, statement: str) -> None:
    patient.sh(SERVER, f'sqlite3 -cmd ".timeout 5000" {_DATABASE} "{statement}"')


def test_a_proxy_that_passes_everything_on_is_no_finding_and_one_that_rejects_clients_is(patient: BrokenMesh) -> None:
    with _proxied(patient, ""):
        wait_for(patient.online, "all connect through the proxy", seconds=30)
        healthy = patient.examine()
    with _proxied(patient, "if ($http_user_agent ~ Go-http-client) { return 403; }"):
        wait_for(lambda: not patient.status(ONE)["Self"]["Online"], "the clients are cut off")
        findings, headline = patient.examine(), patient.headline
    assert healthy == []
    assert roots(findings) == {"doctor.server"}
    assert headline.startswith("all 3 clients: https://headscale.lab.test: nginx")
    assert "rejects the User-Agent Go-http-client (403)" in headline
    with _proxied(patient, "return 200 '<html>hello</html>';"):
        wait_for(lambda: not patient.status(ONE)["Self"]["Online"], "the clients are cut off")
        findings = patient.examine()
    assert "answers 200 with a page of HTML instead of headscale" in patient.headline
    assert roots(findings) <= {"doctor.server", "doctor.api"}


@pytest.mark.parametrize(
    ("script", "finding", "words"),
    [
        (f"printf 'foo: [bar\\n' >>{CONFIG}", "doctor.start", "yaml: line "),
        pytest.param(
            f"sed -i 's/global: .*/global: []/' {CONFIG}",
            "doctor.config",
            "dns.nameservers.global",
            marks=pytest.mark.slow,
        ),
        (
            f"sed -i 's#mode: database#mode: file\\n  path: /run/broken.hujson#' {CONFIG}; "
            """printf '{"groups": {"group:a": ["default"]}}' >/run/broken.hujson""",
            "doctor.start",
            'username must contain @, got: "default"',
        ),
        (
            f"sed -i 's/^  type: sqlite/  type: postgres\\n  postgres: {{host: 203.0.113.10, port: 5432, name: hs, user: hs, "
            f"pass: x}}/' {CONFIG}",
            "doctor.start",
            "connection refused",
        ),
        pytest.param(
            f"sed -i 's#^tls_cert_path:.*#tls_cert_path: /nowhere.pem#' {CONFIG}",
            "doctor.start",
            "/nowhere.pem",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["yaml", "resolvers", "policy", "postgres", "tls"],
)
def test_a_server_that_does_not_start(patient: BrokenMesh, script: str, finding: str, words: str) -> None:
    with patient.config(script, healthy=False):
        wait_for(lambda: ":443 " not in patient.sh(SERVER, "ss -Hltn"), "headscale has stopped")
        # It is started again every second, and stops after another moment.
        patient.sh(SERVER, "sleep 2")
        findings = patient.examine()
    assert roots(findings) == {finding}
    assert words in patient.headline


def test_a_database_that_another_process_locks(patient: BrokenMesh) -> None:
    code = f"import sqlite3, time; sqlite3.connect('{_DATABASE}', isolation_level=None).execute('begin immediate'); time.sleep(60)"
    patient.sh(SERVER, f'python3 -c "{code}" </dev/null >/dev/null 2>&1 & echo $! >/run/locker; sleep 1')
    # What waits to be written keeps what is read waiting, too.
    patient.sh(SERVER, "(headscale preauthkeys create --expiration 1m </dev/null >/dev/null 2>&1 &)")
    try:
        findings = patient.examine()
    finally:
        patient.sh(SERVER, "kill $(cat /run/locker)")
    assert roots(findings) == {"doctor.database"}
    assert "python3 (pid " in patient.headline


def test_a_database_that_cannot_be_written(patient: BrokenMesh) -> None:
    where = _DATABASE.rpartition("/")[0]
    patient.sh(SERVER, f"mount --bind {where} {where} && mount -o remount,ro,bind {where}")
    try:
        findings = patient.examine()
    finally:
        patient.sh(SERVER, f"umount {where}")
    assert roots(findings) == {"doctor.database.space"}
    assert f"the file system of {_DATABASE} is read-only" in patient.headline


def test_records_of_the_database(patient: BrokenMesh) -> None:
    _sql(patient, "update nodes set expiry='0001-01-01 00:00:00+00:00' where hostname='client-node-2'")
    _sql(
        patient,
        "insert into users (name, provider, provider_identifier, created_at) values ('default', 'oidc', 'x', datetime('now'))",
    )
    try:
        patient.restart()
        wait_for(patient.online, "all clients have connected again", seconds=60)
        findings = patient.examine()
    finally:
        _sql(patient, "delete from users where provider='oidc'")
        _sql(patient, "update nodes set expiry=null where hostname='client-node-2'")
        patient.restart()
        wait_for(patient.online, "all nodes are back", seconds=30)
    assert roots(findings) == {"doctor.users"}, "an expiry of zero means never"
    assert "are all called default" in patient.headline


def test_prefixes(patient: BrokenMesh) -> None:
    one = patient.address(ONE)
    with patient.config(f"sed -i 's#v4: .*#v4: 10.0.0.0/24#' {CONFIG}", restart=False):
        findings = patient.examine()
    assert ids(findings) == {"doctor.prefixes"}
    assert "support only parts of 100.64.0.0/10" in hint(findings, "doctor.prefixes")
    assert f"{ONE} ({one})" in hint(findings, "doctor.prefixes")
    assert {finding.target for finding in findings} == {None, TWO, THREE}, "the hosts of that network"


def test_a_url_that_is_written_differently_is_the_same(patient: BrokenMesh) -> None:
    assert patient.examine("-e", "mesh_server_url=https://HEADSCALE.lab.test:443/") == []


@pytest.mark.parametrize(
    ("script", "finding", "words"),
    [
        (_hostname("https://relay.lab.test"), "doctor.relay.https", "must be a name without https://"),
        pytest.param(
            f"sed -i 's#ipv4: .*#ipv4: none#' {_DERP}",
            "doctor.relay.https",
            "remove `ipv4: none`",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["scheme", "no-address"],
)
def test_maps_of_relays_that_are_wrong(patient: BrokenMesh, script: str, finding: str, words: str) -> None:
    with _derp_map(patient, script):
        findings = patient.examine()
    assert finding in roots(findings)
    assert words in patient.headline


@pytest.mark.slow
def test_a_relay_whose_certificate_is_pinned_or_not_verified(patient: BrokenMesh) -> None:
    certificate = "/var/lib/derper/certs/203.0.113.10.crt"
    with _derper(patient, "s/-hostname=relay.lab.test/-hostname=203.0.113.10/"):
        wait_for(lambda: patient.sh(RELAY, f"ls {certificate} || true"), "derper has made a certificate")
        pin = patient.sh(RELAY, f"openssl x509 -in {certificate} -outform DER | sha256sum | cut -d' ' -f1").strip()
        for more in (f"certname: sha256-raw:{pin}", "insecurefortests: true"):
            with _derp_map(patient, _hostname("203.0.113.10", f"\\n        {more}")):
                assert patient.examine() == []
        with _derp_map(patient, _hostname("203.0.113.10", f"\\n        certname: sha256-raw:{'0' * 64}")):
            assert "the pinned SHA-256" in hint(patient.examine(), "doctor.relay.https")


def test_a_relay_that_refuses_admission(patient: BrokenMesh) -> None:
    def refused(name: str) -> bool:
        return any("could not connect to the" in line for line in patient.status(name)["Health"])

    refuse = "s#-stun#-stun -verify-client-url=https://headscale.lab.test/nothing -verify-client-url-fail-open=false#"
    with _derper(patient, refuse):
        wait_for(lambda: all(map(refused, (ONE, TWO, THREE))), "the clients say so", seconds=60)
        findings = patient.examine()
    wait_for(lambda: not any(map(refused, (ONE, TWO, THREE))), "the relay takes the clients again", seconds=60)
    assert roots(findings) == {"doctor.relay.admission"}
    assert "-verify-client-url" in patient.headline


def test_resolvers_inside_the_mesh_and_of_single_domains(patient: BrokenMesh) -> None:
    two = patient.address(TWO)
    with patient.config(f"""sed -i 's/global: .*/global: ["{two}"]/' {CONFIG}"""):
        wait_for(lambda: two in patient.sh(ONE, "tailscale dns status"), "the clients have the resolver")
        looped, headline = patient.examine(), patient.headline
    with patient.config(f"""sed -i 's/split: .*/split: {{corp.lab.test: ["10.0.0.250"]}}/' {CONFIG}"""):
        wait_for(lambda: "corp.lab.test" in patient.sh(ONE, "tailscale dns status"), "the clients have the resolver")
        wait_for(patient.online, "all clients have connected again", seconds=60)
        dead = patient.examine()
    assert roots(looped) == {"doctor.upstream_dns"}
    assert f"{two}, which is {TWO} in this mesh" in headline
    assert roots(dead) == {"doctor.split_dns"}
    assert "the resolver 10.0.0.250 of corp.lab.test" in patient.headline


def test_the_files_of_the_server_have_no_findings(patient: BrokenMesh, tmp_path: Path) -> None:
    for name in (CONFIG, _DERP):
        (tmp_path / Path(name).name).write_text(patient.sh(SERVER, f"cat {name}"))
    assert examine(str(tmp_path / "config.yaml"), None).result("low")["findings"] == []


def test_what_could_be_attacked(patient: BrokenMesh) -> None:
    """Expose the server in several ways at once; the remedies close them, and nothing else is found."""
    script = (
        f"sed -i 's/^metrics_listen_addr:.*/metrics_listen_addr: 0.0.0.0:9090/; s/level: info/level: debug/' {CONFIG}"
    )
    noise = "/var/lib/headscale/noise_private.key"
    database = (
        "import sqlite3; d = sqlite3.connect('/var/lib/headscale/db.sqlite'); "
        "d.execute('update pre_auth_keys set expiration = null where reusable'); d.commit()"
    )
    with patient.config(script):
        patient.sh(SERVER, f'chmod o+x /var/lib/headscale; chmod o+r {noise}; python3 -c "{database}"')
        wait_for(patient.online, "all clients have connected again", seconds=60)
        found = patient.examine()
        # The directory kept other users from the database as well.
        assert {finding.id.rpartition(".")[2]: finding.target for finding in found if "files" not in finding.id} == {
            "metrics": None, "preauthkey": "preauthkey 1",
        }  # fmt: skip
        assert {finding.target for finding in found if "files" in finding.id} == {noise, _DATABASE}
        assert all(finding.source == SERVER for finding in found)
        for finding in found:
            if "`" in finding.hint:
                patient.sh(SERVER, finding.hint.split("`")[1])
        assert [finding.id for finding in patient.examine("-e", "mesh_min_severity=high")] == []
        low = {finding.id for finding in patient.examine("-e", "mesh_min_severity=low")}
        assert {"doctor.hardening.metrics", "doctor.hardening.log.debug"} <= low
        assert not {"doctor.hardening.files", "doctor.hardening.preauthkey"} & low
    patient.sh(SERVER, "chmod o-x /var/lib/headscale")


@pytest.mark.slow
def test_a_certificate_for_another_name(patient: BrokenMesh) -> None:
    # The relay has one of the same authority.
    files = {name: patient.sh(RELAY, f"cat /etc/meshctl/tls/{name}") for name in ("cert.pem", "key.pem")}
    patient.sh(SERVER, "cp -a /etc/meshctl/tls /run/tls.good")
    for name, said in files.items():
        patient.sh(SERVER, f"cat >/etc/meshctl/tls/{name} <<'END'\n{said}\nEND")
    try:
        patient.restart()
        findings = patient.examine()
    finally:
        patient.sh(SERVER, "cp -a /run/tls.good/. /etc/meshctl/tls/")
        patient.restart()
        wait_for(patient.online, "all nodes are back", seconds=30)
    assert roots(findings) == {"doctor.server"}
    assert "its certificate is for another name" in patient.headline


@pytest.mark.slow
def test_a_server_that_listens_for_its_own_host_alone(patient: BrokenMesh) -> None:
    with patient.config(f"sed -i 's/^listen_addr:.*/listen_addr: 127.0.0.1:443/' {CONFIG}"):
        findings = patient.examine()
    assert roots(findings) == {"doctor.server"}
    assert "headscale listens at 127.0.0.1:443 alone" in patient.headline


@pytest.mark.slow
def test_a_proxy_whose_idle_timeout_is_short(patient: BrokenMesh) -> None:
    with _proxied(patient, "proxy_read_timeout 4s;"):
        count = "grep -c 'PollNetMap: unexpected EOF' /var/log/meshctl/tailscaled/current || true"
        before = int(patient.sh(ONE, count))
        wait_for(
            lambda: int(patient.sh(ONE, count)) > before + 7, "it has cut the connection often enough", seconds=120
        )
        findings = patient.examine()
    assert roots(findings) == {"doctor.connection"}
    assert "raise `proxy_read_timeout`" in patient.headline
    wait_for(lambda: patient.examine() == [], "nothing is cut any more", seconds=60)


@pytest.mark.slow
def test_a_map_with_the_wrong_ports(patient: BrokenMesh) -> None:
    with _derp_map(patient, f"sed -i 's/stunport: .*/stunport: 3479/' {_DERP}"):
        findings = patient.examine()
    assert roots(findings) == {"doctor.relay.stun"}
    assert "correct stunport" in patient.headline
    with _derp_map(patient, f"sed -i 's/derpport: .*/derpport: 8443/' {_DERP}"):
        findings = patient.examine()
    assert roots(findings) == {"doctor.relay.https"}
    assert "correct derpport" in patient.headline


@pytest.mark.slow
def test_a_policy_file_that_headscale_has_not_read(patient: BrokenMesh) -> None:
    policy, file = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["%s"]}]}', "/run/policy.hujson"
    patient.sh(SERVER, f"printf %s '{policy % '*:*'}' >{file}")
    with patient.config(f"sed -i 's#mode: database#mode: file\\n  path: {file}#' {CONFIG}"):
        wait_for(patient.online, "all nodes are back", seconds=30)
        patient.sh(SERVER, f"printf %s '{policy % '100.64.0.99:*'}' >{file}")
        findings = patient.examine()
        assert roots(findings) == {"doctor.policy.reach"}
        assert "has not read its policy file since that changed" in patient.headline
        patient.sh(SERVER, re.findall(r"`([^`]+)`", patient.headline)[0])
        wait_for(lambda: not patient.peer(ONE, TWO), "the clients have the policy", seconds=30)
        assert "packets pass" not in hint(patient.examine(), "doctor.policy.reach")
