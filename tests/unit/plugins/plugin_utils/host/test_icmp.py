# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Echo requests of the probe to this machine itself."""

from __future__ import annotations

import select
import socket
import time

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.base import Unseen
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe.icmp import Echo, icmp

ADDRESSES = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@pytest.mark.parametrize("family", ADDRESSES)
def test_a_socket_is_woken_by_its_own_replies_only(family: int) -> None:
    try:
        idle, busy = Echo(family, {}), Echo(family, {})
    except (OSError, Unseen):
        pytest.skip("this user may not send ICMP echo requests")
    with idle.sock, busy.sock:
        busy.send(ADDRESSES[family])
        ready, _writable, _failed = select.select([busy.sock], [], [], 5)
        assert ready == [busy.sock]
        busy.take()
        assert busy.found[ADDRESSES[family]]["received"] == 1
        # Raw sockets of a host get the requests and replies of all others.
        assert select.select([idle.sock, busy.sock], [], [], 0) == ([], [], [])


def test_the_kernel_says_when_a_reply_arrived() -> None:
    ask = {"targets": list(ADDRESSES.values()), "count": 3, "interval_s": 0.1, "per_second": 10}
    try:
        found = icmp(ask, time.monotonic() + 10)
    except (OSError, Unseen):
        pytest.skip("this user may not send ICMP echo requests")
    # The probe sleeps between requests, and reads the replies afterwards.
    assert [len(result["rtt_ms"]) for result in found.values()] == [3, 3]
    assert all(min(result["rtt_ms"]) < 50 for result in found.values())
