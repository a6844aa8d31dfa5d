# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service
short_description: Manage a supervised service and its files on a host
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Writes a service's files, defines it with the host's service manager, starts it, and waits until it answers.
  - Restarts the service only when its definition or the content of one of its files changes, or when they changed in an earlier
    run that ended before the restart.
  - Works in the lab, whose machines run C(s6), and on hosts with C(systemd).
  - Needs a single exchange with the host.
options:
  name:
    description: Name of the service.
    type: str
    required: true
  description:
    description: Description of the service for the service manager.
    type: str
  command:
    description: The program, with its absolute path, and its arguments. Required with O(state=started); other states use the existing definition.
    type: list
    elements: str
  environment:
    description: Environment variables of the service. Do not put secrets here, because every user of the host can read the definition.
    type: dict
    default: {}
  state:
    description:
      - V(started) keeps it running, also after reboots; V(stopped) keeps it stopped; V(restarted) always restarts it.
      - V(killed) kills its process like a crash, and waits until the service manager starts another one.
      - V(absent) stops it and removes its definition and the O(files).
    type: str
    choices: [started, stopped, restarted, killed, absent]
    default: started
  manager:
    description: The service manager; V(auto) selects systemd if it runs.
    type: str
    choices: [auto, s6, systemd]
    default: auto
  directories:
    description: Directories that the service needs.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: Absolute path., type: path, required: true}
      mode: {description: Octal mode., type: str, default: "0755"}
  links:
    description: Symbolic links that the service needs.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: Absolute path., type: path, required: true}
      target: {description: What it points to., type: path, required: true}
  files:
    description: Files of the service. A change of content restarts it.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: Absolute path., type: path, required: true}
      content: {description: The whole content., type: str, required: true}
      mode: {description: Octal mode., type: str, default: "0644"}
      secret: {description: Whether the content must stay out of the diff., type: bool, default: false}
  validate:
    description:
      - A command that checks the files. It runs before a restart when one of them changed.
      - When it fails, the task restores the files and fails, and the service keeps running.
    type: list
    elements: str
  ready:
    description: A socket that must accept a connection before the task ends.
    type: dict
    suboptions:
      tcp: {description: Address and port., type: list, elements: str}
      unix: {description: Path of a socket., type: path}
      seconds: {description: How long to wait., type: float, default: 20}
attributes:
  check_mode:
    description: Reports what it would change.
    support: full
  diff_mode:
    description: Shows the old and new content of files, except secret ones.
    support: full
"""

EXAMPLES = r"""
- name: Serve a page on the mesh address
  meshctl.headscale.service:
    name: mesh-page
    command: [/usr/sbin/nginx, -c, /etc/mesh-page.conf, -g, daemon off;]
    files:
      - path: /etc/mesh-page.conf
        content: |
          events {}
          http { server { listen 127.0.0.1:8080; return 200 "hello"; } }
    validate: [/usr/sbin/nginx, -t, -c, /etc/mesh-page.conf]
    ready:
      tcp: [127.0.0.1, 8080]
"""

RETURN = r"""
changes:
  description: What was done, one sentence each.
  returned: always
  type: list
  elements: str
  sample: ["file /etc/headscale/config.yaml written", "service headscale restarted"]
started_at:
  description: When the change began, in seconds since 1970 by the controller's clock; what a rejoin is timed from.
  returned: always
  type: float
  sample: 1790000000.5
"""
