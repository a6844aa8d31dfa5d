# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn the plan of a lab's guests into libvirt's XML. Pure functions."""

from __future__ import annotations

import ipaddress
from typing import Final
from xml.etree import ElementTree

from .model import Guest, Network, Plan

# libvirt's extension that passes options to its DHCP server.
_DNSMASQ: Final = "http://libvirt.org/schemas/network/dnsmasq/1.0"
_ROUTER, _RESOLVER = 3, 6

# Guests without udev name their interface eth0. `mitigations=off`: a lab's guest runs only trusted code.
_CMDLINE: Final = "root=/dev/vda rw console=ttyS0 loglevel=4 net.ifnames=0 apparmor=0 mitigations=off panic=5"


# The emulator caches translated code, by default up to a gigabyte.
TRANSLATED_MB: Final = 256


def network_xml(network: Network) -> str:
    """Return a network with reserved addresses for its guests, and the lab's router and resolver.

    `forward mode='open'`: libvirt gives the bridge an address of this machine and leaves the firewall alone.
    """
    root = ElementTree.Element("network")
    _text(root, "name", network.name)
    _text(root, "uuid", network.uuid)
    _add(root, "forward", mode="open")
    _add(root, "bridge", name=network.bridge, stp="off", delay="0")
    _add(root, "dns", enable="no")
    address = _add(root, "ip", address=network.host_address, prefix=str(ipaddress.IPv4Network(network.cidr).prefixlen))
    dhcp = _add(address, "dhcp")
    for guest in network.guests:
        _add(dhcp, "host", mac=guest.mac, name=guest.host, ip=guest.address)
    ElementTree.register_namespace("dnsmasq", _DNSMASQ)
    options = ElementTree.SubElement(root, f"{{{_DNSMASQ}}}options")
    for number, value in ((_ROUTER, network.gateway), (_RESOLVER, network.resolver)):
        ElementTree.SubElement(options, f"{{{_DNSMASQ}}}option", {"value": f"dhcp-option={number},{value}"})
    return _document(root)


def domain_xml(plan: Plan, guest: Guest, *, accelerated: bool, arguments: str = "") -> str:
    """Return a guest that boots its kernel directly, with one disk, one interface and the mesh's programs.

    :param arguments: of the image, for its kernel.
    """
    root = ElementTree.Element("domain", {"type": "kvm" if accelerated else "qemu"})
    _text(root, "name", guest.domain)
    _text(root, "uuid", guest.uuid)
    _text(root, "title", f"meshctl lab {plan.lab_name}: {guest.host}")
    _text(root, "memory", str(plan.settings.memory_mb), unit="MiB")
    _text(root, "vcpu", str(plan.settings.cpus))
    system = _add(root, "os")
    _text(system, "type", "hvm", arch="x86_64", machine="q35")
    _text(system, "kernel", f"{plan.disk_dir}/vmlinuz")
    _text(system, "initrd", f"{plan.disk_dir}/initrd.img")
    _text(system, "cmdline", f"{cmdline(guest)} {arguments}".strip())
    features = _add(root, "features")
    _add(features, "acpi")
    if accelerated:
        _add(root, "cpu", mode="host-passthrough")
    else:
        _text(_add(features, "tcg"), "tb-cache", str(TRANSLATED_MB), unit="MiB")
    _add(root, "clock", offset="utc")
    _text(root, "on_reboot", "restart")
    _text(root, "on_crash", "destroy")
    _devices(_add(root, "devices"), plan, guest)
    return _document(root)


def cmdline(guest: Guest) -> str:
    """Return the kernel's command line, which holds everything that is specific to a guest."""
    machine_id = guest.uuid.replace("-", "")
    return f"{_CMDLINE} systemd.hostname={guest.host} systemd.machine_id={machine_id}"


def _devices(devices: ElementTree.Element, plan: Plan, guest: Guest) -> None:
    _disk(devices, f"{plan.disk_dir}/{guest.host}.qcow2", "vda", form="qcow2")
    _add(_disk(devices, f"{plan.disk_dir}/programs.img", "vdb", form="raw"), "readonly")
    _add(devices, "controller", type="usb", model="none")
    line = _add(devices, "interface", type="network")
    _add(line, "mac", address=guest.mac)
    _add(line, "source", network=guest.network)
    _add(line, "model", type="virtio")
    serial = _add(devices, "serial", type="file")
    _add(serial, "source", path=f"{plan.disk_dir}/{guest.host}.console.log", append="on")
    _add(serial, "target", port="0")
    _text(_add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
    _add(devices, "memballoon", model="none")


def _disk(devices: ElementTree.Element, path: str, target: str, *, form: str) -> ElementTree.Element:
    disk = _add(devices, "disk", type="file", device="disk")
    # Guests are recreated, not repaired, so their writes need not reach the disk of this machine at once.
    _add(disk, "driver", name="qemu", type=form, cache="unsafe")
    _add(disk, "source", file=path)
    _add(disk, "target", dev=target, bus="virtio")
    return disk


def _add(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, attributes)


def _text(parent: ElementTree.Element, tag: str, text: str, **attributes: str) -> None:
    _add(parent, tag, **attributes).text = text


def _document(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
