# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make one script of a package of modules, for `remote.run_script` to send.

A host compiles what it is sent, every time, so each module is compiled only when it is imported there.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

# Runs on the host after a line that sets `_SOURCES`. Importing `importlib.util` would take longer than this class.
_IMPORTER = """
import sys


def _file(name):
    package, _dot, module = name.partition(".")
    if package != "meshctl_sent":
        return None
    own = module + ".__init__" if module else "__init__"
    return own if own in _SOURCES else module if module in _SOURCES else None


class _Importer:
    @staticmethod
    def find_spec(name, path=None, target=None):
        file = _file(name)
        return file and type(sys.__spec__)(name, _Importer, is_package=file.endswith("__init__"))

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        name = _file(module.__name__)
        exec(compile(_SOURCES[name], "meshctl/" + name + ".py", "exec"), module.__dict__)


sys.meta_path.insert(0, _Importer)
from meshctl_sent import main
"""


@cache
def source_of(name: str) -> str:
    """Return the script that is the module `name` in this directory."""
    return (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")


@cache
def script_of(name: str) -> str:
    """Return a script with all modules of the package `name` in this directory, and its `main`."""
    return _script(_modules(name))


@cache
def script_with(name: str, *packages: str) -> str:
    """Return a script that is the module `name` in this directory, with the packages that it uses, and its `main`."""
    uses = {f"{package}.{stem}": source for package in packages for stem, source in _modules(package).items()}
    return _script({"__init__": source_of(name), **uses})


def _modules(package: str) -> dict[str, str]:
    paths = sorted((Path(__file__).parent / package).glob("*.py"))
    # Only type checkers read `_types`.
    return {path.stem: path.read_text(encoding="utf-8") for path in paths if path.stem != "_types"}


def _script(sources: dict[str, str]) -> str:
    return f"_SOURCES = {sources!r}\n{_IMPORTER}"
