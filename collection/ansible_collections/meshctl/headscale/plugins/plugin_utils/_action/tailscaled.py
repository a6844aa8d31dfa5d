# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask the controller's own tailscaled about the mesh."""

from __future__ import annotations

import http
import json

from ...module_utils._errors import HeadscaleError
from ...module_utils._http import Transport

# LocalAPI requires this host name.
_STATUS = "http://local-tailscaled.sock/localapi/v0/status"
_PATIENCE_S = 3.0


def operating_systems(socket: str) -> dict[str, str]:
    """Return the operating system of each node that tailscaled knows, by node key; empty without tailscaled."""
    if not socket:
        return {}
    try:
        # Within limits: whatever listens there may send slowly, or without an end.
        transport = Transport(unix_socket=socket, timeout=_PATIENCE_S, use_proxy=False)
        reply = transport.send("GET", _STATUS, headers={}, body=None)
        status = json.loads(reply.body) if reply.status == http.HTTPStatus.OK else {}
        nodes = [status.get("Self") or {}, *(status.get("Peer") or {}).values()]
        return {node["PublicKey"]: str(node["OS"]) for node in nodes if node.get("PublicKey") and node.get("OS")}
    except (HeadscaleError, ValueError, AttributeError, TypeError, RecursionError):
        # Nothing listens, or something else does: the information is optional.
        return {}
