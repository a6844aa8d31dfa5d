# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that an inventory can be read, and read the few variables that are needed without a play."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshctl_headscale import _collection, _inputs
from meshctl_headscale._events import unparsed, without_colours
from meshctl_headscale._exit import BadInputError, MeshctlError
from meshctl_headscale._project import is_host_list

if TYPE_CHECKING:
    from meshctl_headscale._play import Request

DEFAULTS = {
    "mesh_backend": "hosts",
    "lab_name": "seed",
    "mesh_server_url": "https://headscale.lab.test",
    "mesh_api_key_file": "/var/lib/headscale/meshctl_api_key",
    "mesh_domain": "mesh.internal",
}
_YAML = (".yml", ".yaml", ".json")
# These name different files in the process of Ansible.
_NO_FILES = ("/dev/", "/proc/")
_VAULT = "$ANSIBLE_VAULT"
_ANSIBLE_S = 60
# Ten thousand hosts take less than a tenth.
_LARGEST = 64 << 20
_UNPARSED = re.compile(r"failed to parse inventory source\s+(\S.*)")
# Messages of the inventory plugin about a server that it could not query.
_UNASKED = re.compile(r"(The (certificate of|name in) )?https?://\S+ |Headscale refused")


def check(inventory: str) -> str:
    """Return the inventory; refuse a file that Ansible would wait for or reject without a reason."""
    if is_host_list(inventory):
        return inventory
    path = Path(inventory)
    try:
        _check_kind(path)
        for file in _files(path) if path.is_dir() else ():
            _check_kind(file)
            document = _read(file)
            if isinstance(document, dict) and "plugin" not in document:
                _check_groups(file, document)
        _document(inventory)
    except OSError as error:
        raise BadInputError(f"The inventory {error.filename} cannot be read: {error.strerror}.") from None
    return inventory


def _check_kind(path: Path) -> None:
    """Refuse pipes, terminals and devices: Ansible reads an inventory several times and would wait forever."""
    if not path.exists():
        return
    if not (path.is_file() or path.is_dir()) or str(path).startswith(_NO_FILES):
        raise BadInputError(f"The inventory {path} is neither a file nor a directory. Write it to a file.")
    if path.is_file() and path.stat().st_size > _LARGEST:
        raise BadInputError(f"The inventory {path} is larger than {_LARGEST >> 20} MiB. Name the right file.")
    if path.is_file() and (program := _missing_program(path)):
        # Ansible would read it as an INI file of comments.
        raise BadInputError(
            f"The inventory {path} is a script for {program}, which this machine does not have. Install it."
        )


def _missing_program(path: Path) -> str:
    """Return the interpreter that a script names, if this machine does not have it."""
    if not _is_script(path):
        return ""
    with path.open("rb") as file:
        words = file.readline().decode(errors="replace")[2:].split()
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return "" if words and shutil.which(words[0]) else " ".join(words[:1]) or "nothing"


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return os.access(path, os.X_OK) and file.read(2) == b"#!"
    except OSError:
        return False


def _files(directory: Path) -> Iterator[Path]:
    """Yield the files that Ansible reads in an inventory directory."""
    for entry in sorted(directory.iterdir()):
        if entry.name.startswith(".") or entry.name in ("group_vars", "host_vars", "vars_plugins"):
            continue
        if entry.is_dir():
            yield from _files(entry)
        else:
            yield entry


def _like_ini(path: str) -> bool:
    """Whether a file has an INI section, and no suffix of another format."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return Path(path).suffix not in _YAML and any(line.startswith("[") for line in text.splitlines())


def encrypted(inventory: str) -> bool:
    """Whether the whole file is encrypted with Ansible's vault."""
    try:
        with Path(inventory).open("rb") as file:
            return file.read(len(_VAULT)) == _VAULT.encode()
    except OSError:
        return False


