# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Examine the files of a Headscale server before they are deployed: its configuration, its DERP maps and its policy.

Nothing is contacted and nothing is changed. Each finding names the file and the line, and has a severity.
"""
