# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_served
short_description: Assert that the control server serves the routes that the inventory names
version_added: 0.2.0
author:
  - The meshctl authors (@meshctl)
description:
  - Asks the server which routes each router of C(mesh_routes) and C(mesh_exit_nodes) advertises, which of them are approved,
    and which router serves each network now. M(meshctl.headscale.assert_routed) asserts that packets take it.
  - The default of O(deadline) is V(15).
options:
  prefixes:
    description: Only these prefixes of C(mesh_routes). Defaults to all of them.
    type: list
    elements: str
  approved:
    description: Whether the routes must be approved and served. With V(false), they must be advertised, but neither approved nor served.
    type: bool
    default: true
  by:
    description: For a prefix, the one router that must serve it. Without it, any of its routers may.
    type: dict
    default: {}
  routers:
    description: The routers of each prefix, instead of those that C(mesh_routes) and C(mesh_exit_nodes) name.
    type: dict
extends_documentation_fragment:
  - meshctl.headscale._assertion
  - meshctl.headscale._assertion.aspect
  - meshctl.headscale._assertion.members
  - meshctl.headscale._assertion.server
seealso:
  - module: meshctl.headscale.assert_routed
  - module: meshctl.headscale.node
"""

EXAMPLES = r"""
- name: Every route is advertised, approved and served
  hosts: headscale
  gather_facts: false
  tasks:
    - name: The server serves every route
      meshctl.headscale.assert_served:
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
    - id: us6.served.serving
      story: us6
      source: headscale-server
      target: 10.0.0.0/24
      verdict: passed
      expected: {routers: {one_of: [client-node-2, client-node-3]}}
      observed: {routers: [client-node-2]}
serving:
  description: The router of each prefix; empty if none serves it.
  returned: always, unless the options are not valid
  type: dict
  sample: {10.0.0.0/24: client-node-2}
"""
