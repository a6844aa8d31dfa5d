# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Know the settings of Headscale, and those that it had before.

`headscale_keys.json` comes from Headscale's source; see tools/headscale_keys.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

_TABLE: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("headscale_keys.json").read_text(encoding="utf-8"))
VERSION: Final[str] = _TABLE["version"]
KEYS: Final[dict[str, str]] = _TABLE["keys"]
REMOVED: Final[dict[str, dict[str, Any]]] = _TABLE["removed"]
FORMER: Final[dict[str, str]] = {
    "db_host": "database.postgres.host",
    "db_name": "database.postgres.name",
    "db_pass": "database.postgres.pass",
    "db_path": "database.sqlite.path",
    "db_port": "database.postgres.port",
    "db_ssl": "database.postgres.ssl",
    "db_type": "database.type",
    "db_user": "database.postgres.user",
    "derp.server.stun.enabled": "derp.server.stun_listen_addr",
    "ip_prefixes": "prefixes.v4 and prefixes.v6",
    "log_level": "log.level",
    "private_key_path": "noise.private_key_path",
    "tls_client_auth_mode": "nothing: it was removed",
    "use_username_in_magic_dns": "nothing: names do not contain users any more",
}
"""Settings of versions so old that Headscale silently ignores them."""
