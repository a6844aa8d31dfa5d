# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The functions of a lab's build script. They run as the lab's root in its user, mount, network and process namespaces.
# /run/lab is the lab's tmpfs, and /run/lab/state has the shared parts of its state directory on disk.
set -eu
umask 022
PATH=/usr/sbin:/usr/bin:/sbin:/bin

# read_only POINT: make a bind mount read-only. Repeats its other options, because the kernel does not let a user
# namespace drop those of the host's mount (nosuid, nodev, ...).
read_only() {
    options=$(findmnt --noheadings --first-only --output VFS-OPTIONS "$1")
    mount -o "remount,bind,ro,$(printf '%s' "$options" | sed 's/^rw//; s/^ro//; s/^,//')" "$1"
}

# etc: collect the files of this system's /etc that programs in machines use. None of them has a secret.
etc() {
    mkdir /run/lab/etc
    (
        cd /etc
        set -- adduser.conf alternatives bash.bashrc ca-certificates ca-certificates.conf crypto-policies dbus-1 \
            debian_version default/locale default/useradd ethertypes gai.conf group host.conf inputrc iproute2 \
            ld.so.cache ld.so.conf ld.so.conf.d locale.alias locale.conf localtime login.defs lsb-release mime.types \
            mtab networks nginx/mime.types os-release pam.conf pam.d passwd pki/ca-trust/extracted pki/tls/certs \
            profile protocols python3* redhat-release rpc security services shells skel ssl/certs ssl/openssl.cnf \
            terminfo timezone xattr.conf
        # It reports the files that this system does not have, or has for root alone.
        cp -RP --parents "$@" /run/lab/etc 2>/dev/null || true
        cd /run/lab/etc
        rm -f security/opasswd
        : > environment
        # No account has a password.
        (umask 077; sed 's/:.*/:*:19000:0:99999:7:::/' passwd > shadow; sed 's/:.*/:*::/' group > gshadow)
    )
}

# verified: compare the copies of the programs with what the cache recorded when they were installed.
verified() {
    /usr/bin/python3 -ISsc '
import hashlib, pathlib, sys
for line in open("/run/lab/state/programs.sha256"):
    digest, name = line.split()
    if hashlib.sha256(pathlib.Path("/run/lab/bin", name).read_bytes()).hexdigest() != digest:
        sys.exit(f"{name} is not the program that was installed: remove it from the cache, and repeat")'
}

# namespaces NAME...: create the user and network namespace of each machine.
namespaces() {
    /usr/bin/python3 -ISs /run/lab/state/namespaces.py "$@"
}

# base: build the read-only part of the root file system that all machines share.
base() {
    root=/run/lab/base
    mkdir -p $root /run/lab/root /run/lab/ready /run/lab/disk
    mount -t tmpfs -o mode=755,size=16m lab-base $root
    (cd $root && mkdir -p dev etc home mnt opt/meshctl/bin proc root run sys tmp usr var)
    mount --rbind /usr $root/usr
    # A machine's root must not write to the host, not even through a mount below /usr.
    awk -v at=$root/usr '$5 == at || index($5, at "/") == 1 { print $5 }' /proc/self/mountinfo |
        while read -r point; do read_only "$point"; done
    for name in bin sbin lib lib32 lib64; do
        if [ -L /$name ]; then cp -P /$name $root/$name
        elif [ -d /$name ]; then
            mkdir $root/$name
            mount --rbind /$name $root/$name
            read_only $root/$name
        fi
    done
    mkdir -p $root/dev/net $root/dev/pts $root/dev/shm
    for name in null zero full random urandom tty net/tun; do
        : > $root/dev/$name
        mount --bind /dev/$name $root/dev/$name
    done
    ln -s pts/ptmx $root/dev/ptmx
    ln -s /proc/self/fd $root/dev/fd
    ln -s /proc/self/fd/0 $root/dev/stdin
    ln -s /proc/self/fd/1 $root/dev/stdout
    ln -s /proc/self/fd/2 $root/dev/stderr
    mount --bind /run/lab/bin $root/opt/meshctl/bin
    read_only $root/opt/meshctl/bin
    read_only $root
    verified & verifier=$!
    etc
    # Install the lab's CA where curl, Go and Python look for trusted CAs.
    cat /etc/ssl/certs/ca-certificates.crt /run/lab/state/ca.pem > /run/lab/ca-certificates.crt 2>/dev/null ||
        cp /run/lab/state/ca.pem /run/lab/ca-certificates.crt
}

# ipv6 NAME: give a machine the IPv6 addresses and routes on standard input, unless this kernel has no IPv6.
ipv6() {
    if [ -e /proc/sys/net/ipv6 ]; then ip -n "$1" -batch -; else cat >/dev/null; fi
}

# machine LAB NAME RESOLVER: start a machine in its network namespace and return at once. The lab keeps its disk, so a
# machine that is killed and restarted finds what it wrote, as after a power failure.
machine() {
    mkdir -p "/run/lab/state/logs/$2" "/run/lab/disk/$2" "/run/lab/root/$2"
    findmnt "/run/lab/disk/$2" >/dev/null || mount -t tmpfs -o mode=755,size=512m "$2" "/run/lab/disk/$2"
    setsid nsenter --user="/run/lab/users/$2" --preserve-credentials --net="/run/netns/$2" \
        unshare --mount --uts --ipc --pid --fork --kill-child --propagation private \
        /bin/sh -c '. /run/lab/state/machine.sh; boot "$@"' boot "$@" \
        </dev/null >>"/run/lab/state/boot/$2.log" 2>&1 &
}

