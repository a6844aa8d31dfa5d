# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that say where a Headscale server is."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation that the modules on Headscale's API share."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - Where Headscale is, as in its own C(server_url), for example V(https://headscale.example.com).
      - It is asked from the host that the task runs on. A redirect is an error, as the API key would travel with it.
      - The environment variable E(HEADSCALE_URL) of that host is used when the option is not set.
    type: str
  api_key:
    description:
      - An API key, as C(headscale apikeys create) and M(meshctl.headscale.api_key) make them.
      - When neither this nor O(api_key_file) is set, the environment variables E(HEADSCALE_API_KEY) and then
        E(HEADSCALE_API_KEY_FILE) of the host that the task runs on are used.
    type: str
  api_key_file:
    description:
      - A file on the host that the task runs on which holds the API key and nothing else.
      - Mutually exclusive with O(api_key).
    type: path
  ca_path:
    description:
      - A file of PEM certificates to trust instead of the system's.
      - When the option is not set, the variable C(mesh_ca_path) and then the environment variable E(HEADSCALE_CA_PATH) are used.
        M(meshctl.headscale.api_key), M(meshctl.headscale.api_key_info), M(meshctl.headscale.preauthkey_info) and
        M(meshctl.headscale.user_info) do not use the variable.
    type: path
    aliases: [ca_file]
  validate_certs:
    description:
      - Whether the server's certificate must be trusted. V(false) is for trials only.
      - The environment variable E(HEADSCALE_VALIDATE_CERTS) is used when the option is not set.
    type: bool
    default: true
  timeout:
    description:
      - Seconds after which an answer is not waited for any longer.
      - The environment variable E(HEADSCALE_TIMEOUT) is used when the option is not set.
    type: float
    default: 10.0
  use_proxy:
    description:
      - Whether the proxy that the environment names is used.
    type: bool
    default: true
requirements:
  - Headscale 0.29 or later, reached through its HTTP API v1
  - Python 3.8 or later on the host that the task runs on
"""
