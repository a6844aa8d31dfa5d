# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The model of many hosts answers as the probe does, and its figures can be drawn."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._action.options import lifted
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host import remote
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.context import CheckContext, Node
from ansible_collections.meshctl.headscale.plugins.plugin_utils._judge.reachable import Reachable, judge_reachable

BENCH = Path(__file__).resolve().parents[2] / "bench"


def load(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    name = f"bench_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_the_model_answers_as_the_probe_does(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(BENCH / "model/mesh_model.py", monkeypatch)
    pings = {"id": "icmp", "kind": "icmp", "targets": ["100.64.0.2", "fd7a::2"], "count": 3}
    observe = [{"id": "watched", "kind": "capture", "during": [pings]}, {"id": "addresses", "kind": "addresses"}]
    connection = module.Connection.__new__(module.Connection)
    monkeypatch.setattr(module.ConnectionBase, "exec_command", lambda *_args, **_options: None, raising=False)
    asked = remote.encode("pass", {"observe": observe}, deadline_s=5)
    code, out, err = connection.exec_command("python3", in_data=asked)
    answer = remote.decode(code, out.decode(), err.decode(), interpreter="python3", deadline_s=5)
    peer = Node(name="two", id="2", key="nodekey:2", given_name="two", addresses=("100.64.0.2", "fd7a::2"))
    context = CheckContext(story="us1", assertion="reachable", source="one", shell="")
    checks = judge_reachable(lifted(answer, "watched", ("icmp",)), context, Reachable(peers=(peer,)))
    assert [check.verdict for check in checks] == ["passed"] * 3


@pytest.mark.parametrize(("hosts", "peers"), [(2, 12), (10, 4), (300, 12)])
def test_every_host_is_asked_for_as_often_as_it_asks(hosts: int, peers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = load(BENCH / "model.py", monkeypatch).inventory(hosts, peers)["all"]["children"]
    chosen = {name: about["model_peers"] for name, about in made["clients"]["hosts"].items()}
    assert all(name not in found and len(set(found)) == min(peers, hosts - 1) for name, found in chosen.items())
    asked_for = Counter(peer for found in chosen.values() for peer in found)
    assert set(asked_for.values()) == {min(peers, hosts - 1)} and len(asked_for) == hosts
    nodes = made["headscale"]["hosts"]["headscale-server"]["mesh_nodes"]
    assert len({address for node in nodes.values() for address in node["addresses"]}) == 2 * hosts


def test_the_figures_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(BENCH / "model.py", monkeypatch)
    found = [
        model.Figures(
            hosts=hosts, peers=12, checks=5 * hosts, seconds=1.0, cpu_s=hosts / 10, peak_mb=70 + hosts,
            write_cpu_s=1.0, json_mb=1.0, html_mb=1.0, junit_mb=1.0,
        )
        for hosts in (10, 100)
    ]  # fmt: skip
    root = ElementTree.fromstring(model.drawing(found))  # noqa: S314 - our own output
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"CPU seconds by hosts", "Megabytes by hosts", "10", "100", "170"} <= texts
