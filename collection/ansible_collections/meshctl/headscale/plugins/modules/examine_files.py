# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: examine_files
short_description: Examine a configuration and a policy of Headscale before they are deployed
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Finds settings that Headscale does not know, no longer accepts or reads differently, settings that keep it from
    starting or expose it, wrong DERP maps, and rules of a policy that never match or allow everything. Runs the policy's tests.
  - Reads files on the controller, changes nothing and contacts nothing. The headscale program in the cache, if there is one, also reads a copy
    of the files without secrets, relays and other servers.
  - Fails if there is a finding.
options:
  config:
    description: A configuration, as YAML. Files that its C(derp.paths) names are examined if they are next to it.
    type: path
  policy:
    description: A policy, as HuJSON.
    type: path
  users:
    description: Names or e-mail addresses of the server's users. If set, other users in the policy are findings.
    type: list
    elements: str
  headscale:
    description: The program that reads the files as well, instead of the one in the cache.
    type: path
  min_severity:
    description:
      - Findings of this severity and higher ones count, V(info), V(low), V(medium) or V(high).
      - V(medium) when not set.
    type: str
extends_documentation_fragment: meshctl.headscale._attributes.read
seealso:
  - module: meshctl.headscale.diagnose
  - module: meshctl.headscale.policy
"""

EXAMPLES = r"""
- name: Examine files before they are deployed
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Examine the configuration and the policy
      meshctl.headscale.examine_files:
        config: files/config.yaml
        policy: files/policy.hujson
        users: [alice, bob]
"""

RETURN = r"""
findings:
  description: What is wrong, the most important first.
  returned: always
  type: list
  elements: dict
  contains:
    id: {description: Kind of the finding., type: str, returned: always, sample: config.unknown}
    severity: {description: 'C(info), C(low), C(medium) or C(high).', type: str, returned: always, sample: medium}
    file: {description: Name of the file., type: str, returned: always, sample: files/config.yaml}
    line: {description: Line in the file; null if the finding is about something that is missing., type: int, returned: always}
    problem: {description: What is wrong., type: str, returned: always}
    evidence: {description: What shows it., type: str, returned: always}
    remedy: {description: What to do., type: str, returned: always}
    stops: {description: Whether Headscale refuses the file., type: bool, returned: always}
below:
  description: Number of findings of a lower severity.
  returned: always
  type: int
files:
  description: The files that were examined.
  returned: always
  type: list
  elements: str
headscale:
  description: The version whose settings are known, and the program that read the files as well, empty if none did.
  returned: always
  type: dict
  sample: {settings: 0.29.3, confirmed_by: headscale 0.29.3}
min_severity:
  description: The severity from which on findings count.
  returned: always
  type: str
  sample: medium
ok:
  description: Whether there is no finding.
  returned: always
  type: bool
"""
