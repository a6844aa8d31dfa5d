# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the documentation of all assertions shares."""

from __future__ import annotations


class ModuleDocFragment:
    """Options and attributes of assertions."""

    DOCUMENTATION = r"""
options:
  story:
    description:
      - The story that the checks belong to; the first part of their ids.
      - The variable C(mesh_story) when not set, else V(adhoc).
    type: str
  deadline:
    description:
      - Seconds in which the checks may become true. The host is looked at at least once, also with V(0).
      - Each check that has passed stays passed; only what has not is looked at again.
      - Each assertion has a default of its own, named in its description.
    type: float
  interval:
    description: Seconds between two looks; V(0.25) at most.
    type: float
    default: 0.25
  skip:
    description:
      - A reason. When it is not empty nothing is looked at, and one check with the verdict C(skipped) and this reason is
        returned.
    type: str
    default: ''
  socket:
    description:
      - tailscaled's socket on the host.
      - The variable C(mesh_tailscaled_socket) when not set, else V(/var/run/tailscale/tailscaled.sock).
    type: path
attributes:
  check_mode:
    description: Can run in C(check_mode); it only looks.
    support: full
  diff_mode:
    description: Returns what was and what is in C(diff) mode.
    support: N/A
    details: An assertion changes nothing.
  action:
    description: Runs on the controller; looks at the host through its connection, with nothing but Python on it.
    support: full
  platform:
    description: Which operating systems a host of the task may have.
    support: full
    platforms: linux
requirements:
  - Python 3.8 or later on the host
"""

    MEMBERS = r"""
options:
  nodes:
    description:
      - The members of the mesh, as M(meshctl.headscale.assert_registered) returns them in
        RV(meshctl.headscale.assert_registered#module:mesh_nodes), or a list of names of some of them.
      - The fact C(mesh_nodes) of this host, of the host in the group C(headscale) or of C(localhost) when not set.
    type: raw
"""

    PEERS = r"""
options:
  peers:
    description: Inventory names of the nodes on the other side; all other members when not set.
    type: list
    elements: str
"""
