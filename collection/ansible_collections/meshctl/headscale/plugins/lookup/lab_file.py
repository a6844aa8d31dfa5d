# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The path of a file in a lab's state directory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lab_file
short_description: Path of a file of the lab
version_added: 0.1.0
author:
  - The meshctl authors (@meshctl)
description:
  - Returns paths of files that a lab keeps on the controller, whether or not they exist.
  - The environment (E(MESHCTL_STATE_DIR), E(XDG_STATE_HOME)) determines the directory, so an inventory does not name it.
  - V(ssh/mux) is the directory for the sockets of open connections. It is outside the lab's directory when its path would
    be too long for a socket.
options:
  _terms:
    description: Paths relative to the lab's directory, such as V(ssh/config) or V(ca.pem).
    required: true
    type: list
    elements: str
  lab_name:
    description: The lab.
    default: seed
    type: str
    vars:
      - name: lab_name
seealso:
  - module: meshctl.headscale.lab
"""

EXAMPLES = r"""
- name: Show how to log in to a guest
  ansible.builtin.debug:
    msg: ssh -F {{ lookup('meshctl.headscale.lab_file', 'ssh/config') }} client-node-1
"""

RETURN = r"""
_raw:
  description: Absolute paths.
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ..module_utils._errors import BadInput
from ..plugin_utils import _paths
from ..plugin_utils._libvirt.ssh import control_dir, secure


class LookupModule(LookupBase):
    """Computes paths without reading files."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:  # noqa: ANN401
        """Return the path of each term."""
        self.set_options(var_options=variables, direct=kwargs)
        directory = _paths.lab_dir(str(self.get_option("lab_name")))
        return [str(_sockets(directory) if term == "ssh/mux" else directory / str(term)) for term in terms]


def _sockets(directory: Path) -> Path:
    """Return the directory of the sockets; of a lab that is up, it is there, and not another user's."""
    try:
        return secure(directory) if (directory / "ssh").is_dir() else control_dir(directory)
    except BadInput as error:
        raise AnsibleError(str(error)) from None
