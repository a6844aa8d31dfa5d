# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make one script of a package of modules, for `remote.run_script` to send.

A host compiles what it is sent, every time, so each module is compiled only when it is imported there. A host that runs the
same Python as the controller is sent what the controller has compiled.
"""

from __future__ import annotations

import marshal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

# The package that a script's modules are in on the host.
PACKAGE: Final = "meshctl_sent"
# The script that observes hosts.
USUAL: Final = "probe"
# The script for a Python that has loaded one already.
LOADED: Final = f"from {PACKAGE} import main"

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
        known = _SOURCES[name]
        if isinstance(known, bytes):
            import marshal

            code = marshal.loads(known)
        else:
            code = compile(known, "meshctl/" + name + ".py", "exec")
        exec(code, module.__dict__)


sys.meta_path.insert(0, _Importer)
from meshctl_sent import main
"""


@dataclass(frozen=True)
class Script:
    """Modules of one package, of which `__init__` has a function `main`."""

    modules: Mapping[str, str]
    """The source of each module, by its name."""

    @cached_property
    def source(self) -> str:
        """Return the script as source code, for any Python."""
        return f"_SOURCES = {dict(self.modules)!r}\n{_IMPORTER}"

    def preload(self) -> None:
        """Compile the script now, so that forks of this process need not."""
        self.code  # noqa: B018

    @cached_property
    def code(self) -> bytes:
        """Return the script as `marshal` writes it, for the Python that runs this."""
        modules = {
            name: marshal.dumps(compile(text, f"meshctl/{name}.py", "exec")) for name, text in self.modules.items()
        }
        return marshal.dumps(compile(f"_SOURCES = {modules!r}\n{_IMPORTER}", "meshctl", "exec"))


@dataclass(frozen=True, kw_only=True)
class Job:
    """A script for a Python that is there already."""

    interpreter: str
    """The path of the Python that would run it otherwise."""
    reader: str
    """The source that reads the script and its request from standard input, and runs it."""
    data: bytes
    loaded: bool = False
    """Whether it is the usual script, which that Python has loaded."""


def own_python() -> str:
    """Return the path of the Python that runs this, outside of its virtual environment."""
    return str(getattr(sys, "_base_executable", sys.executable))


@cache
def source_of(name: str) -> str:
    """Return the script that is the module `name` in this directory."""
    return (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")


@cache
def script_of(name: str) -> Script:
    """Return a script with all modules of the package `name` in this directory, and its `main`."""
    return Script(_modules(name))


@cache
def script_with(name: str, *packages: str) -> Script:
    """Return a script that is the module `name` in this directory, with the packages that it uses, and its `main`."""
    uses = {f"{package}.{stem}": source for package in packages for stem, source in _modules(package).items()}
    return Script({"__init__": source_of(name), **uses})


def _modules(package: str) -> dict[str, str]:
    paths = sorted((Path(__file__).parent / package).glob("*.py"))
    # Only type checkers read `_types`.
    return {path.stem: path.read_text(encoding="utf-8") for path in paths if path.stem != "_types"}
