# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands about meshctl itself: `list` and `version`."""

from __future__ import annotations

from meshctl_headscale import _inputs
from meshctl_headscale._options import AsJson


def list_stories(as_json: AsJson = False) -> None:
    """List the stories.

    \b
    Examples:
      meshctl list
      meshctl list --json | jq -r '.stories[].name'
    """
    from meshctl_headscale import _stories, _tables
    from meshctl_headscale._project import project

    found = _stories.stories(project())
    if as_json:
        rows = [
            {
                "name": story.name,
                "title": story.title,
                "playbook": str(story.path),
                "imports": list(story.imports),
                **story.described,
            }
            for story in found
        ]
        _inputs.print_json({"stories": rows})
    else:
        _tables.stories(found)


def version(as_json: AsJson = False) -> None:
    """Show the versions of meshctl and of the programs that it uses.

    \b
    Examples:
      meshctl version
      meshctl version --json | jq -r .meshctl
    """
    from meshctl_headscale import _tables, _versions

    found = _versions.versions()
    if as_json:
        _inputs.print_json(found)
    else:
        _tables.versions(found)
