# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answer why one node cannot reach another: walk the path step by step and find the first step that fails.

`question` finds out what is asked about. `asking` says what to observe, `case` holds what was observed. `steps` judge
one step each, and `walk` puts them in order.
"""
