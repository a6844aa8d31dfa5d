# Copyright (c) 2026, the meshctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds the disk of the Debian guests from Debian packages alone. Run as root, in an empty directory that has
# `authorized_keys` and the `host_key` pair; leaves vmlinuz, initrd.img and disk.qcow2 there.
#
#   image.sh SUITE [SOURCES...]     SOURCES: files with sources of apt; without one, mmdebstrap's own mirror
#
# `apt.conf` there says how packages are fetched; it may hold passwords, and is not left in the image.
#
# What is not needed is left out rather than waited for: without KVM, every unit costs half a second of a boot.
# So there is no udev (the kernel's devtmpfs and `net.ifnames=0` do), no D-Bus, no logind, no getty, no cron.
set -eu
suite=$1
shift
here=$(pwd)

packages=linux-image-cloud-amd64,initramfs-tools,lz4,systemd-sysv,openssh-server,python3,iproute2,nftables,iputils-ping,kmod,procps,udhcpc,nginx

cat > initramfs.sh <<'HOOK'
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=lz4\nRESUME=none\n' > "$1/etc/initramfs-tools/conf.d/meshctl"
printf '%s\n' virtio_pci virtio_blk virtio_net virtio_rng ext4 crc32c_generic > "$1/etc/initramfs-tools/modules"
HOOK

cat > customize.sh <<'HOOK'
set -eu
root=$1 here=$2
put() { mkdir -p "$root/$(dirname "$2")"; cat > "$root/$2"; chmod "$1" "$root/$2"; }

# The client's and the host's key are known before the first boot, so that nothing is trusted on first use.
install -d -m 700 "$root/root/.ssh"
install -m 600 "$here/authorized_keys" "$root/root/.ssh/authorized_keys"
rm -f "$root"/etc/ssh/ssh_host_*
install -m 600 "$here/host_key" "$root/etc/ssh/ssh_host_ed25519_key"
install -m 644 "$here/host_key.pub" "$root/etc/ssh/ssh_host_ed25519_key.pub"
put 644 etc/ssh/sshd_config <<'END'
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
X11Forwarding no
PrintMotd no
PrintLastLog no
MaxStartups 100:30:200
Subsystem sftp internal-sftp
SetEnv PATH=/opt/meshctl/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
END
# No password, and yet not locked: sshd without PAM refuses locked accounts.
chroot "$root" usermod --password '*' root

# busybox's client and not networkd, which does nothing with a line until udev has seen it.
put 755 etc/meshctl/dhcp <<'END'
#!/bin/sh
case $1 in
    bound | renew)
        ip address replace "$ip/$mask" dev "$interface"
        for gateway in $router; do ip route replace default via "$gateway" dev "$interface"; done ;;
esac
END
put 644 etc/systemd/system/meshctl-network.service <<'END'
[Unit]
Description=Address of this guest
DefaultDependencies=no
After=systemd-sysctl.service
Before=network-online.target
[Service]
Type=forking
ExecStartPre=/bin/ip link set eth0 up
# Goes to the background with the first lease, however long that takes.
ExecStart=/sbin/udhcpc -i eth0 -s /etc/meshctl/dhcp -p /run/udhcpc.pid -t 5 -T 1 -A 1
PIDFile=/run/udhcpc.pid
[Install]
WantedBy=multi-user.target network-online.target
END
put 644 etc/systemd/system/meshctl-programs.service <<'END'
[Unit]
Description=Programs of the mesh
DefaultDependencies=no
Before=basic.target
[Service]
Type=oneshot
RemainAfterExit=yes
# Not a mount unit: that would wait for a device unit, which only udev makes.
ExecStart=/bin/mount -t ext4 -o ro,noload /dev/vdb /opt/meshctl/bin
[Install]
WantedBy=basic.target
END
put 644 etc/systemd/journald.conf.d/meshctl.conf <<'END'
[Journal]
Storage=volatile
RuntimeMaxUse=16M
END
put 644 etc/systemd/system.conf.d/meshctl.conf <<'END'
[Manager]
DefaultTimeoutStartSec=300s
END
put 644 etc/hosts <<'END'
127.0.0.1 localhost
::1 localhost ip6-localhost
END
put 644 etc/nsswitch.conf <<'END'
passwd: files
group: files
shadow: files
hosts: files dns
services: files
protocols: files
END
mkdir -p "$root/opt/meshctl/bin" "$root/etc/meshctl" "$root/var/log/meshctl" "$root/etc/ssl/certs"
rm -f "$root/etc/resolv.conf" "$root/etc/hostname" "$root/etc/fstab"
rm -rf "$root"/etc/apt/apt.conf.d/99mmdebstrap "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
: > "$root/etc/resolv.conf"
# Where OpenSSL, and with it Python, looks for authorities; the lab's own is put there.
mkdir -p "$root/usr/lib/ssl"
ln -sfn /etc/ssl/certs "$root/usr/lib/ssl/certs"
ln -sfn /etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"

mask() { for unit; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done; }
enable() { chroot "$root" systemctl --quiet enable "$@"; }
mask systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
    systemd-udev-settle.service systemd-logind.service getty.target getty@.service serial-getty@.service \
    getty-static.service console-getty.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-tmpfiles-clean.timer systemd-update-utmp.service \
    systemd-update-utmp-runlevel.service systemd-hwdb-update.service systemd-binfmt.service systemd-random-seed.service \
    systemd-pstore.service systemd-machine-id-commit.service systemd-firstboot.service systemd-boot-system-token.service \
    systemd-journal-flush.service systemd-journal-catalog-update.service systemd-update-done.service ldconfig.service \
    systemd-user-sessions.service systemd-remount-fs.service dev-hugepages.mount dev-mqueue.mount \
    sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount sys-kernel-config.mount \
    modprobe@configfs.service modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service \
    systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service systemd-network-generator.service \
    modprobe@dm_mod.service modprobe@loop.service nftables.service rc-local.service emergency.service rescue.service \
    systemd-ask-password-console.path systemd-ask-password-wall.path cron.service
chroot "$root" systemctl --quiet disable nginx.service || true
enable meshctl-network.service ssh.service meshctl-programs.service
# Without udev nothing would wake the initramfs' own; the modules that it needs are on a list.
rm -f "$root/usr/share/initramfs-tools/hooks/udev" "$root"/usr/share/initramfs-tools/scripts/init-*/udev
chroot "$root" update-initramfs -u -k all >/dev/null
cp "$root"/boot/vmlinuz-* "$here/vmlinuz"
cp "$root"/boot/initrd.img-* "$here/initrd.img"
rm -rf "$root"/boot/* "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/usr/share/info/* \
    "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/*.log "$root"/var/log/apt "$root"/usr/lib/udev/hwdb* \
    "$root"/etc/udev/hwdb*
HOOK

mmdebstrap --mode=root --variant=minbase --include="$packages" \
    --aptopt="$here/apt.conf" --aptopt='Acquire::Languages "none"' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --essential-hook="sh $here/initramfs.sh \"\$1\"" --customize-hook="sh $here/customize.sh \"\$1\" $here" \
    --skip=cleanup/reproducible "$suite" "$here/root" "$@"

# 2 GiB, most of it holes.
mke2fs -q -t ext4 -L meshctl -E lazy_itable_init=1,lazy_journal_init=1 -d "$here/root" "$here/disk.raw" 2G
qemu-img convert -q -f raw -O qcow2 "$here/disk.raw" "$here/disk.qcow2"
rm -rf "$here/root" "$here/disk.raw" "$here/initramfs.sh" "$here/customize.sh" "$here/apt.conf"
