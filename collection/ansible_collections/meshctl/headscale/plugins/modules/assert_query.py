# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_query
short_description: Assert a JMESPath expression over any document
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - >-
    Adds a check without a line of Python: an expression over data of the task, or over what the host's client says,
    and what its result must be.
  - Several comparisons must all hold. Without one the result must be true as JMESPath has it (not null, false or
    empty).
  - 'The default of O(deadline) is V(0): one look.'
options:
  query:
    description: The JMESPath expression.
    type: str
    required: true
  document:
    description: The data to query; one of this and O(from) is needed.
    type: raw
  from:
    description:
      - What to ask tailscaled for (V(status), V(prefs), V(netmap), V(metrics)), or V(nodes), the fact C(mesh_nodes).
    type: str
    choices: [status, prefs, netmap, metrics, nodes]
  name:
    description: What the check is called, after its story; V(query) when not set.
    type: str
  equals:
    description: What the result must be.
    type: raw
  not_equals:
    description: What the result must not be; it must not be null either.
    type: raw
  contains:
    description: What must be in the result, which is a list, a text or an object's keys.
    type: raw
  matches:
    description: A regular expression that must be found in the result, which is a text.
    type: str
  length:
    description: How long the result must be, which is a list, a text or an object.
    type: int
  exists:
    description: Whether the result must be other than null, or null.
    type: bool
  at_least:
    description: The smallest number that the result may be.
    type: float
  at_most:
    description: The largest number that the result may be.
    type: float
extends_documentation_fragment:
  - meshctl.headscale._assertion
"""

EXAMPLES = r"""
- name: My own checks
  hosts: clients
  gather_facts: false
  tasks:
    - name: The client has nothing to complain about
      meshctl.headscale.assert_query:
        name: healthy
        from: status
        query: Health || `[]`
        length: 0

    - name: Nobody advertises an exit node
      meshctl.headscale.assert_query:
        from: status
        query: values(Peer)[?ExitNodeOption].HostName
        length: 0
"""

RETURN = r"""
checks:
  description: All checks of the task, whatever their verdict.
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
    - id: adhoc.healthy
      story: adhoc
      source: client-node-1
      target:
      verdict: passed
      expected: {length: 0}
      observed: []
"""