# boot LAB NAME RESOLVER: run as process 1 of a machine: create its root file system and become its service supervisor.
boot() {
    # /proc is still the lab's, so the first number is the id of this process in the lab's process namespace.
    read -r pid _ < /proc/self/stat
    exec 3> "/run/lab/ready/$2.new"
    disk=/run/lab/disk/$2
    root=/run/lab/root/$2
    # Written last, so a disk without it is incomplete.
    [ -e "$disk/machine-id" ] || files "$1" "$2" "$disk"
    rm -rf "$disk/run" "$disk/tmp"
    mkdir -p "$disk/run/lock"
    mkdir -m 1777 "$disk/tmp"
    mount --rbind /run/lab/base "$root"
    for name in run var root home tmp; do mount --bind "$disk/$name" "$root/$name"; done
    mount -t overlay -o "userxattr,lowerdir=/run/lab/etc,upperdir=$disk/etc,workdir=$disk/etc.work" etc "$root/etc"
    rm -f "$root/etc/resolv.conf" "$root/etc/hosts" "$root/etc/hostname"
    cp "$disk/hosts" "$root/etc/hosts"
    printf '%s\n' "$2" > "$root/etc/hostname"
    printf '# the lab: answered by %s\nnameserver %s\n' "$3" "$3" > "$root/etc/resolv.conf"
    mount --bind "/run/lab/state/logs/$2" "$root/var/log/meshctl"
    mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
    mount -t sysfs -o nosuid,nodev,noexec,ro sysfs "$root/sys"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777,size=16m shm "$root/dev/shm"
    hostname "$2"
    cd "$root"
    pivot_root . .
    umount -l .
    cd /
    printf '%s\n' "$pid" >&3
    exec 3>&-
    exec env -i PATH=/opt/meshctl/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        MESHCTL_LAB="$1" MESHCTL_MACHINE="$2" s6-svscan -t0 /etc/service
}

# files LAB NAME DISK: write the initial /etc and /var of a machine.
files() {
    (
        cd "$3"
        rm -rf ./*
        mkdir -m 755 etc etc.work var root home
        mkdir -p etc/service etc/ssl/certs etc/meshctl etc/nginx var/log/meshctl var/lib var/cache var/tmp var/lib/nginx var/log/nginx
        ln -s /run var/run
        ln -s /run/lock var/lock
        cp /run/lab/ca-certificates.crt etc/ssl/certs/ca-certificates.crt
        if [ -d "/run/lab/state/tls/$2" ]; then cp -r "/run/lab/state/tls/$2" etc/meshctl/tls; fi
        printf '127.0.0.1 localhost\n::1 localhost ip6-localhost\n' > hosts
        # No nss module that would ask a daemon of the host.
        printf 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n' > etc/nsswitch.conf
        printf '%s %s' "$1" "$2" | sha256sum | cut -c 1-32 > machine-id
        cp machine-id etc/machine-id
    )
}

# stop NAME: remove the remains of a machine, even one that did not finish booting; keep its disk.
stop() {
    rm -f "/run/lab/ready/$1.new"
    [ -e "/run/netns/$1" ] || return 0
    ip netns pids "$1" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
    # Unmount immediately, because the same names are about to be reused.
    for interface in eth0 wan lan; do ip -n "$1" link del $interface 2>/dev/null || true; done
    ip netns del "$1" 2>/dev/null || true
    umount -l "/run/lab/users/$1" 2>/dev/null || true
}

# wipe NAME: delete the disk of a machine that is removed for good.
wipe() {
    umount -l "/run/lab/disk/$1" 2>/dev/null || true
    rm -rf "/run/lab/root/$1" "/run/lab/disk/$1" "/run/lab/state/logs/$1" "/run/lab/state/boot/$1.log"
}

# forget_flows ROUTER: drop established flows, which would keep their old translation. Does what `conntrack -F` does, which
# few systems have: send IPCTNL_MSG_CT_DELETE without a filter.
forget_flows() {
    nsenter --net="/run/netns/$1" /usr/bin/python3 -IS -c '
import socket, struct, sys
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
netlink.send(struct.pack("=IHHIIBBH", 20, 0x102, 5, 1, 0, 0, 0, 0))
error = -struct.unpack("=IHHIIi", netlink.recv(4096)[:20])[5]
sys.exit(error and f"connection tracking of a router cannot be emptied: errno {error} (kernel module nf_conntrack_netlink)")'
}

# await NAME...: wait for machines and print their process ids in the lab's process namespace.
await() {
    for name in "$@"; do
        turns=0
        until [ -s "/run/lab/ready/$name.new" ]; do
            turns=$((turns + 1))
            if [ $turns -gt 1000 ]; then
                echo "machine $name did not start: $(tail -n 1 "/run/lab/state/boot/$name.log")" >&2
                exit 1
            fi
            sleep 0.02
        done
        printf 'machine %s %s\n' "$name" "$(cat "/run/lab/ready/$name.new")"
    done
    [ -z "${verifier:-}" ] || wait "$verifier"
}
