# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Document the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assert_query
short_description: Assert a JMESPath expression over any document
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - >-
    Adds a check without Python code. The check evaluates an expression over data of the task or over a document of the
    host's client, and compares the result.
  - The result must satisfy all comparisons. Without a comparison the result must be true in JMESPath's sense (not null,
    false or empty).
  - 'The default of O(deadline) is V(0): the host is examined once.'
options:
  query:
    description: The JMESPath expression.
    type: str
    required: true
  document:
    description: The data to query. Pass either this or O(from).
    type: raw
  from:
    description:
      - The document to query. tailscaled provides V(status), V(prefs), V(netmap) and V(metrics); V(nodes) is the fact
        C(mesh_nodes).
    type: str
    choices: [status, prefs, netmap, metrics, nodes]
  name:
    description: The name of the check, the last part of its id. Defaults to V(query).
    type: str
  equals:
    description: The value that the result must equal.
    type: raw
  not_equals:
    description: A value that the result must not equal. The result must not be null either.
    type: raw
  contains:
    description: A value that the result (a list, a text or the keys of an object) must contain.
    type: raw
  matches:
    description: A regular expression that must match somewhere in the result, which must be a text.
    type: str
  length:
    description: The length that the result (a list, a text or an object) must have.
    type: int
  exists:
    description: Whether the result must differ from null (V(true)), or be null (V(false)).
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
    - name: The client reports no health problem
      meshctl.headscale.assert_query:
        name: healthy
        from: status
        query: Health || `[]`
        length: 0

    - name: No node advertises an exit node
      meshctl.headscale.assert_query:
        from: status
        query: values(Peer)[?ExitNodeOption].HostName
        length: 0
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
    - id: adhoc.healthy
      story: adhoc
      source: client-node-1
      target:
      verdict: passed
      expected: {length: 0}
      observed: []
"""
