# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation as text: its commands exist, its YAML parses, its links resolve, its lines fit."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pages as docs
import pytest
import typer
import yaml
from meshctl_headscale import cli
from project import ROOT

PAGES = docs.pages()
IDS = [str(page.relative_to(ROOT)) for page in PAGES]


GUIDES = docs.guides()


def _meshctl_lines(page: Path) -> list[str]:
    """Return every use of meshctl in a page's blocks, also where it is not marked as a command."""
    found = []
    for block in docs.blocks(page):
        for line in block.body.splitlines():
            match = re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*(meshctl .*|\./bootstrap run .*)", line.strip())
            if match and block.language in ("", "console", "bash", "sh"):
                found.append(match[1].replace("./bootstrap run", "meshctl run"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_meshctl_command_exists_with_its_options(page: Path) -> None:
    program = typer.main.get_command(cli.app)
    for line in _meshctl_lines(page):
        # Two columns: a command, and what it is for.
        reader = shlex.shlex(re.split(r"\s{2,}", line)[0], posix=True, punctuation_chars=True)
        reader.whitespace_split = True
        tokens = list(reader)
        ends = [number for number, token in enumerate(tokens) if set(token) <= set("|&;<>()")]
        words = tokens[1 : ends[0] if ends else None]
        if words and not words[0].isupper():
            _parse(program, words, line)


def _parse(program: typer.core.TyperGroup, words: list[str], line: str) -> None:
    if words[0].startswith("-"):
        return
    command = program.commands.get(words[0])
    assert command is not None, f"there is no command {words[0]}: {line}"
    parent = program.make_context("meshctl", [], resilient_parsing=True)
    if getattr(command, "commands", None):
        if len(words) > 1 and not words[1].startswith("-"):
            assert words[1] in command.commands, line
        return
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known |= set(command.get_help_option_names(parent))
    own = words[1 : words.index("--")] if "--" in words else words[1:]
    for word in own:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"{words[0]} has no option {word}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_yaml_and_json_can_be_read(page: Path) -> None:
    for block in docs.blocks(page):
        if block.language == "yaml":
            yaml.safe_load(block.body)
        elif block.language == "json":
            json.loads(block.body)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_what_a_comment_says_of_a_block_is_understood(page: Path) -> None:
    for block in docs.blocks(page):
        assert block.what in ("", "not run", "exit code", "file"), f"{page.name}:{block.line}"
        assert block.what == "" or block.value


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_no_command_escapes_being_run(page: Path) -> None:
    for block in docs.blocks(page):
        # Commands stand in `console`, which tests/e2e/test_docs.py runs, or which says why it is not run.
        assert block.language not in ("", "bash", "sh", "shell"), f"{page.name}:{block.line}: name its language"
        assert block.language != "console" or block.commands, f"{page.name}:{block.line}: no line begins with `$ `"


@pytest.mark.parametrize("page", PAGES + GUIDES, ids=[str(page.relative_to(ROOT)) for page in PAGES + GUIDES])
def test_lines_have_at_most_100_columns(page: Path) -> None:
    long = [(number, line) for number, line in docs.prose_lines(page) if len(line) > 100]
    # A long link cannot be wrapped.
    assert [number for number, line in long if max(map(len, line.split())) < 90] == []


def test_the_readme_has_at_most_100_columns_throughout() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines, start=1) if len(line) > 100] == []


@pytest.mark.parametrize("page", [ROOT / "README.md", *GUIDES], ids=lambda page: page.name)
def test_links_outside_the_site_lead_to_files(page: Path) -> None:
    # mkdocs checks the links between the pages of the site.
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("http", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target
