# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules can do, in Ansible's own terms."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of modules."""

    DOCUMENTATION = r"""
options: {}
attributes:
  platform:
    description: Which operating systems a host of the task may have.
    support: full
    platforms: posix
  action_group:
    description: Use C(group/meshctl.headscale.headscale) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - meshctl.headscale.headscale
"""

    STATE = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what it would change, without changing it.
    support: full
  diff_mode:
    description: Returns what was and what is (or would be) in C(diff) mode. Secrets are never part of it.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode); it never changes anything.
    support: full
  diff_mode:
    description: Returns what was and what is in C(diff) mode.
    support: N/A
    details: This module changes nothing.
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

    READ = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode), because it changes nothing.
    support: full
  diff_mode:
    description: Returns what was and what is in C(diff) mode.
    support: N/A
    details: It changes nothing.
"""
