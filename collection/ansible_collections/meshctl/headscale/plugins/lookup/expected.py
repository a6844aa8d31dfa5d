# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stories expect of a host, derived from the inventory and the topology."""

from __future__ import annotations

DOCUMENTATION = r"""
name: expected
short_description: What stories expect of a host
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Derives from the inventory, the topology and the mesh what a story can expect of the host of the task, so that
    playbooks need no expressions for it.
  - Assertions skip themselves if they are given O(meshctl.headscale.assert_reachable#module:requires).
options:
  _terms:
    description:
      - V(subnets), which hosts are in other subnets (C(elsewhere)), which of them must not answer at their physical
        addresses (C(walls)), and whether a router hides this host (C(behind_nat)).
      - V(service), the host, port and URLs of the service on the mesh, and how they answer this host.
      - V(outages), the C(canary), why each kind of outage is C(not_allowed), and the kinds that concern this host (C(outages)).
      - V(newcomer), the C(host) that joins the mesh during a story, whether that is C(allowed), and MagicDNS's
        C(domain).
      - V(routes), the C(routers) with all that each serves, what this host should C(advertise) and whether it is an
        C(exit) node, whether it C(accepts) routes and which it C(uses), the C(exit_node) and the C(exit_user) who tries
        it, the C(shared) prefix with the C(sharing) routers and its C(observer), the C(owners) of clients as a policy names
        them, and whether changes are C(allowed).
      - V(policy), the C(ports) on which nodes listen for a story about the policy, the C(changes) of the policy that it makes
        and the C(host) that joins for them, or why they are C(not_allowed).
    required: true
    type: list
    elements: str
    choices: [subnets, service, outages, newcomer, routes, policy]
seealso:
  - module: meshctl.headscale.topology
"""

EXAMPLES = r"""
- name: Reach the nodes of other subnets
  hosts: clients
  gather_facts: false
  tasks:
    - name: Read the topology
      meshctl.headscale.topology:
      run_once: true

    - name: Ping the nodes of other subnets
      meshctl.headscale.assert_reachable:
        peers: "{{ lookup('meshctl.headscale.expected', 'subnets').elsewhere }}"
        requires: [other_subnet]
"""

RETURN = r"""
_raw:
  description: An object for each term.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ..module_utils._errors import BadInput
from ..plugin_utils._action.view import HostView
from ..plugin_utils._expectations import disruption, policy, routes, service, subnets

_TOPICS = {
    "subnets": subnets.expected,
    "service": service.expected,
    "outages": disruption.expected,
    "newcomer": disruption.newcomer,
    "routes": routes.expected,
    "policy": policy.expected,
}


class LookupModule(HostView, LookupBase):
    """Derive expectations; read nothing."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[Any]:  # noqa: ANN401
        """Return an object for each topic."""
        self.set_options(var_options=variables, direct=kwargs)
        self.known = variables or {}
        self.host = str(self.known.get("inventory_hostname") or "localhost")
        if unknown := [str(term) for term in terms if term not in _TOPICS]:
            raise AnsibleError(f"there is no expectation {unknown[0]!r}: write one of {', '.join(_TOPICS)}")
        try:
            return [_TOPICS[str(term)](self) for term in terms]
        except BadInput as exc:
            raise AnsibleError(str(exc)) from None
