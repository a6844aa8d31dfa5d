# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service
short_description: Keep one supervised service, with its files, on a host
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Writes a service's files, defines it with the host's service manager, starts it, and waits until it answers.
  - The service is restarted when its definition or the content of one of its files changes, and is left alone otherwise.
  - The same task serves the lab, whose machines run C(s6), and hosts with C(systemd).
  - One exchange with the host does all of it.
options:
  name:
    description: Name of the service.
    type: str
    required: true
  description:
    description: What the service is, for the service manager's listings.
    type: str
  command:
    description: The program, with its absolute path, and its arguments. Required with O(state=started); other states take a service as it is defined.
    type: list
    elements: str
  environment:
    description: Environment variables of the service. Not for secrets, which every user of the host could read in the definition.
    type: dict
    default: {}
  state:
    description:
      - V(started) keeps it running, over reboots too; V(stopped) keeps it from running; V(restarted) starts it anew, each time.
      - V(killed) kills its process, as a crash would, and waits until the service manager has started another one.
      - V(absent) stops it and removes its definition and the O(files).
    type: str
    choices: [started, stopped, restarted, killed, absent]
    default: started
  manager:
    description: The service manager; V(auto) takes systemd where it runs.
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
    description: A command that checks the files. It is run before a restart when one of them changed; its failure fails the task.
    type: list
    elements: str
  ready:
    description: What must accept a connection before the task is done.
    type: dict
    suboptions:
      tcp: {description: Address and port., type: list, elements: str}
      unix: {description: Path of a socket., type: path}
      seconds: {description: How long to wait., type: float, default: 20}
attributes:
  check_mode:
    description: Says what it would change.
    support: full
  diff_mode:
    description: Shows the files' old and new content, secret ones excepted.
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
