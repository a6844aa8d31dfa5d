#!/bin/sh
# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Mutation testing of the judges: `tests/mutation.sh [DIRECTORY]`, with the project's environment active. Takes ten minutes.
# Prints how many mutants were killed; then, in DIRECTORY: `mutmut results` and `mutmut show NAME`.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-$(mktemp -d)}
collection=ansible_collections/meshctl/headscale/plugins/plugin_utils

# mutmut names mutants by path: modules and tests stand in a tree of their own, in which both begin at the root.
mkdir -p "$work/$collection" "$work/tests"
cp -R "$root/collection/$collection/_judge" "$work/$collection/"
cp -R "$root/tests/unit/plugins/plugin_utils/judge/." "$work/tests/"
# What judges no observation: the loop around the judges is not in the tree.
rm -f "$work/tests/test_assertion_loop.py"
find "$work" -name __pycache__ -type d -prune -exec rm -rf {} +
cat > "$work/pyproject.toml" <<'TOML'
[tool.mutmut]
source_paths = ["ansible_collections/"]
pytest_add_cli_args_test_selection = ["tests/"]
also_copy = ["tests/", "pyproject.toml"]
do_not_mutate = ["*doctor*"]

[tool.pytest.ini_options]
pythonpath = [".", "tests"]
# Tests with random data kill by luck.
addopts = "-p no:cacheprovider -p no:randomly -m 'not hypothesis'"
TOML

[ -d "$work/tool" ] || python3 -m pip install --quiet --disable-pip-version-check --target "$work/tool" mutmut==3.8.1
cd "$work"
export PYTHONPATH="$work/tool"
python3 -m mutmut run --max-children "$(nproc)" | tr '\r' '\n' | tail -n 3
python3 -m mutmut results > results.txt || true
echo "$work/results.txt names those that survived; PYTHONPATH=$work/tool python3 -m mutmut show NAME shows one."
