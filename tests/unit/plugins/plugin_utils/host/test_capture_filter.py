# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's filter of a capture: what it leaves out, by an interpreter of classic BPF."""

from __future__ import annotations

import socket

import bpf
import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._host.probe import capture, packets
from bpf import ipv4, ipv6, udp

DATA = b"\x04\0\0\0" + bytes(60)


def passes(packet: bytes, interface: int = 2, but: int = 0) -> bool:
    return bpf.passes(capture._program(but), packet, interface)


@pytest.mark.parametrize("packet", [ipv4(17, udp(DATA)), ipv4(17, udp(DATA), bytes(8)), ipv6(17, udp(DATA))])
def test_data_of_wireguard_is_left_out(packet: bytes) -> None:
    assert not passes(packet)


@pytest.mark.parametrize(
    "packet",
    [
        ipv4(6, DATA + bytes(64)),
        ipv4(17, udp(b"\x01\0\0\0" + bytes(60))),
        ipv4(17, udp(b"clear text")),
        ipv4(1, bytes(8) + DATA),
        ipv4(47, bytes(8) + DATA),
        ipv6(6, bytes(8) + DATA),
        ipv6(17, udp(b"clear text")),
        b"\x00\x01neither IPv4 nor IPv6",
    ],
)
def test_everything_else_is_kept(packet: bytes) -> None:
    assert passes(packet)
    assert passes(packet, interface=3, but=4)


def test_one_interface_is_left_out() -> None:
    assert not passes(ipv4(6, bytes(20)), interface=4, but=4)


def test_the_bytes_of_each_interface_are_counted() -> None:
    counted = capture._counted()
    assert "lo" in counted
    assert all(len(numbers) == 2 for numbers in counted.values())


def test_the_interface_of_an_address() -> None:
    assert packets.interface_number(["127.0.0.1"]) == socket.if_nametoindex("lo")
    assert packets.interface_number(["192.0.2.77"]) == 0


def test_the_kernel_takes_the_filter() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        packets.attach(sock, capture._program(4))
