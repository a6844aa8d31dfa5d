# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: client
short_description: Join a node to the mesh, bring it down, or log it out
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Reads the node's state from C(tailscaled), through LocalAPI on its socket, and runs C(tailscale) only when something differs.
  - Looks for C(tailscale) in the directory of C(tailscale_client_program) if that variable is set, in C(/opt/meshctl/bin), and
    on the host's C(PATH).
  - A registered node needs no key. A preauthkey is required only when the node must register.
  - A registered node that is still connecting, for example because it reaches no relay, does not register again. The task waits
    for it, and fails after O(timeout) with the reason that the client gives.
  - Preferences that are not given remain unchanged, except at registration, which sets them to the client's defaults.
  - A node's own state does not prove that it joined. A node that was deleted on the server reports V(Running) for a minute; see
    M(meshctl.headscale.assert_registered).
options:
  state:
    description:
      - V(joined) registers the node if necessary and brings its network up.
      - V(down) keeps it registered and brings its network down; V(logged_out) expires its node key.
    type: str
    choices: [joined, down, logged_out]
    default: joined
  login_server:
    description: URL of the control server. A node that is registered elsewhere registers again.
    type: str
  auth_key:
    description: The preauthkey. The host receives it on standard input, and C(tailscale) in a file that only its user can read.
    type: str
  force:
    description: Register again even when the node believes that it is registered, for example after it was deleted on the server.
    type: bool
    default: false
  require:
    description: Fail when the node must register and no O(auth_key) is given. With V(false), RV(needs_key) reports it.
    type: bool
    default: true
  hostname:
    description: The node's name, instead of the host's.
    type: str
  accept_dns:
    description: Whether the node uses MagicDNS.
    type: bool
  accept_routes:
    description: Whether the node uses the subnet routes of other nodes.
    type: bool
  advertise_routes:
    description:
      - Subnet routes that the node advertises. They have no effect until the server approves them, see
        M(meshctl.headscale.node).
      - V(0.0.0.0/0) and V(::/0) are not among them; see O(advertise_exit_node).
    type: list
    elements: str
  advertise_exit_node:
    description: Whether the node offers to be an exit node, over IPv4 and IPv6. The server must approve it as well.
    type: bool
  exit_node:
    description:
      - Name or mesh address of the exit node that the node uses. An empty text means none.
      - The task waits up to 10 seconds for the client to learn that the node is an exit node.
    type: str
  exit_node_allow_lan_access:
    description: Whether the node reaches its own local networks directly while it uses an exit node.
    type: bool
  advertise_tags:
    description: Tags that the node requests. Only used at registration.
    type: list
    elements: str
  shields_up:
    description: Whether the node refuses all incoming connections.
    type: bool
  snat_subnet_routes:
    description:
      - Whether the node replaces the source address of packets to the subnets that it advertises with its own.
      - With V(false), hosts in these subnets see the sender's mesh address and need a route back through the node.
    type: bool
  ssh:
    description: Whether the node runs Tailscale's SSH server, which admits the users in the policy's C(ssh) section.
    type: bool
  relay_server_port:
    description:
      - UDP port of the client's peer relay server. V(0) means any free port, an empty text no relay server.
      - Needs a client of version 1.90 or later.
    type: str
  socket:
    description:
      - Path of the LocalAPI socket.
      - Defaults to the variable C(mesh_tailscaled_socket), else to V(/var/run/tailscale/tailscaled.sock).
    type: path
  timeout:
    description: Seconds to wait for the state.
    type: int
    default: 30
attributes:
  check_mode:
    description: Reports what it would change.
    support: full
  diff_mode:
    description: Shows state and preferences before and after.
    support: full
"""

EXAMPLES = r"""
- name: Check whether nodes need a key
  meshctl.headscale.client:
    login_server: https://headscale.example.org
    require: false
  register: checked

- name: Join
  meshctl.headscale.client:
    login_server: https://headscale.example.org
    auth_key: "{{ lookup('ansible.builtin.file', '/run/secrets/preauthkey') if checked.needs_key else omit }}"
    accept_dns: true

- name: Offer an exit node and a subnet whose hosts see who connects
  meshctl.headscale.client:
    advertise_exit_node: true
    advertise_routes: [192.168.1.0/24]
    snat_subnet_routes: false

- name: Use an exit node
  meshctl.headscale.client:
    exit_node: gateway
"""

RETURN = r"""
needs_key:
  description: Whether the node must register.
  returned: success
  type: bool
  sample: false
changes:
  description: What was done, one sentence each.
  returned: success
  type: list
  elements: str
  sample: ["accept_dns set to true"]
backend_state:
  description: What the client calls its state.
  returned: success
  type: str
  sample: Running
node_key:
  description: The node's public key, as the server lists it.
  returned: success
  type: str
  sample: nodekey:5f...
node_id:
  description: The node's id on the server.
  returned: success
  type: str
  sample: "1"
addresses:
  description: Mesh addresses.
  returned: success
  type: list
  elements: str
  sample: ["100.64.0.1", "fd7a:115c:a1e0::1"]
started_at:
  description: When the change began, in seconds since 1970 by the controller's clock; what a rejoin is timed from.
  returned: success
  type: float
  sample: 1790000000.5
"""
