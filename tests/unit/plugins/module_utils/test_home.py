# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths with `~`: a home directory that is unknown is bad input."""

from __future__ import annotations

import pwd
from pathlib import Path
from typing import NoReturn

import pytest
from ansible_collections.meshctl.headscale.plugins.module_utils._errors import BadInput
from ansible_collections.meshctl.headscale.plugins.module_utils._files import read_secret, writable
from ansible_collections.meshctl.headscale.plugins.module_utils._home import expanded
from ansible_collections.meshctl.headscale.plugins.plugin_utils import _paths

UNKNOWN = "names the home of a user that this machine does not know: write the whole path"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a user without an account, as in many containers."""

    def unknown(user: object) -> NoReturn:
        raise KeyError(user)

    for name in ("HOME", "MESHCTL_STATE_DIR", "XDG_STATE_HOME", "MESHCTL_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_a_known_home_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = [expanded(path) for path in ("~/a", "~", "~root", "a/~b", "/a", Path("a"), "")]
    wanted = ["/home/me/a", "/home/me", pwd.getpwnam("root").pw_dir, "a/~b", "/a", "a", "."]
    assert found == [Path(path) for path in wanted]


@pytest.mark.parametrize("read", [expanded, read_secret, writable])
def test_the_home_of_an_unknown_user_is_bad_input(read: object) -> None:
    with pytest.raises(BadInput, match=f"^~nosuch/x {UNKNOWN}$"):
        read("~nosuch/x")  # type: ignore[operator]


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize(("name", "of"), [("STATE", _paths.state_dir), ("CACHE", _paths.cache_dir)])
def test_a_user_without_a_home_can_name_the_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, of: object
) -> None:
    message = (
        f"HOME is not set and this user has no home directory: set HOME, or MESHCTL_{name}_DIR to an absolute path"
    )
    with pytest.raises(BadInput, match=f"^{message}$"):
        of()  # type: ignore[operator]
    monkeypatch.setenv(f"MESHCTL_{name}_DIR", str(tmp_path))
    assert of() == tmp_path  # type: ignore[operator]


@pytest.mark.parametrize(
    ("variable", "of"),
    [("MESHCTL_STATE_DIR", _paths.state_dir), ("XDG_CACHE_HOME", _paths.cache_dir), ("MESHCTL_RUNS_DIR", _paths.runs_dir)],
)  # fmt: skip
def test_the_variable_that_names_an_unknown_home_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, of: object
) -> None:
    monkeypatch.delenv("MESHCTL_CACHE_DIR", raising=False)
    monkeypatch.setenv(variable, "~nosuch/x")
    with pytest.raises(BadInput, match=f"^~nosuch/x in {variable} {UNKNOWN}$"):
        of()  # type: ignore[operator]
