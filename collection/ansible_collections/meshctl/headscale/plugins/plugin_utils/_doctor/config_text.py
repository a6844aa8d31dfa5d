# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the configuration that a host sent, which may be hostile: as plain data, within limits. Pure."""

from __future__ import annotations

import json
from typing import Any

_LONGEST = 64 << 10


def read(said: str, path: str) -> dict[str, Any]:
    """Return the settings of a configuration in YAML; raise `ValueError` if it has none."""
    # 30 ms, which clients do not need.
    import yaml

    class _WithoutAliases(yaml.SafeLoader):
        """Refuses aliases: a few lines of them can mean gigabytes, or a list that contains itself."""

        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):
                mark = self.peek_event().start_mark
                raise yaml.composer.ComposerError(None, None, "aliases are not examined", mark)
            found: yaml.Node | None = super().compose_node(parent, index)
            return found

    try:
        config = yaml.load(said[:_LONGEST], Loader=_WithoutAliases)  # noqa: S506 - it is a SafeLoader
        # Dates, sets and binary data become text, as everything else here is JSON.
        plain = json.loads(json.dumps(config, default=str, skipkeys=True))
    except RecursionError:
        raise ValueError(f"{path} is not valid YAML: it is nested too deeply") from None
    except yaml.YAMLError as exc:
        mark, problem = getattr(exc, "problem_mark", None), getattr(exc, "problem", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(f"{path} is not valid YAML{line}: {problem or ' '.join(str(exc).split())}") from None
    if not isinstance(plain, dict):
        raise ValueError(f"{path} has no settings")
    return plain
