# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask the controller's own tailscaled about the mesh."""

from __future__ import annotations

import http.client
import json

from ansible.module_utils.urls import open_url

# LocalAPI requires this host name.
_STATUS = "http://local-tailscaled.sock/localapi/v0/status"
_PATIENCE_S = 3.0


def operating_systems(socket: str) -> dict[str, str]:
    """Return the operating system of each node that tailscaled knows, by node key; empty without tailscaled."""
    if not socket:
        return {}
    try:
        answer = open_url(_STATUS, unix_socket=socket, timeout=_PATIENCE_S, use_proxy=False, force=True)
        status = json.loads(answer.read())
        nodes = [status.get("Self") or {}, *(status.get("Peer") or {}).values()]
        return {node["PublicKey"]: str(node["OS"]) for node in nodes if node.get("PublicKey") and node.get("OS")}
    except (OSError, ValueError, AttributeError, TypeError, http.client.HTTPException):
        # Nothing listens, or something else does: the information is optional.
        return {}
