# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_http
short_description: Assert what URLs answer, or that they refuse
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Fetches each URL from the host, with the system's resolver and without a proxy. It does not follow redirects.
  - The default of O(deadline) is V(15).
options:
  urls:
    description: The URLs. Each URL is a check.
    type: list
    elements: str
    required: true
    aliases: [url]
  outcome:
    description:
      - The expected outcome. V(refused), the target itself refuses the connection; V(unreachable), the target or a router
        refuses it; V(unanswered), it is refused or gets no answer. Silence proves little if no host gets an answer.
    type: str
    choices: [answered, refused, unreachable, unanswered]
    default: answered
  status:
    description: The expected HTTP status.
    type: int
    default: 200
  body:
    description: Text that the body must contain.
    type: str
    default: ''
  address:
    description: The addresses that the URL's name may lead to. Any address is accepted if the list is empty.
    type: list
    elements: str
    default: []
  target:
    description: The host that the checks are about. Defaults to the URL.
    type: str
  connect:
    description: An address to connect to instead of the address that the name leads to.
    type: str
  host_header:
    description: The C(Host) header. Defaults to the host of the URL.
    type: str
  ca_path:
    description: A PEM file on the host with certificates to trust instead of the system's.
    type: path
    aliases: [ca_file]
  aspect:
    description: The aspect of the checks, the last part of their ids.
    type: str
    default: ''
extends_documentation_fragment:
  - meshctl.headscale._assertion
seealso:
  - module: meshctl.headscale.assert_listening
"""

EXAMPLES = r"""
- name: The service answers over the mesh only
  hosts: client-node-2
  gather_facts: false
  tasks:
    - name: By name
      meshctl.headscale.assert_http:
        urls: [http://client-node-1.mesh.internal/, http://client-node-1/]
        body: Hello from the mesh
        target: client-node-1

    - name: Not at its physical address
      meshctl.headscale.assert_http:
        urls: [http://192.168.1.10/]
        outcome: unreachable
        target: client-node-1
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
    - id: us3.http
      story: us3
      source: client-node-2
      target: client-node-1
      verdict: passed
      expected: {url: "http://client-node-1.mesh.internal/", outcome: answered, status: 200}
      observed: {url: "http://client-node-1.mesh.internal/", outcome: answered, status: 200, address: 100.64.0.1}
"""
