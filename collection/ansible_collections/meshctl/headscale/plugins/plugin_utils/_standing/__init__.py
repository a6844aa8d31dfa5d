# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a mesh is still as `up` left it.

`up` notes what each of its tasks compares (`notes`). To compare the same again (`standing`) needs no play.
"""
