# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory of virtual machines, and its topology."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from libvirt_inventory import read, topology_of

if TYPE_CHECKING:
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._inventory.places import Topology


@pytest.fixture
def inventory() -> dict[str, Any]:
    return read("libvirt")


@pytest.fixture
def topology(inventory: dict[str, Any]) -> Topology:
    return topology_of(inventory)
