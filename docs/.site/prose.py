# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find wording that reads oddly: `python docs/.site/prose.py [FILE...]`.

Checks the prose of Markdown, the comments and strings of Python, and the whole text of other files.
"""

from __future__ import annotations

import re
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = Path(__file__).parent / "styles" / "meshctl" / "Idioms.yml"
_COLLECTION = "collection/ansible_collections/meshctl/headscale"
CHECKED = (
    "*.md", "bootstrap", "docs/**/*.md", ".github/**/*.yml", f"{_COLLECTION}/*.md",
    f"{_COLLECTION}/plugins/**/*.py", f"{_COLLECTION}/plugins/**/*.yml", f"{_COLLECTION}/plugins/**/*.sh",
    f"{_COLLECTION}/plugins/**/*.j2", f"{_COLLECTION}/roles/**/*.yml", f"{_COLLECTION}/roles/**/*.j2",
    "awx/**/*.yml", "inventory/**/*.yml", "nix/**/*.nix", "runner/**/*.py", "tests/support/*.py", "tools/**/*.py",
    "playbooks/*.yml", "playbooks/faults/*.yml", "playbooks/stories/*.yml", "playbooks/tasks/**/*.yml",
)  # fmt: skip
_CODE = re.compile(r"^```.*?^```|``[^`]+``|`[^`]+`", re.MULTILINE | re.DOTALL)
_PROSE_TOKENS = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


@cache
def rules() -> list[tuple[re.Pattern[str], str]]:
    """Return each pattern with what to write instead."""
    swap = yaml.safe_load(RULES.read_text(encoding="utf-8"))["swap"]
    return [
        (re.compile(rf"(?<![-\w])(?:{pattern})(?![-\w])".replace(" ", r"\s+"), re.IGNORECASE), instead)
        for pattern, instead in swap.items()
    ]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the prose of a file, piece by piece, each with the line where it starts."""
    if path.suffix == ".py":
        with path.open("rb") as source:
            for one in tokenize.tokenize(source.readline):
                if one.type in _PROSE_TOKENS:
                    # Without the expressions of an f-string.
                    yield one.start[0], re.sub(r"\{[^{}\n]*\}", "", one.string)
    elif path.suffix == ".md":
        # Blank out code, and keep its lines, so that line numbers stay right.
        yield 1, _CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), path.read_text(encoding="utf-8"))
    else:
        yield 1, path.read_text(encoding="utf-8")


def findings(path: Path) -> Iterator[str]:
    """Yield a line for each odd wording in a file."""
    found = [
        (line + text.count("\n", 0, match.start()), " ".join(match[0].split()), instead)
        for line, text in texts(path)
        for pattern, instead in rules()
        for match in pattern.finditer(text)
    ]
    for number, odd, instead in sorted(found):
        yield f"{path}:{number}: {odd!r}: write {instead!r} instead"


def main(names: list[str]) -> int:
    """Print what is found; return 1 if there is anything."""
    paths = [path for path in map(Path, names) if path.is_file()] or sorted(
        {path for one in CHECKED for path in ROOT.glob(one) if path.is_file()}
    )
    found = [line for path in paths if path.resolve() != RULES for line in findings(path)]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
