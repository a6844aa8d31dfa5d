# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: link
short_description: Pull the cable of a lab machine, or plug it in
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Takes the carrier from a machine's physical interface, from the outside, or gives it back.
  - Only machines of the embedded lab have a cable that can be pulled this way.
options:
  state:
    description: Whether the cable is plugged in.
    type: str
    choices: [plugged, unplugged]
    required: true
attributes:
  check_mode:
    description: Says what it would change.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Pull the cable
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
