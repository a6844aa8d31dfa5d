#!/bin/sh
# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A libvirtd of the tests' own, with its own network, processes and directories: killing this script's `unshare` ends all
# of it, guests too. An ordinary machine has a libvirtd that runs; this one is for machines without systemd.
#
#   unshare --net --mount --pid --fork --kill-child --mount-proc sh libvirtd.sh DIRECTORY
set -eu
own=$1
mount --make-rprivate /
# All of /etc and not files of it: whoever changes a table of accounts puts a new file in its place, which takes away what
# is mounted there, in every namespace.
mkdir -p "$own/etc"
mount -t tmpfs -o mode=755 etc "$own/etc"
cp -a /etc/. "$own/etc"
rm -rf "$own/etc/libvirt"
mkdir "$own/etc/libvirt"
# Over the directories and not with libvirtd's options: its programs have these paths built in.
for name in var/lib/libvirt var/log/libvirt var/cache/libvirt; do mkdir -p "$own/$name" "/$name"; done
mkdir -p "$own/var/lib/libvirt/images" "$own/var/lib/libvirt/dnsmasq" "$own/var/lib/libvirt/qemu"
cat > "$own/etc/libvirt/qemu.conf" <<'END'
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
remember_owner = 0
stdio_handler = "file"
END
cat > "$own/etc/libvirt/libvirtd.conf" <<'END'
auth_unix_rw = "none"
auth_unix_ro = "none"
END
# The account that guests would have, which Debian's libvirt-daemon-system makes: libvirtd asks for it before it reads that
# they are to be root's.
grep -q ^libvirt-qemu: "$own/etc/group" || echo libvirt-qemu:x:64055: >>"$own/etc/group"
grep -q ^libvirt-qemu: "$own/etc/passwd" ||
    echo libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin >>"$own/etc/passwd"
for name in etc var/lib/libvirt var/log/libvirt var/cache/libvirt; do mount --bind "$own/$name" "/$name"; done
# What is in /sys/class/net is what the network namespace of the mount has.
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/lock /run/libvirt
ip link set lo up
sysctl -qw net.ipv4.ip_forward=1
# As init would: started again when it is ended, which is what a restart of the service is.
while :; do
    libvirtd >>"$own/libvirtd.log" 2>&1 &
    echo $! >"$own/libvirtd.pid"
    wait $! || true
    rm -f /run/libvirtd.pid
done