def refusal(output: str, inventory: str, files: Sequence[Path] = ()) -> MeshctlError | None:
    """Return the error of an inventory that Ansible could not read, from all that it wrote; None where it could.

    Ansible reads the files of variables with it, and blames the inventory for all of them.
    """
    written = without_colours(output)
    found = _UNPARSED.search(written)
    if not found:
        return None
    # In an inventory directory, the error names one of the files.
    source = inventory if Path(inventory).is_file() else found[1].strip()
    what = "inventory"
    for file in files:
        origin = f"Origin: {file}"
        if any(
            line.rstrip() == origin or line.startswith((f"{origin}:", f"{origin} ")) for line in written.splitlines()
        ):
            source, what = str(file), "file of variables"
    if encrypted(source):
        return BadInputError(
            f"The {what} {source} is encrypted with an unknown password. "
            "Name a file with the password in ANSIBLE_VAULT_PASSWORD_FILE."
        )
    why = unparsed(output, like_ini=_like_ini(source))
    error = MeshctlError if _UNASKED.match(why) else BadInputError
    return error(f"The {what} {source} cannot be read: {why or 'Ansible finds nothing in it'}.")


def variables(inventory: str, files: Sequence[Path] = ()) -> dict[str, str]:
    """Return the variables of the whole inventory, and of files given with `-e`, that are needed without a play.

    A plain inventory is read directly, which is fast. Any other (several files, a plugin, a template, an encrypted
    file) is evaluated by Ansible.
    """
    if is_host_list(inventory):
        return dict(DEFAULTS)
    found = None if files else _plain(inventory)
    if found is None:
        found = _asked(inventory, files)
    return {name: str(found.get(name, default)) for name, default in DEFAULTS.items()}


def _document(inventory: str) -> Any:  # noqa: ANN401 - an inventory's data
    """Return the content of a YAML inventory; None for any other, and for an encrypted one."""
    path = Path(inventory)
    if not _is_yaml(path) or encrypted(inventory):
        return None
    document = _read(path)
    if document is None:
        raise BadInputError(f"The inventory {path} is empty. Write groups and hosts into it, as in lab.yml.")
    if not isinstance(document, dict):
        raise BadInputError(f"The inventory {path} has no groups. It must begin with 'all:', as in lab.yml.")
    if "plugin" in document:
        return None
    _check_groups(path, document)
    return document


def _is_yaml(path: Path) -> bool:
    return path.is_file() and path.suffix in _YAML and not _is_script(path)


def _read(path: Path) -> Any:  # noqa: ANN401 - an inventory's data
    """Return the content of a YAML file, None for any other; refuse duplicate keys."""
    if not _is_yaml(path):
        return None
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        return None if text.startswith(_VAULT) else loaded(f"The inventory {path}", text)
    except UnicodeDecodeError:
        raise BadInputError(f"The inventory {path} is not UTF-8 text. Write it in YAML.") from None
    except (RecursionError, yaml.YAMLError) as error:
        raise BadInputError(f"The inventory {path} is not YAML: {' '.join(str(error).split())}.") from None


@functools.lru_cache(maxsize=4)
def loaded(source: str, text: str) -> Any:  # noqa: ANN401 - an inventory's data
    """Return the content of a JSON or YAML document; refuse duplicate keys, with the name of the source in first place."""
    import yaml

    twice: list[str] = []

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(key for key, number in Counter(key for key, _value in pairs).items() if number > 1)
        return dict(pairs)

    try:
        # As Ansible does. YAML refuses tabs as indentation, and takes a number such as 1e3 for text.
        found = json.loads(text, object_pairs_hook=mapping)
    except ValueError:
        return yaml.load(text, Loader=_strict_loader(source))  # noqa: S506
    if twice:
        # It names the lines, if what it reads is YAML as well. Tabs are part of no value of JSON.
        with contextlib.suppress(RecursionError, yaml.YAMLError):
            yaml.load(text.replace("\t", " "), Loader=_strict_loader(source))  # noqa: S506
        raise _occurs_twice(source, twice[0])
    return found


def _occurs_twice(source: str, key: str, lines: str = "") -> BadInputError:
    return BadInputError(
        f"{source}: {key} occurs twice{lines}, and only the last would take effect. Remove one, or merge them."
    )


