# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hosts and servers report becomes facts, and no fact is ever a template: not in options, artifacts or other hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.meshctl.headscale.plugins.action import report_info
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import remote
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import control
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.base import Unseen
from project import ROOT


def test_a_hosts_answer_stays_text_in_every_later_task(tmp_path: Path) -> None:
    """A hostile python3 answers the probe; its facts go through options, loops, set_fact and artifacts."""
    evil = "{{ lookup('ansible.builtin.pipe', 'touch " + str(tmp_path / "owned") + "') }}"
    status = {
        "BackendState": "Running",
        "Version": evil,
        "Self": {
            "ID": evil, "PublicKey": "nodekey:" + "ab" * 32, "HostName": evil, "DNSName": evil, "TailscaleIPs": [evil], "UserID": 1,
            "Online": True, "Tags": [evil], "CapMap": {evil: [evil]},
        },
        "Peer": {evil: {"HostName": evil, "DNSName": evil, "PublicKey": evil, "TailscaleIPs": [evil], "Online": True}},
        "Health": [evil],
        "MagicDNSSuffix": evil,
        "CurrentTailnet": {"Name": evil, "MagicDNSSuffix": evil, "MagicDNSEnabled": True},
    }  # fmt: skip
    seen = {"kind": "status", "ok": True, "duration_ms": 1, "data": status}
    names = ("status", "prefs", "derpmap", "dns_config", "resolv_conf", "client", "self", "version")
    document = {
        "host": {"hostname": evil, "python": evil, "euid": 0},
        "observations": {name: {**seen, "kind": name} for name in names},
    }
    python = tmp_path / "python3"
    python.write_text(
        f"#!{sys.executable}\nimport sys\nsys.stdin.read()\nprint('\\n{remote._MARK}' + {json.dumps(document)!r})\n",
        encoding="utf-8",
    )
    python.chmod(0o755)
    hosts = {
        "all": {
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": str(python), "mesh_backend": "hosts"},
            "children": {"clients": {"hosts": {"a": None, "b": None}}, "headscale": {"hosts": {"s": None}}},
        }
    }
    tasks: list[dict[str, Any]] = [
        {"meshctl.headscale.client_info": {"required": False}, "register": "info"},
        {"debug": {"msg": "{{ mesh_client | default({}) }} {{ info }} {{ hostvars['a'].mesh_client | default({}) }}"}},
        {"set_fact": {"again": "{{ info }}", "named": "{{ info | to_json }}"}},
        {"set_stats": {"data": {"all": "{{ again }}", "text": "{{ named }}"}}},
        {"debug": {"msg": "{{ item }}"}, "loop": "{{ (info | dict2items) }}"},
        {"debug": {"msg": "{{ again }} {{ named }}"}},
        {"meshctl.headscale.diagnose": {"part": "client"}, "ignore_errors": True, "register": "found"},
        {"debug": {"msg": "{{ found }} {{ mesh_diagnosis | default({}) }}"}},
        {"meshctl.headscale.assert_connected": {"deadline": 1, "peers": ["b"], "nodes": {"a": {"key": "{{ again | to_json }}"}, "b": "{{ again }}"}},
         "ignore_errors": True, "register": "checked"},
        {"debug": {"msg": "{{ checked }}"}},
    ]  # fmt: skip
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(hosts), encoding="utf-8")
    (tmp_path / "play.yml").write_text(
        yaml.safe_dump([{"hosts": "clients", "gather_facts": False, "tasks": tasks}]), encoding="utf-8"
    )
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=200,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collection"), "ANSIBLE_HOME": str(tmp_path / "ansible"),
             "ANSIBLE_SHOW_CUSTOM_STATS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "lookup(" in done.stdout
    assert not (tmp_path / "owned").exists()


def test_artifacts_hold_no_templates() -> None:
    data = {"bad": [{"hint": "{{ a }} {% b %} {# c #} {{{ d", "{{ k }}": 1}]}
    found = json.dumps(report_info._inert(data))
    assert not any(mark in found for mark in ("{{", "{%", "{#"))


def test_the_probe_sends_no_key_in_plain_text_to_a_public_address(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def resolve(host: str, *_args: object, **_options: object) -> list[Any]:
        address = {
            "public.example": "8.8.8.8",
            "mapped.example": "::ffff:8.8.8.8",
            "6to4.example": "2002:808:808::1",
        }.get(host, "10.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    for host in ("public.example", "mapped.example", "6to4.example"):
        with pytest.raises(Unseen, match="plain http"):
            control._refuse_exposure(f"http://{host}")
    control._refuse_exposure("http://private.example:8080")
    control._refuse_exposure("https://public.example")
