# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation that assertions share."""

from __future__ import annotations


class ModuleDocFragment:
    """Options and attributes of assertions."""

    DOCUMENTATION = r"""
options:
  story:
    description:
      - The story that the checks belong to. It is the first part of their ids.
      - Defaults to the variable C(mesh_story), else to V(adhoc).
    type: str
  deadline:
    description:
      - Seconds within which the checks must pass. The host is examined at least once, even with V(0).
      - A check that has passed stays passed; only the others are examined again.
      - Each assertion documents its own default.
    type: float
  interval:
    description: Seconds between two examinations, at most V(0.25).
    type: float
    default: 0.25
  skip:
    description:
      - A reason. If it is not empty, the host is not examined, and the task returns one check with the verdict C(skipped)
        and this reason.
    type: str
    default: ''
  requires:
    description:
      - What the host, the inventory and the mesh must offer for the checks to make sense. If a requirement is not met,
        the host is not examined, and the task returns one skipped check with the reason.
      - V(placement), the topology has the host's address and the CIDR of its subnet; V(subnets), the clients are not
        known to be in one subnet; V(other_subnet), a client is in another subnet than the host; V(isolation), the
        physical networks have no route to each other; V(wall), a host of another subnet is hidden by a router.
      - V(service), there is a service; V(private_service), the service must not be reached without the mesh;
        V(service_address), its physical address is known, and whether the host has a route to it; V(service_restart),
        the service may be restarted.
      - V(disruption), the canary may be disturbed; V(cable), meshctl can pull its cable; V(newcomer), a spare host may
        join the mesh; V(bystanders), two clients are left when one is down.
      - V(routes), C(mesh_routes) or C(mesh_exit_nodes) names some; V(route_changes), a story may set them up itself;
        V(verified_routes), there are routes that a story can verify; V(failover), a network has two routers, which may
        be disturbed.
      - V(listeners), nodes may listen on ports to try; V(policy_change), another policy may be installed for a while;
        V(server), the server is one of the play's hosts.
    type: list
    elements: str
    choices: [placement, subnets, other_subnet, isolation, wall, service, private_service, service_address, service_restart,
              disruption, cable, newcomer, bystanders, routes, route_changes, verified_routes, failover, listeners,
              policy_change, server]
    default: []
  socket:
    description:
      - tailscaled's socket on the host.
      - Defaults to the variable C(mesh_tailscaled_socket), else to V(/var/run/tailscale/tailscaled.sock).
    type: path
attributes:
  check_mode:
    description: Can run in C(check_mode), because it changes nothing.
    support: full
  diff_mode:
    description: Returns what was and what is in C(diff) mode.
    support: N/A
    details: An assertion changes nothing.
  action:
    description: Runs on the controller and examines the host through its connection; the host needs only Python.
    support: full
  platform:
    description: Operating systems that the host of a task may run.
    support: full
    platforms: linux
requirements:
  - Python 3.8 or later on the host
"""

    MEMBERS = r"""
options:
  nodes:
    description:
      - The members of the mesh, as M(meshctl.headscale.assert_registered) returns them in
        RV(meshctl.headscale.assert_registered#module:mesh_nodes), or the names of some of them.
      - Defaults to the fact C(mesh_nodes) of this host, of the host in the group C(headscale), or of C(localhost).
    type: raw
"""

    ASPECT = r"""
options:
  aspect:
    description: A word that becomes the last part of the ids, to tell tasks of one story apart.
    type: str
    default: ''
"""

    PATH = r"""
options:
  path:
    description:
      - The expected path. V(auto) derives it from the topology; without a topology it is V(any).
      - In a topology, hosts of one subnet have a direct path. V(relay) is expected if a router between the hosts blocks
        UDP, if both sides are behind a hard NAT, or if one side is and the other side's NAT filters. All other pairs
        have a direct path.
      - Defaults to the variable C(mesh_path), else to V(auto).
    type: str
    choices: [auto, direct, relay, any]
"""

    SERVER = r"""
options:
  url:
    description:
      - The control server's URL.
      - Defaults to the variable C(mesh_server_url), else to E(HEADSCALE_URL).
    type: str
  api_key:
    description:
      - The API key. It travels over the host's connection and appears in no process list, log or result.
      - Defaults to the variable C(mesh_api_key), else to E(HEADSCALE_API_KEY).
    type: str
  api_key_file:
    description:
      - A file that holds the API key. A file that O(api_key_file) or the variable C(mesh_api_key_file) names is read on
        the task's host; a file that E(HEADSCALE_API_KEY_FILE) names is read on the controller.
      - Defaults to V(/var/lib/headscale/meshctl_api_key), where the role headscale_server keeps it.
    type: path
  ca_path:
    description:
      - A PEM file with the certificates that the server's certificate is checked against, on the task's host.
      - Defaults to the variable C(mesh_ca_path), else to E(HEADSCALE_CA_PATH), else to the host's own trust store.
    type: path
    aliases: [ca_file]
"""

    PEERS = r"""
options:
  peers:
    description:
      - Inventory names of the nodes on the other side.
      - Defaults to all other members, or those that the variable C(mesh_pairs) selects.
    type: list
    elements: str
"""
