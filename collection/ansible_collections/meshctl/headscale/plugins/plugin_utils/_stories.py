# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""List the stories, as their playbooks describe them.

Every playbook in the directory `stories` is a story. The play that sets `mesh_story` names it: `US2 cross-network` is
the title of the story with the id `us2` and the alias `cross-network`. Its variable `mesh_story_info` says the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..module_utils._errors import BadInput

_INFO = {"summary", "requires", "disrupts", "seconds"}


@dataclass(frozen=True, kw_only=True)
class Story:
    """A story, without anything that only a run can tell."""

    id: str
    alias: str
    title: str
    summary: str
    """What it proves, as one sentence."""
    requires: str
    """What the inventory must have."""
    disrupts: str
    """What it interrupts; empty when it only observes."""
    seconds: int
    """How long it takes in the seed lab."""
    slices: bool
    """Whether it can run in slices: no task needs what another host's task registered."""
    path: Path


def stories(directory: Path) -> list[Story]:
    """Return the stories in a directory of playbooks, in the order in which they run.

    :raises BadInput: when a playbook is not a story.
    """
    return [_read(path) for path in sorted(directory.glob("*.yml"), key=_order)]


def _order(path: Path) -> list[Any]:
    """Sort us10 after us9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.stem)]


def _read(path: Path) -> Story:
    plays = yaml.load(path.read_text(encoding="utf-8"), Loader=plain_loader())  # noqa: S506
    found = [play for play in plays or [] if isinstance(play, Mapping) and "mesh_story" in (play.get("vars") or {})]
    if len(found) != 1:
        raise BadInput(f"{path}: exactly one play of a story sets mesh_story, here {len(found)} do")
    title, variables = str(found[0].get("name", "")), found[0]["vars"]
    label, _space, alias = title.partition(" ")
    if label.lower() != path.stem or variables["mesh_story"] != path.stem or not alias:
        raise BadInput(f"{path}: name the play '{path.stem.upper()} …' and set mesh_story to {path.stem}")
    info = variables.get("mesh_story_info")
    if not isinstance(info, Mapping) or set(info) - {"slices", "needs"} != _INFO:
        raise BadInput(f"{path}: mesh_story_info must have exactly summary, requires, disrupts and seconds")
    return Story(
        id=path.stem,
        alias=re.sub(r"[^a-z0-9]+", "-", alias.lower()).strip("-"),
        title=title,
        summary=str(info["summary"]).strip(),
        requires=str(info["requires"]).strip(),
        disrupts=str(info["disrupts"] or "").strip(),
        seconds=int(info["seconds"]),
        slices=info.get("slices") is True,
        path=path,
    )


def plain_loader() -> type[yaml.SafeLoader]:
    """Return a YAML loader that reads a value with one of Ansible's tags (`!vault`, `!unsafe`) without the tag."""

    class Loader(yaml.SafeLoader):
        """Accepts every tag."""

        def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
            """Construct the value of a node, or name the place of one such as 2026-02-30, which is no date."""
            try:
                return super().construct_object(node, deep)
            except (ArithmeticError, AttributeError, LookupError, ValueError) as error:
                why = f": {error}" if isinstance(error, ValueError) else ""
                problem = f"this is not a valid {node.tag.rpartition(':')[2]}{why}"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None

    def untag(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> object:
        if isinstance(node, yaml.ScalarNode):
            return loader.construct_scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node)
        return loader.construct_mapping(node) if isinstance(node, yaml.MappingNode) else None

    Loader.add_multi_constructor("!", untag)
    return Loader
