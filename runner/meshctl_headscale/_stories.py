# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Select stories, and the playbooks that run them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshctl_headscale import _collection
from meshctl_headscale._exit import BadInputError
from meshctl_headscale._project import Project

# Tasks of meshctl's stories have the first; the others are Ansible's.
_TAGS = frozenset({"disruptive", "all", "always", "tagged", "untagged"})
_IMPORTS = ("import_playbook", "ansible.builtin.import_playbook")
_ALL = "all"
# Of a playbook.
_LARGEST = 4 << 20
# A play of these does not show that a story began.
_NOT_STORIES = ("up", "down")


@dataclass(frozen=True, kw_only=True)
class Story:
    """A playbook that `meshctl run` can run."""

    name: str
    title: str
    path: Path
    about: _collection.stories.Story | None = None
    """How the story describes itself; None for `all` and for a user's playbook."""
    imports: tuple[str, ...] = ()
    """Stories that this one consists of, in order (`all`)."""
    plays: frozenset[str] = frozenset()
    """Names of the plays of the story itself."""

    @property
    def words(self) -> tuple[str, ...]:
        """Names by which a user can select this story."""
        return (self.name, self.about.alias) if self.about else (self.name,)

    @property
    def described(self) -> dict[str, Any]:
        """How the story describes itself, for `meshctl list --json`."""
        keys = ("alias", "summary", "requires", "disrupts", "seconds")
        return {key: getattr(self.about, key) for key in keys} if self.about else {}


def stories(project: Project) -> list[Story]:
    """Return every story of the project, and `all`."""
    found = [_shipped(project, about) for about in _collection.stories.stories(project.playbooks / "stories")]
    every = Story(
        name=_ALL,
        title="All stories",
        path=project.playbook(_ALL),
        imports=tuple(story.name for story in found),
        plays=frozenset(name for story in found for name in story.plays),
    )
    return [*found, every]


def _shipped(project: Project, about: _collection.stories.Story) -> Story:
    plays = _play_names(about.path, _entries(about.path, about.path.read_text(encoding="utf-8")) or [])
    return Story(name=about.id, title=about.title, path=project.playbook(about.id), about=about, plays=frozenset(plays))


def select(project: Project, names: Sequence[str]) -> list[Story]:
    """Return the stories that the user named, by id, by alias or by the path of a playbook."""
    known = stories(project)
    chosen: dict[str, Story] = {}
    for name in names or [_ALL]:
        story = next((story for story in known if name in story.words), None) or _own(name)
        if story is None:
            near = difflib.get_close_matches(name.lower(), [word for story in known for word in story.words], n=1)
            guess = f" Did you mean {near[0]}?" if near else ""
            listed = ", ".join(story.name for story in known)
            raise BadInputError(f"There is no story {name!r}.{guess} The stories are: {listed}.")
        chosen[story.name] = story
    return list(chosen.values())


def parts(project: Project, selected: Sequence[Story]) -> list[Story]:
    """Return the selected stories, with the parts of `all` in its place."""
    known = {story.name: story for story in stories(project)}
    names = [name for story in selected for name in (story.imports or (story.name,))]
    chosen = {story.name: story for story in selected}
    return [known.get(name) or chosen[name] for name in dict.fromkeys(names) if name in known or name in chosen]


def playbooks(selected: Sequence[Story], *, deploy: bool) -> list[Path]:
    """Return what ansible-playbook runs: only the first story brings up the lab and the mesh, if it is to be."""
    alone = [story.about.path if story.about else story.path for story in selected]
    return [selected[0].path, *alone[1:]] if deploy else alone


def _own(name: str) -> Story | None:
    """Return the user's playbook when `name` is a path."""
    path = _collection.home.expanded(name)
    if path.suffix not in (".yml", ".yaml") and path.name == name:
        return None
    if not path.is_file():
        raise BadInputError(f"There is no playbook {path.absolute()}. Check the path.")
    try:
        story = _read(path.absolute())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadInputError(f"The playbook {path.absolute()} cannot be read: {reason}.") from None
    if story is None:
        raise BadInputError(f"The playbook {path.absolute()} has no plays.")
    return story


def _read(path: Path) -> Story | None:
    entries = _entries(path, _collection.reading.content(path, most=_LARGEST))
    if entries is None:
        return None
    plays = list(_play_names(path, entries))
    return Story(name=path.stem, title=plays[0] if plays else path.stem, path=path, plays=frozenset(plays))


def check_tags(project: Project, selected: Sequence[Story], tags: str) -> None:
    """Refuse a tag that no task of meshctl's stories has: nothing would run, or what should be skipped would."""
    own = [story.path.parent != project.playbooks for story in selected]
    unknown = sorted({tag.strip() for tag in tags.split(",") if tag.strip()} - _TAGS)
    if unknown and not any(own):
        names = ", ".join(story.name for story in selected)
        raise BadInputError(f"{names}: no task has the tag '{unknown[0]}'. There is the tag disruptive.")


def check_slices(project: Project, selected: Sequence[Story]) -> None:
    """Refuse the stories of meshctl that cannot run in slices."""
    whole = [story.name for story in selected if story.about and not story.about.slices]
    if whole:
        can = [story.name for story in stories(project) if story.about and story.about.slices]
        raise BadInputError(
            f"{', '.join(whole)} cannot run in slices: name stories that can ({', '.join(can)}), and run the others without "
            "--slices."
        )


def _entries(path: Path, text: str) -> list[dict[str, Any]] | None:
    """Return the entries of a playbook; None when the file is not a playbook."""
    import yaml

    try:
        plays = yaml.load(text, Loader=_collection.stories.plain_loader())  # noqa: S506
    except (RecursionError, yaml.YAMLError) as error:
        raise BadInputError(f"The playbook {path} is not YAML: {' '.join(str(error).split())}.") from None
    return [play for play in plays if isinstance(play, dict)] if isinstance(plays, list) else None


def _play_names(path: Path, entries: Sequence[dict[str, Any]], seen: frozenset[Path] = frozenset()) -> Iterator[str]:
    yield from (str(entry["name"]) for entry in entries if entry.get("name") and "hosts" in entry)
    for target in [path.parent / str(entry[key]) for entry in entries for key in _IMPORTS if key in entry]:
        known = {*seen, path.resolve()}
        if target.is_file() and target.resolve() not in known and target.stem not in _NOT_STORIES:
            text = _collection.reading.content(target, most=_LARGEST)
            yield from _play_names(target, _entries(target, text) or [], frozenset(known))
