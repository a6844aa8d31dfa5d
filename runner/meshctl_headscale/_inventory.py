# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What meshctl itself reads of an inventory: whether it is one, and the few variables that are needed without a play."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meshctl_headscale._exit import BadInputError
from meshctl_headscale._stories import _plain_loader

_DEFAULTS = {
    "mesh_backend": "hosts",
    "lab_name": "seed",
    "mesh_server_url": "https://headscale.lab.test",
    "mesh_api_key_file": "/var/lib/headscale/meshctl_api_key",
    "mesh_domain": "mesh.internal",
}
_YAML = (".yml", ".yaml", ".json")
_VAULT = "$ANSIBLE_VAULT"
_ANSIBLE_S = 60


def check(inventory: str) -> str:
    """Return the inventory; refuse one in YAML that is none: Ansible says only that it could not parse it."""
    _document(inventory)
    return inventory


def encrypted(inventory: str) -> bool:
    """Whether the whole file is encrypted with Ansible's vault."""
    try:
        with Path(inventory).open("rb") as file:
            return file.read(len(_VAULT)) == _VAULT.encode()
    except OSError:
        return False


def variables(inventory: str, files: Sequence[Path] = ()) -> dict[str, str]:
    """Return the variables of the whole inventory, and of files given with `-e`, that are needed without a play.

    A plain inventory is read here, in no time. What only Ansible can tell (an inventory of several files, a plugin's,
    a template, an encrypted one) Ansible is asked for.
    """
    found = None if files else _plain(inventory)
    if found is None:
        found = _asked(inventory, files) if Path(inventory).exists() else {}
    return {name: str(found.get(name, default)) for name, default in _DEFAULTS.items()}


def _document(inventory: str) -> Any:  # noqa: ANN401 - an inventory's data
    """Return what an inventory in YAML holds; None for any other, and for an encrypted one."""
    path = Path(inventory)
    if not (path.is_file() and path.suffix in _YAML) or os.access(path, os.X_OK):
        return None
    import yaml  # noqa: PLC0415

    try:
        text = path.read_text(encoding="utf-8")
        if text.startswith(_VAULT):
            return None
        document = yaml.load(text, Loader=_plain_loader())  # noqa: S506
    except UnicodeDecodeError:
        raise BadInputError(f"The inventory {path} is no text in UTF-8. Write it in YAML.") from None
    except yaml.YAMLError as error:
        raise BadInputError(f"The inventory {path} is no YAML: {' '.join(str(error).split())}.") from None
    if document is None:
        raise BadInputError(f"The inventory {path} is empty. Write groups and hosts into it, as in lab.yml.")
    if not isinstance(document, dict):
        raise BadInputError(f"The inventory {path} holds no groups. It begins with 'all:', as in lab.yml.")
    if "plugin" in document:
        return None
    _check_groups(path, document)
    return document


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
    """Return the variables of `all` when nothing but the file itself can have a say in them."""
    document = _document(inventory)
    beside = Path(inventory).parent
    if document is None or any((beside / name).exists() for name in ("group_vars", "host_vars")):
        return None
    found: Mapping[str, Any] = (document.get("all") or {}).get("vars") or {}
    return None if any("{{" in str(found.get(name, "")) for name in _DEFAULTS) else found


def _asked(inventory: str, files: Sequence[Path] = ()) -> Mapping[str, Any]:
    """Return the variables as a play on the control server would see them, none where Ansible finds no such host."""
    from meshctl_headscale._play import ansible_command, environment  # noqa: PLC0415
    from meshctl_headscale._project import project  # noqa: PLC0415

    pairs = ", ".join(f"'{name}': {name} | default('')" for name in _DEFAULTS)
    words = ["headscale", "-m", "ansible.builtin.debug", "-a", json.dumps({"msg": f"{{{{ {{{pairs}}} | to_json }}}}"})]
    clean = environment(project(), Path(os.devnull)) | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_STDOUT_CALLBACK": "minimal"}
    del clean["ANSIBLE_CALLBACKS_ENABLED"], clean["MESHCTL_RUN_DIR"]
    done = subprocess.run(  # noqa: S603
        [*ansible_command("ansible"), "-i", inventory, *words, *(f"-e@{path}" for path in files)],
        capture_output=True,
        text=True,
        timeout=_ANSIBLE_S,
        check=False,
        env=clean,
    )
    try:
        answer = json.loads(json.loads(done.stdout.partition("SUCCESS => ")[2])["msg"])
    except (ValueError, KeyError):
        return {}
    return {name: value for name, value in answer.items() if value != ""}
