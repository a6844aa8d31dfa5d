# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all unit tests have in common."""

import pytest
from hypothesis import settings
from release_server import cache, no_proxy, release, tools
from sample import SAMPLE, examples, sampled

__all__ = ["cache", "no_proxy", "release", "tools"]

settings.register_profile("meshctl", examples(100))
settings.load_profile("meshctl")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep only a sample of the parameters, if one is asked for."""
    if SAMPLE:
        chosen = sampled(items)
        config.hook.pytest_deselected(items=list(set(items).difference(chosen)))
        items[:] = chosen
