# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stories that there are, read from the playbooks."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshctl_headscale._exit import BadInputError
from meshctl_headscale._project import Project

# What brings up, takes away or examines is no story.
_NOT_STORIES = ("up", "down", "doctor")
# The one that meshctl's stories have, and Ansible's special ones.
_TAGS = frozenset({"disruptive", "all", "always", "tagged", "untagged"})
_IMPORTS = ("import_playbook", "ansible.builtin.import_playbook")


@dataclass(frozen=True, kw_only=True)
class Story:
    """A playbook that proves something."""

    name: str
    title: str
    path: Path
    imports: tuple[str, ...] = ()
    """Stories that this one is made of, in order (`all`)."""
    plays: frozenset[str] = frozenset()
    """Names of its plays, those that bring lab and mesh up left out."""


def stories(project: Project) -> list[Story]:
    """Return every story of the project, those made of others last."""
    found = [_read(path) for path in sorted(project.playbooks.glob("*.yml")) if path.stem not in _NOT_STORIES]
    return sorted((story for story in found if story), key=lambda story: (bool(story.imports), story.name))


def select(project: Project, names: Sequence[str]) -> list[Story]:
    """Return the stories that the user named, by name or by the path of a playbook."""
    known = {story.name: story for story in stories(project)}
    chosen: dict[str, Story] = {}
    for name in names or ["all"]:
        story = known.get(name) or _own(name)
        if story is None:
            near = difflib.get_close_matches(name.lower(), known, n=1)
            guess = f" Did you mean {near[0]}?" if near else ""
            raise BadInputError(f"There is no story {name!r}.{guess} The stories are: {', '.join(known)}.")
        chosen[story.name] = story
    return list(chosen.values())


def parts(project: Project, selected: Sequence[Story]) -> list[Story]:
    """Return the selected stories with `all` taken apart."""
    known = {story.name: story for story in stories(project)}
    names = [name for story in selected for name in (story.imports or (story.name,))]
    chosen = {story.name: story for story in selected}
    return [known.get(name) or chosen[name] for name in dict.fromkeys(names) if name in known or name in chosen]


def playbooks(selected: Sequence[Story]) -> list[Path]:
    """Return what ansible-playbook runs: lab and mesh are brought up once, by the first story."""
    first, *others = selected
    return [first.path, *(_without_deployment(story.path) for story in others)]


def _without_deployment(path: Path) -> Path:
    plays = path.parent / "stories" / path.name
    return plays if plays.is_file() else path


def _own(name: str) -> Story | None:
    """Return the user's own playbook, where `name` is a path."""
    path = Path(name).expanduser()
    if path.suffix not in (".yml", ".yaml") and path.name == name:
        return None
    if not path.is_file():
        raise BadInputError(f"There is no playbook {path.absolute()}. Check the path.")
    try:
        story = _read(path.absolute())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise BadInputError(f"The playbook {path.absolute()} cannot be read: {reason}.") from None
    if story is None:
        raise BadInputError(f"The playbook {path.absolute()} holds no plays.")
    return story


def _read(path: Path) -> Story | None:
    text = path.read_text(encoding="utf-8")
    entries = _entries(path, text)
    if entries is None:
        return None
    imported = [target.stem for target in _imports(path, entries)]
    made_of = tuple(name for name in imported if name != path.stem and path.with_name(f"{name}.yml").is_file())
    names = [str(entry["name"]) for entry in entries if entry.get("name")]
    return Story(
        name=path.stem,
        title=_title(text) or (names[0] if names else path.stem),
        path=path,
        # A story has its plays in a file of its own; one that imports others is made of them.
        imports=made_of if len(made_of) > 1 else (),
        plays=frozenset(_play_names(path, entries)),
    )


def check_tags(project: Project, selected: Sequence[Story], tags: str) -> None:
    """Refuse a tag that no task of meshctl's own stories has: little would run, and that would pass."""
    own = [story.path.parent != project.playbooks for story in selected]
    unknown = sorted({tag.strip() for tag in tags.split(",") if tag.strip()} - _TAGS)
    if unknown and not any(own):
        names = ", ".join(story.name for story in selected)
        raise BadInputError(f"{names}: no task has the tag '{unknown[0]}'. There is the tag disruptive.")


def _entries(path: Path, text: str) -> list[dict[str, Any]] | None:
    """Return the entries of a playbook, None when it is none."""
    import yaml

    try:
        plays = yaml.load(text, Loader=_plain_loader())  # noqa: S506
    except yaml.YAMLError as error:
        raise BadInputError(f"The playbook {path} is no YAML: {' '.join(str(error).split())}.") from None
    return [play for play in plays if isinstance(play, dict)] if isinstance(plays, list) else None


def _imports(path: Path, entries: Sequence[dict[str, Any]]) -> list[Path]:
    """Return the playbooks that a playbook imports, those that bring up or take away left out."""
    found = [path.parent / str(entry[key]) for entry in entries for key in _IMPORTS if key in entry]
    return [target for target in found if target.stem not in _NOT_STORIES]


def _play_names(path: Path, entries: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield from (str(entry["name"]) for entry in entries if entry.get("name") and "hosts" in entry)
    for target in _imports(path, entries):
        if target.is_file() and target != path:
            yield from _play_names(target, _entries(target, target.read_text(encoding="utf-8")) or [])


def _title(text: str) -> str:
    """Return the first sentence of the comment at the top."""
    comment: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            comment.append(line.lstrip("# ").rstrip())
        elif line != "---":
            break
    sentence = re.split(r"(?<=[.!?])\s", " ".join(filter(None, comment)), maxsplit=1)[0]
    return sentence.rstrip(".")


def _plain_loader() -> type[Any]:
    """Return a YAML loader that takes Ansible's tags (`!vault`, `!unsafe`) as what they carry."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Knows any tag."""

    def untag(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> object:
        if isinstance(node, yaml.ScalarNode):
            return loader.construct_scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node)
        return loader.construct_mapping(node) if isinstance(node, yaml.MappingNode) else None

    Loader.add_multi_constructor("!", untag)
    return Loader
