# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run stories and the doctor in a mesh whose server gives addresses of one family only."""

from __future__ import annotations

import json

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import model

from .broken_mesh import ONE, THREE, TWO, BrokenMesh
from .lab_driver import LabDriver, Machine, standing, wait_for

pytestmark = pytest.mark.integration
_CLIENTS = {ONE, TWO, THREE}


@pytest.mark.parametrize(("family", "lacking"), [("ipv4", "v6"), pytest.param("ipv6", "v4", marks=pytest.mark.slow)])
def test_a_mesh_of_one_family_passes_and_is_examined_by_this_family(
    family: str, lacking: str, machine: Machine
) -> None:
    with standing(LabDriver(machine)) as lab:
        lab.vars["mesh_resolved_families"] = [family]
        shape = ("-e", json.dumps({f"headscale_server_prefix_{lacking}": ""}))
        lab.play("up.yml", *shape).succeeded()
        found = BrokenMesh(lab)
        wait_for(found.online, "every node is online")
        for known in found.status(ONE)["TailscaleIPs"]:
            assert (":" in known) is (family == "ipv6")
        run_dir = machine.home / f"{lab.name}-stories"
        for story in ("us1", "us2", "us3", "us4"):
            lab.play(f"stories/{story}.yml", *shape, MESHCTL_RUN_DIR=str(run_dir / story),
                     ANSIBLE_CALLBACKS_ENABLED="meshctl.headscale.report,record_results").succeeded()  # fmt: skip
            checks = model.load(run_dir / story).as_dict()["checks"]
            made = [check for check in checks if check["verdict"] == "passed"]
            pairs = {(check["source"], check["target"]) for check in made if check["family"] == family}
            if story == "us1":
                assert pairs >= {(here, there) for here in _CLIENTS for there in _CLIENTS - {here}}
            assert not [check for check in made if check["family"] not in (family, None)], "nothing passed unseen"
        assert found.examine(*shape) == []
        # A mesh of one family is not healthy because its checks are gone.
        with found.firewall(THREE, "chain in { type filter hook input priority 0; iifname tailscale0 drop; }"):
            bad = lab.play("stories/us1.yml", *shape, "-e", "mesh_deadline_s=3", MESHCTL_RUN_DIR=str(run_dir / "bad"),
                           ANSIBLE_CALLBACKS_ENABLED="meshctl.headscale.report,record_results")  # fmt: skip
            assert bad.status != 0
            checks = model.load(run_dir / "bad").as_dict()["checks"]
            assert f"{family}" in {
                check["family"] for check in checks if check["verdict"] == "failed" and check["target"] == THREE
            }
