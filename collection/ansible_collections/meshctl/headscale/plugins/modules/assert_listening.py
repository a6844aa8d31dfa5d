# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_listening
short_description: Assert where a service listens, and that it listens nowhere else
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - >-
    Reads the host's table of sockets. The port must be open on exactly the given addresses: a wildcard or a further address
    fails the check.
  - The default of O(deadline) is V(10).
options:
  port:
    description: The port.
    type: int
    required: true
  proto:
    description: The protocol.
    type: str
    choices: [tcp, udp]
    default: tcp
  addresses:
    description:
      - The addresses on which the service must listen.
      - Defaults to the host's IPv4 mesh address; the service may then also listen on its IPv6 mesh address. Without IPv4, the
        default is the IPv6 mesh address.
    type: list
    elements: str
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.members
seealso:
  - module: meshctl.headscale.assert_http
"""

EXAMPLES = r"""
- name: The service is on the mesh only
  hosts: client-node-1
  become: true
  gather_facts: false
  tasks:
    - name: Check the sockets
      meshctl.headscale.assert_listening:
        port: 80
"""

RETURN = r"""
checks:
  description:
    - All checks of the task, whatever their verdict.
    - More than 50 are one JSON text for callbacks, unless the task registers its result.
  returned: always, unless the options are not valid
  type: list
  elements: dict
  contains:
    id:
      description: Story, assertion and aspect, joined by dots.
      type: str
    story:
      description: The story that made the check.
      type: str
    assertion:
      description: The assertion that made the check, such as reachable.
      type: str
    aspect:
      description: What the check is about, such as latency; empty if the assertion has only one aspect.
      type: str
    family:
      description: Address family, if the check is about one.
      type: str
    source:
      description: The inventory host that made the check.
      type: str
    target:
      description: The host, name or URL that the check is about; null if it is about the source.
      type: str
    verdict:
      description: One of passed, failed, skipped, and error if nothing could be judged.
      type: str
    expected:
      description: The expected state.
      type: raw
    observed:
      description: The last observed state.
      type: raw
    duration_ms:
      description: Milliseconds from the start of the task to the verdict.
      type: float
    evidence:
      description: Further observations that explain the verdict.
      type: dict
    hint:
      description: The likely cause and the next step; the reason if the check was skipped.
      type: str
    reproduce:
      description: A command that shows the same.
      type: str
  sample:
    - id: us3.listening
      story: us3
      source: client-node-1
      target:
      verdict: passed
      expected: {port: 80, proto: tcp, addresses: [100.64.0.1]}
      observed: {port: 80, proto: tcp, addresses: [100.64.0.1]}
"""
