# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find what is wrong with a mesh.

Each module in `client`, `server` and `mesh` is one finding: its name is the id of its checks. It has a function `judge`, and
a function `requests` if it needs further observations. A module that must run after others lists them in `AFTER`.
"""
