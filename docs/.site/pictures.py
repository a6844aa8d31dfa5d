# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the pictures of the documentation.

The inputs are two run directories of the seed lab, one that passed (`meshctl run all`) and one that failed:

    meshctl run all
    meshctl faults inject udp-blocked; meshctl run us1 --no-deploy; meshctl faults clear
    python docs/.site/pictures.py runs/*-all runs/*-us1

They become `docs/assets/lab.svg`, `docs/assets/terminal.svg` and, with the program `chromium`, `docs/assets/report.png`.

A history becomes `docs/assets/history.png`. That of the documentation is a simulated week, which the tests use as well:

    PYTHONPATH=tests/support python -m watch_week week.sqlite
    python docs/.site/pictures.py --history week.sqlite

There is no picture of the dashboard: it needs Grafana, which Debian does not have.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ansible_collections.meshctl.headscale.plugins.plugin_utils._report import html, model, text
from meshctl_headscale._history import file, page, summary
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

ASSETS = Path(__file__).resolve().parents[1] / "assets"
COLUMNS = 96
PAGE = (1180, 1000)


def lab(report: model.Report) -> str:
    """Return the drawing of the topology in the report's page, with its colours."""
    page = html.render(report)
    (drawing,) = re.findall(r'<svg class="topo".*?</svg>', page, re.DOTALL)
    styles = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    if styles is None:
        raise SystemExit("report.html has no styles")
    colours = re.search(r":root\s*\{[^}]*\}", styles[1])
    rules = [rule for rule in styles[1].splitlines() if rule.startswith("svg ")]
    head = f"<style>{colours[0] if colours else ''}{''.join(rules)}svg{{background:var(--card)}}</style>"
    start, _, rest = drawing.removeprefix("<svg ").partition(">")
    return f'<svg xmlns="http://www.w3.org/2000/svg" {start}>{head}{rest}'


def terminal(report: model.Report) -> str:
    """Return what the terminal shows at the end of the run."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(f"$ {report.command}", style="bold")
    text.summary(report, console, run_dir=Path("runs", report.run_id))
    # Rich's format loads a font from another server.
    plain = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="meshctl", code_format=plain, unique_id="terminal")


def screenshot(page: Path, picture: Path) -> None:
    """Take a picture of the top of a page."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise SystemExit(f"{picture.name} needs the program chromium: install Debian's package chromium")
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(  # noqa: S603
            [
                program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars",
                f"--user-data-dir={profile}", f"--window-size={PAGE[0]},{PAGE[1]}",
                f"--screenshot={picture}", page.resolve().as_uri(),
            ],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip


def history(path: Path, picture: Path) -> None:
    """Take a picture of the page of a history, with all of its runs."""
    with file.opened(path) as store:
        ((began, ended),) = store.rows("SELECT min(started), max(finished) FROM run")
        found = summary.summarize(store, began, ended)
    with tempfile.TemporaryDirectory() as directory:
        written = Path(directory) / "history.html"
        written.write_text(page.render(found, title=path.stem), encoding="utf-8")
        screenshot(written, picture)


def main() -> int:
    """Make the pictures for which there is an input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("passed", type=Path, nargs="?", help="run directory of a run that passed")
    parser.add_argument(
        "failed", type=Path, nargs="?", help="run directory of a run that failed; without it, report.png stays"
    )
    parser.add_argument("--history", type=Path, help="file of a history")
    given = parser.parse_args()
    if not (given.passed or given.history):
        parser.error("name a run directory or a history")
    if given.history:
        history(given.history, ASSETS / "history.png")
    if given.passed:
        report = model.load(given.passed)
        (ASSETS / "lab.svg").write_text(lab(report) + "\n", encoding="utf-8")
        (ASSETS / "terminal.svg").write_text(terminal(report) + "\n", encoding="utf-8")
    if given.failed:
        screenshot(given.failed / "report.html", ASSETS / "report.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
