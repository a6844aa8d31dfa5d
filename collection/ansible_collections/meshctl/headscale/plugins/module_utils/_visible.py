# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make characters visible that a terminal, a log, HTML or XML would act on instead of showing."""

from __future__ import annotations

import re

# Controls (C0, DEL, C1) except tab and newline; characters that change the direction of text or have no width; line
# separators; halves of surrogate pairs and non-characters, which XML and UTF-8 cannot hold; tag characters.
ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def text(value: str) -> str:
    r"""Return `value` with each such character as an escape, such as `\x1b`; tabs and newlines stay."""
    return ACTING.sub(_escape, value.replace("\r\n", "\n"))


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 0x100:  # noqa: PLR2004 (two digits are enough)
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"  # noqa: PLR2004 (four digits are enough)
