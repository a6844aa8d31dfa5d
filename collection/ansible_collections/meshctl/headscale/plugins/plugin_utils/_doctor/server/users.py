# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that no two users have one name."""

from __future__ import annotations

from collections import Counter

from ..._judge.answer import text
from ..records import Check, CheckContext, Iterator, Server


def judge(server: Server, context: CheckContext) -> Iterator[Check]:
    """Return the names that several users have."""
    counted = Counter(text(user.get("name")) for user in server.users if user.get("name"))
    several = {name: [text(user.get("id")) for user in server.users if user.get("name") == name]
               for name, number in counted.items() if number > 1}  # fmt: skip
    said = "; ".join(f"the users {', '.join(ids)} are all called {name}" for name, ids in several.items())
    if server.users:
        yield context.check(
            not several,
            expected={"ambiguous": {}},
            observed={"ambiguous": several},
            hint=f"{said}: headscale refuses a policy that names them, also at its next start; rename one "
            "(`headscale users rename -i ID -r NAME`)",
            command="headscale users list",
        )
