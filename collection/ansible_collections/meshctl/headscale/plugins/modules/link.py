# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: link
short_description: Unplug the cable of a lab host, or plug it in
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Removes the carrier from a host's physical interface, from outside the host, or restores it.
  - Only hosts of a lab have such a cable, whether they are namespaces or virtual machines.
options:
  state:
    description: Whether the cable is plugged in.
    type: str
    choices: [plugged, unplugged]
    required: true
attributes:
  check_mode:
    description: Reports what it would change.
    support: full
  diff_mode:
    description: This action has no differences to show.
    support: none
"""

EXAMPLES = r"""
- name: Unplug the cable
  meshctl.headscale.link:
    state: unplugged
"""

RETURN = r"""
started_at:
  description: When the change began, in seconds since 1970 by the controller's clock; what a rejoin is timed from.
  returned: success
  type: float
  sample: 1790000000.5
"""
