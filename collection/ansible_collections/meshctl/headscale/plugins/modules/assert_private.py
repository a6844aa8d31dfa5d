# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_private
short_description: Assert that a service is found nowhere else
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - >-
    Asks many ports over TCP and UDP for the page of the service that C(mesh_service_host) names: on that host itself, on every
    other host that this host reaches in the mesh or in its own network, and on the public addresses of a lab's routers. None
    may answer with the text in C(mesh_service_body). What other services answer does not matter.
  - >-
    On nodes of the mesh, the check also asks the service itself: that the page is found nowhere else only proves something
    if it is found there.
  - >-
    Existing hosts are asked only on the ports in C(mesh_probe_ports). Without it, and without C(mesh_service_body), the check
    is skipped.
  - The default of O(deadline) is V(8).
options:
  ports:
    description:
      - The TCP and UDP ports to ask.
      - >-
        Defaults to the service's port, C(mesh_isolated_ports) and a random port in a lab, and to C(mesh_probe_ports) on existing
        hosts.
    type: list
    elements: int
extends_documentation_fragment:
  - meshctl.headscale._assertion
seealso:
  - module: meshctl.headscale.assert_http
  - module: meshctl.headscale.assert_listening
"""

EXAMPLES = r"""
- name: The service is in one place
  hosts: clients
  gather_facts: false
  tasks:
    - name: Read the inventory
      meshctl.headscale.topology:

    - name: Ask other hosts and ports for its page
      meshctl.headscale.assert_private:
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
