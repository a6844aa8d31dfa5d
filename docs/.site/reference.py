# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the pages below `reference/` from the code, each time that mkdocs builds the site."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from antsibull_docs_parser.html import to_html_plain
from antsibull_docs_parser.parser import Context, parse
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "collection" / "ansible_collections" / "meshctl" / "headscale"
KINDS = ("module", "connection", "callback", "inventory", "lookup", "filter")
PREFIX = "meshctl.headscale."

Data = dict[str, Any]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name, content in pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave out of the sections what is not there: not every checkout has every part of the project."""
    docs = Path(config.docs_dir)
    config.nav = [_present(entry, docs) for entry in config.nav or []]
    return config


def _present(entry: Data, docs: Path) -> Data:
    return {
        title: [one for one in content if _is_there(next(iter(one.values())), docs)]
        if isinstance(content, list)
        else content
        for title, content in entry.items()
    }


def _is_there(page: str, docs: Path) -> bool:
    return page.startswith("reference/") or (docs / page).is_file()


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Name files of the repository where a page links to them: they are not part of the site."""
    folder = (Path(config.docs_dir) / page.file.src_uri).parent

    def named(match: re.Match[str]) -> str:
        target = (folder / match[2]).resolve()
        outside = target.exists() and not target.is_relative_to(config.docs_dir)
        return f"{match[1]} (`{target.relative_to(ROOT)}`)" if outside else match[0]

    return re.sub(r"\[([^\]]+)\]\((\.\./[^)#\s]+)\)", named, markdown)


def pages() -> dict[str, str]:
    """Return the pages by name."""
    found = {"commands": "\n".join(_commands()), "roles": "\n".join(_roles()), "report-fields": "\n".join(_schema())}
    found["fault-catalogue"] = "\n".join(_faults())
    index = ["# Modules and plugins", "", "Made from what `ansible-doc` shows.", ""]
    for kind in KINDS:
        documented = _documented(kind)
        if not documented:
            continue
        index += [f"## {kind.capitalize()}s" if kind != "inventory" else "## Inventory plugins", ""]
        for name, data in sorted(documented.items()):
            short = name.removeprefix(PREFIX)
            page = short if kind == "module" else f"{kind}_{short}"
            index.append(f"- [{short}](modules/{page}.md): {_text(data['doc']['short_description'])}")
            found[f"modules/{page}"] = "\n".join(_plugin(name, kind, data))
        index.append("")
    found["modules"] = "\n".join(index)
    return found


# --- Faults ----------------------------------------------------------------------------------------------------------


def _faults() -> Iterator[str]:
    from ansible_collections.meshctl.headscale.plugins.plugin_utils._faults import catalogue, figures

    drilled = figures.read(ROOT / "docs" / "reference" / "faults.json")
    yield from figures.page(catalogue.load().values(), catalogue.families(), drilled)


# --- The command line ------------------------------------------------------------------------------------------------


def _commands() -> Iterator[str]:
    import typer
    from meshctl_headscale import cli

    yield "# Every command and option"
    yield ""
    yield "What each command prints for `--help`. [The command line](cli.md) explains them."
    program = typer.main.get_command(cli.app)
    yield from _command(program, ["meshctl"], None)


def _command(command: Any, names: list[str], parent: Any) -> Iterator[str]:  # noqa: ANN401 - click's, which typer brings
    context = command.make_context(names[-1], [], parent=parent, resilient_parsing=True)
    context.max_content_width = context.terminal_width = 100
    yield f"\n## {' '.join(names)}\n\n```text\n{command.get_help(context).strip()}\n```"
    for name, sub in getattr(command, "commands", {}).items():
        if not sub.hidden:
            yield from _command(sub, [*names, name], context)


# --- Modules and plugins ---------------------------------------------------------------------------------------------


def _documented(kind: str) -> dict[str, Data]:
    folder = COLLECTION / "plugins" / ("modules" if kind == "module" else kind)
    return _documented_by_ansible(kind, [path.stem for path in folder.glob("[a-z]*.py")])


def _documented_by_ansible(kind: str, short: list[str]) -> dict[str, Data]:
    names = sorted(PREFIX + name for name in short)
    if not names:
        return {}
    command = [str(Path(sys.executable).with_name("ansible-doc")), "--json", "--type", kind, *names]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collection"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"ansible-doc failed: {done.stderr.strip()}")
    found: dict[str, Data] = json.loads(done.stdout)
    if missing := sorted(set(names) - set(found)):
        raise SystemExit(f"ansible-doc knows no {', '.join(missing)}")
    return found


