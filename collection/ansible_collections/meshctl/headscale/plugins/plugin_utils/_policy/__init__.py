# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide from a policy which packets pass between nodes, as Headscale 0.29 and Tailscale's packet filter do."""

from __future__ import annotations

from .addresses import INTERNET
from .document import Policy
from .evaluation import Evaluation
from .keys import canonical
from .names import refused_users, unknown_names, unmatched_tags
from .nodes import Node, User
from .sample import sample
from .selftests import failed_tests

__all__ = [
    "INTERNET", "Evaluation", "Node", "Policy", "User", "canonical", "failed_tests", "refused_users", "sample", "unknown_names", "unmatched_tags",
]  # fmt: skip
