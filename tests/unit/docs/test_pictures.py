# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pictures in the README are current; `docs/.site/pictures.py` makes new ones."""

from __future__ import annotations

import html
import re

import pytest
import yaml
from project import ROOT

ASSETS = ROOT / "docs" / "assets"
PICTURES = ("lab.svg", "terminal.svg", "report.png", "history.png")
PAGES = {"history.png": ("docs/how-to/watch.md",)}


def _text(name: str) -> str:
    """Return the text of a picture as a reader sees it."""
    drawing = (ASSETS / name).read_text(encoding="utf-8")
    return html.unescape(" ".join(re.findall(r">([^<>]+)<", drawing))).replace("\xa0", " ")


def test_the_lab_is_drawn_with_every_host() -> None:
    inventory = yaml.safe_load((ROOT / "inventory" / "lab.yml").read_text())["all"]
    text = _text("lab.svg")
    subnets = inventory["vars"]["mesh_subnets"]
    hosts = {name: host for group in inventory["children"].values() for name, host in group["hosts"].items()}
    for name, host in hosts.items():
        assert name in text
        assert host["mesh_address"] in text
    for name, subnet in subnets.items():
        assert name in text
        assert subnet["wan_address"] in text


def test_the_terminal_shows_stories_that_exist() -> None:
    plays = [
        play for path in (ROOT / "playbooks" / "stories").glob("*.yml") for play in yaml.safe_load(path.read_text())
    ]
    titles = {play["name"] for play in plays if play.get("vars", {}).get("mesh_story")}
    shown = {title for title in titles if title in _text("terminal.svg")}
    # A new story needs no new picture; a story that is renamed or removed does.
    assert len(shown) == len(set(re.findall(r"\bUS\d+ ", _text("terminal.svg")))), "run docs/.site/pictures.py"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_small_and_self_contained(name: str) -> None:
    content = (ASSETS / name).read_bytes()
    assert 1000 < len(content) < 300_000
    assert not re.search(rb"(?:href|src)=|url\(['\"]?http", content) or name.endswith(".png")
    for page in PAGES.get(name, ("README.md", "docs/index.md")):
        assert f"assets/{name})" in (ROOT / page).read_text()
