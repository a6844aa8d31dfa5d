# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plain data in place of Ansible's."""

from __future__ import annotations

import json
import typing as t


def plain(value: t.Any) -> t.Any:  # noqa: ANN401 - JSON of any shape
    """Return plain JSON data: ansible-core 2.19 and later hand out tagged strings and lazy containers."""
    return json.loads(json.dumps(value, default=str))