def _plugin(name: str, kind: str, data: Data) -> Iterator[str]:
    doc = data["doc"]
    added = doc.get("version_added", "0.1.0")
    yield f"# {name}\n\n{_text(doc['short_description'])}. *{kind.capitalize()}, added in {added}.*\n"
    yield from _paragraphs(doc.get("description"))
    if doc.get("requirements"):
        yield "## Requirements\n"
        yield from (f"- {_text(line)}" for line in doc["requirements"])
    if doc.get("options"):
        yield "\n## Options\n\n| option | type | default | |\n|---|---|---|---|"
        yield from _options(doc["options"])
    if doc.get("attributes"):
        yield "\n## Attributes\n\n| attribute | support | |\n|---|---|---|"
        for attribute, about in sorted(doc["attributes"].items()):
            told = [*_list(about.get("description")), *_list(about.get("details"))]
            yield f"| `{attribute}` | {about.get('support', '')} | {_cell(told)} |"
    if doc.get("notes"):
        yield "\n## Notes\n"
        yield from (f"- {_text(line)}" for line in doc["notes"])
    if data.get("examples"):
        yield f"\n## Examples\n\n```yaml\n{data['examples'].strip()}\n```"
    if data.get("return"):
        yield "\n## Returned\n\n| key | type | returned | |\n|---|---|---|---|"
        yield from _returned(data["return"])


def _options(options: Data, above: str = "") -> Iterator[str]:
    for name, about in options.items():
        kind = about.get("type", "str") + (f" of {about['elements']}" if about.get("elements") else "")
        default = (
            "**required**" if about.get("required") else f"`{json.dumps(about['default'])}`" if _default(about) else ""
        )
        choices = about.get("choices")
        told = _list(about.get("description"))
        if choices:
            told = [*told, "One of " + ", ".join(f"V({choice})" for choice in choices) + "."]
        told += [f"Environment: E({entry['name']})." for entry in about.get("env") or []]
        yield f"| `{above}{name}` | {kind} | {default} | {_cell(told)} |"
        # Those of a role are called as its own are.
        yield from _options(about.get("suboptions") or about.get("options") or {}, f"{above}{name}.")


def _default(about: Data) -> bool:
    return about.get("default") is not None


def _returned(returned: Data, above: str = "") -> Iterator[str]:
    for name, about in returned.items():
        kind = about.get("type", "") + (f" of {about['elements']}" if about.get("elements") else "")
        told = _cell(_list(about.get("description")))
        yield f"| `{above}{name}` | {kind} | {_text(about.get('returned', ''))} | {told} |"
        yield from _returned(about.get("contains") or {}, f"{above}{name}.")


def _list(value: str | list[str] | None) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _paragraphs(value: str | list[str] | None) -> Iterator[str]:
    yield from (f"{_text(line)}\n" for line in _list(value))


def _cell(lines: list[str]) -> str:
    return "<br>".join(_text(line) for line in lines).replace("|", "&#124;").replace("\n", " ")


def _text(text: str) -> str:
    # HTML, because Markdown's escapes differ from one Markdown to another; what is Markdown in it is not meant as such.
    html = to_html_plain(parse(str(text).replace("#module:", "."), Context()), par_start="", par_end="")
    return re.sub(r"[*_`\[\]]", lambda match: f"&#{ord(match[0])};", html).strip()


# --- Roles -----------------------------------------------------------------------------------------------------------


def _roles() -> Iterator[str]:
    yield "# Roles\n\nEach keeps the state of one host. Their arguments are compared with what is written here before they run."
    for role, data in sorted(
        _documented_by_ansible("role", [path.name for path in (COLLECTION / "roles").iterdir()]).items()
    ):
        yield f"\n## {role}\n"
        for entry, about in sorted(data["entry_points"].items(), key=lambda pair: (pair[0] != "main", pair[0])):
            yield f"### {entry}\n\n{_text(about['short_description'])}.\n"
            yield from _paragraphs(about.get("description"))
            yield "| variable | type | default | |\n|---|---|---|---|"
            yield from _options(about["options"])
            yield ""


# --- The report ------------------------------------------------------------------------------------------------------


def _schema() -> Iterator[str]:
    schema = json.loads((COLLECTION / "plugins" / "plugin_utils" / "_report" / "report.schema.json").read_text())
    yield f"# Fields of the report\n\n{schema['description']} [The report of a run](report.md) explains it.\n"
    yield f"Schema: `{schema['$id']}`.\n\n## report.json\n\n| field | type | |\n|---|---|---|"
    yield from _fields(schema)
    for name, part in schema["$defs"].items():
        if "properties" in part:
            yield f"\n## {name}\n\n{part.get('description', '')}\n\n| field | type | |\n|---|---|---|"
            yield from _fields(part)


def _fields(part: Data) -> Iterator[str]:
    required = part.get("required", [])
    for name, about in part["properties"].items():
        optional = "" if name in required else " (may be missing)"
        yield f"| `{name}` | {_type(about)} | {about.get('description', '')}{optional} |"


def _type(about: Data) -> str:
    if "$ref" in about:
        return str(about["$ref"]).rpartition("/")[2]
    if "enum" in about:
        return ", ".join(f"`{value}`" for value in about["enum"])
    if "const" in about:
        return f"`{json.dumps(about['const'])}`"
    if "anyOf" in about:
        return " or ".join(_type(one) for one in about["anyOf"])
    kind = about.get("type", "any")
    if kind == "array":
        return f"list of {_type(about.get('items', {}))}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)