def _strict_loader(source: str) -> type[Any]:
    """Return a YAML loader that refuses duplicate keys, of which Ansible takes the last with a warning."""
    import yaml

    checked: set[yaml.MappingNode] = set()

    class Loader(_collection.stories.plain_loader()):  # type: ignore[misc]
        """Refuses a mapping with a duplicate key."""

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            # It puts what is merged into the node itself, which an alias brings here again.
            if node not in checked:
                checked.add(node)
                self._check(node)
            super().flatten_mapping(node)

        @staticmethod
        def _check(node: yaml.MappingNode) -> None:
            seen: dict[str, int] = {}
            for key, _value in node.value:
                line = key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                    continue
                if key.value in seen:
                    raise _occurs_twice(source, key.value, f" (line {seen[key.value]} and line {line})")
                seen[key.value] = line

    return Loader


def _check_groups(path: Path, document: Mapping[str, Any]) -> None:
    for name, group in document.items():
        if group is not None and not isinstance(group, dict):
            raise BadInputError(
                f"The inventory {path}: the group '{name}' is {_short(group)}. "
                "Write a mapping with hosts, vars or children."
            )
        for part in ("hosts", "vars", "children"):
            if (value := (group or {}).get(part)) is not None and not isinstance(value, dict):
                raise BadInputError(
                    f"The inventory {path}: '{part}' of the group '{name}' is {_short(value)}. "
                    "Write one `name: value` a line."
                )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 (fits a line)


def _plain(inventory: str) -> Mapping[str, Any] | None:
    """Return the variables of `all` if nothing outside the file can change them."""
    document = _document(inventory)
    directory = Path(inventory).parent
    if document is None or any((directory / name).exists() for name in ("group_vars", "host_vars")):
        return None
    found: Mapping[str, Any] = (document.get("all") or {}).get("vars") or {}
    return None if any("{{" in str(found.get(name, "")) for name in DEFAULTS) else found


def plain_text(inventory: str) -> str | None:
    """Return the text of an inventory if nothing outside the file determines what it says."""
    if is_host_list(inventory) or _plain(inventory) is None:
        return None
    return Path(inventory).read_text(encoding="utf-8")


def _asked(inventory: str, files: Sequence[Path] = ()) -> Mapping[str, Any]:
    """Return the variables as a play on the control server sees them, none if Ansible finds no such host."""
    pairs = ", ".join(f"'{name}': {name} | default('')" for name in DEFAULTS)
    words = ["headscale", "-m", "ansible.builtin.debug", "-a", json.dumps({"msg": f"{{{{ {{{pairs}}} | to_json }}}}"})]
    done = _ansible(inventory, words, files)
    try:
        answer = json.loads(json.loads(done.partition("SUCCESS => ")[2])["msg"])
    except (ValueError, KeyError):
        return {}
    return {name: value for name, value in answer.items() if value != ""}


def hosts(request: Request, pattern: str) -> list[str]:
    """Return the hosts of the inventory that a pattern names and a request is limited to."""
    words = [pattern, "--list-hosts", *(["--limit", _inputs.limit(request.limit)] if request.limit else [])]
    lines = _ansible(request.inventory, words, request.extra_files).splitlines()
    # The first line counts them.
    return [line.strip() for line in lines if line.startswith("    ")]


def _ansible(inventory: str, words: Sequence[str], files: Sequence[Path] = ()) -> str:
    """Return what `ansible` writes about an inventory."""
    from meshctl_headscale._play import ansible_command, environment
    from meshctl_headscale._project import project

    clean = environment(project(), Path(os.devnull)) | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_STDOUT_CALLBACK": "minimal"}
    del clean["ANSIBLE_CALLBACKS_ENABLED"], clean["MESHCTL_RUN_DIR"]
    # As the play sees it. Ansible would use group_vars and host_vars of the working directory, which may be another user's.
    given = ["-i", inventory, "--playbook-dir", str(project().playbooks), *(f"-e@{path}" for path in files)]
    try:
        done = subprocess.run(  # noqa: S603
            [*ansible_command("ansible"), *given, *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSIBLE_S,
            check=False,
            env=clean,
        )
    except subprocess.TimeoutExpired:
        raise MeshctlError(
            f"The inventory {inventory} could not be read within {_ANSIBLE_S} s. Check the scripts and plugins in it."
        ) from None
    if error := refusal(done.stdout + done.stderr, inventory, files):
        # The defaults would name another lab.
        raise error
    return done.stdout
