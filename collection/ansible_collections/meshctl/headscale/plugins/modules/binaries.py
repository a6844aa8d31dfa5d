# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name, which holds the code."""

from __future__ import annotations

DOCUMENTATION = r"""
module: binaries
short_description: Find headscale, tailscale, tailscaled and derper, or fetch or build them
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Finds each program on the controller. Tries the path that O(paths) names, then meshctl's cache, then the official
    release archive, whose checksum is verified, and finally a build with Go from the modules that the project pins.
  - The cache is C(~/.cache/meshctl/bin), or C(bin) below the directory that the environment variable
    E(MESHCTL_CACHE_DIR) names. It is separate for each version. A damaged program is reported and replaced.
  - A build takes up to ten minutes, once. Progress is shown while it runs.
  - With C(run_once) the facts are set on every host of the play.
options:
  programs:
    description: The programs to find.
    type: list
    elements: str
    choices: [headscale, tailscale, tailscaled, derper]
    default: [headscale, tailscale, tailscaled, derper]
  paths:
    description:
      - Your programs, by name. Each must exist, be executable and report its version, otherwise the task fails. A named
        program is never replaced by another.
      - When empty, the variable C(mesh_binaries) is used.
    type: dict
    default: {}
  versions:
    description:
      - The required versions of V(headscale) and V(tailscale), by these names.
      - Defaults to the variables C(mesh_headscale_version) and C(mesh_tailscale_version), then to the version that the
        project pins.
      - A version other than the pinned one can only be fetched as an archive. The relay derper has no archive and always
        has the pinned version.
    type: dict
    default: {}
  sources:
    description: How to obtain a program that is neither named nor cached.
    type: list
    elements: str
    choices: [archive, build]
    default: [archive, build]
  release_urls:
    description:
      - Base addresses of the release archives of V(headscale) and V(tailscale), for a mirror.
      - Defaults to the variables C(mesh_release_url_headscale) and C(mesh_release_url_tailscale), then to the environment
        variables E(MESHCTL_RELEASE_URL_HEADSCALE) and E(MESHCTL_RELEASE_URL_TAILSCALE), then to the publisher's address.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Can run in check mode and return whether something would be fetched or built.
    details:
      - The result then omits programs that would have to be fetched or built.
  diff_mode:
    support: none
    description: Returns details on what has changed when in diff mode.
  idempotent:
    support: full
    description: When run twice with the same arguments, the second run changes nothing.
  platform:
    support: full
    platforms: linux
    description: The controller's operating system.
"""

EXAMPLES = r"""
- name: Find all four programs
  meshctl.headscale.binaries:
  run_once: true

- name: Find the control server's program only, and build nothing
  meshctl.headscale.binaries:
    programs: [headscale]
    sources: [archive]
  run_once: true

- name: Use an installed client
  meshctl.headscale.binaries:
    programs: [tailscale, tailscaled]
    paths:
      tailscale: /usr/bin/tailscale
      tailscaled: /usr/sbin/tailscaled
  run_once: true
"""

RETURN = r"""
mesh_binaries_found:
  description: The path of each program. Set as a fact, too.
  returned: success
  type: dict
  sample:
    headscale: /home/user/.cache/meshctl/bin/headscale-0.29.3/headscale
    tailscale: /home/user/.cache/meshctl/bin/tailscale-1.102.5/tailscale
mesh_versions:
  description: The version of each program. Set as a fact, too.
  returned: success
  type: dict
  sample: {headscale: 0.29.3, tailscale: 1.102.5}
sources:
  description: Where each program came from, which is V(inventory), V(cache), V(archive) or V(build).
  returned: success
  type: dict
  sample: {headscale: cache, tailscale: cache}
"""
