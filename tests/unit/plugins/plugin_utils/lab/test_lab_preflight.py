# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a machine lacks for a lab, with a remedy that fits what was observed."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab import preflight
from ansible_collections.meshctl.headscale.plugins.plugin_utils._lab.supervisor import LabError
from lab_inventory import Inventory

LACKS = {
    "netem": ({"delay": "5ms", "rate": "1mbit"}, "a delay", "`modprobe sch_netem`"),
    "tbf": ({"rate": "1mbit"}, "a rate", "`modprobe sch_tbf`"),
    "egress": ({"loss": "1%"}, "packet loss", "Linux 5.16 or later"),
}


def _topology(link: dict[str, Any]) -> Any:
    inventory = Inventory()
    inventory.host("client-node-3")["mesh_link"] = link
    return inventory.read()


@pytest.mark.parametrize("missing", LACKS)
def test_an_impairment_that_the_kernel_lacks_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_try", lambda script: "Error: unknown" if missing in script else "")
    link, what, remedy = LACKS[missing]
    with pytest.raises(LabError) as caught:
        preflight.require_lines(_topology(link))
    said = f"the link of client-node-3 has {what}, but this kernel cannot give links {what} (Error: unknown): "
    assert str(caught.value).startswith(said)
    assert remedy in str(caught.value)
    for other in LACKS.keys() - {missing}:
        preflight.require_lines(_topology(LACKS[other][0]))


def test_a_link_without_impairments_tries_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_try", lambda _script: pytest.fail("nothing needs to be tried"))
    preflight.require_lines(_topology({"mtu": 1400}))


@pytest.mark.parametrize(
    ("uid", "number", "remedy"),
    [
        (1000, errno.EACCES, "let this user read and write it (chmod 0666 /dev/net/tun), or run as root"),
        (1000, errno.ENOENT, "load the kernel module (`modprobe tun`), or start the container with"),
        (0, errno.ENOENT, "load the kernel module (`modprobe tun`), or start the container with"),
        (0, errno.ENODEV, "load the kernel module (`modprobe tun`), or start the container with"),
        (0, errno.EPERM, "root is not permitted to open it, as in a container without `--device /dev/net/tun`"),
    ],
)
def test_the_remedy_for_tun(monkeypatch: pytest.MonkeyPatch, uid: int, number: int, remedy: str) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(os, "open", refuse)
    found = next(iter(preflight._access()))
    assert (found.id, found.verdict, found.what) == ("tun", "fail", f"/dev/net/tun: {os.strerror(number)}")
    assert found.remedy.startswith(remedy)


REFUSED = "unshare: unshare failed: Operation not permitted"


@pytest.mark.parametrize(
    ("uid", "problem", "switches", "remedy"),
    [
        (0, REFUSED, {}, "start it with `--privileged`"),
        (0, "mount: /mnt: permission denied.", {"unprivileged_userns_clone": "0"}, "start it with `--privileged`"),
        (0, "unshare: unshare failed: Invalid argument", {}, "use a kernel with user namespaces (CONFIG_USER_NS)"),
        (0, "unshare: unshare failed: No space left on device", {"max_user_namespaces": "0"}, "as root: sysctl -w user.max_user_namespaces=10000"),
        (
            0,
            "unshare: unshare failed: No space left on device",
            {"apparmor_restrict_unprivileged_userns": "1", "unprivileged_userns_clone": "0", "max_user_namespaces": "0"},
            "as root: sysctl -w user.max_user_namespaces=10000",
        ),
        (1000, REFUSED, {}, "run as root"),
        (1000, REFUSED, {"unprivileged_userns_clone": "0"}, "as root: sysctl -w kernel.unprivileged_userns_clone=1; or run as root"),
    ],
)  # fmt: skip
def test_the_remedy_for_namespaces(
    monkeypatch: pytest.MonkeyPatch, uid: int, problem: str, switches: dict[str, str], remedy: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(preflight, "_try", lambda _script: problem)
    monkeypatch.setattr(preflight.Path, "read_text", lambda path, **_options: switches.get(path.name, ""))
    found = preflight._user_namespaces()
    assert found.verdict == "fail"
    assert problem in found.what
    assert found.remedy.endswith(remedy)


def test_the_error_of_nft_is_not_the_line_of_marks_below_it() -> None:
    if preflight._try(":"):
        pytest.skip("this user cannot create namespaces")
    assert "Error: " in preflight._try("echo 'table inet t { chain c { type x hook y priority 0; }; }' | nft -f -")
    assert preflight._try("echo first >&2; echo last >&2; false") == "last"
