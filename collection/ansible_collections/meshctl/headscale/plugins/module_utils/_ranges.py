# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ranges of the addresses that Headscale gives to nodes."""

from __future__ import annotations

from ipaddress import ip_network

MESH_IPV4 = ip_network("100.64.0.0/10")
MESH_IPV6 = ip_network("fd7a:115c:a1e0::/48")
