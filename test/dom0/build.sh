#!/usr/bin/env bash
# Builds the machine that run.mjs boots, from Debian packages. Nothing is installed on this host: packages are only fetched and unpacked.
#
#   build.sh versions            prints every package and its version; run.mjs rebuilds when this changes
#   build.sh into FOLDER NODE    fills FOLDER:
#     qemu/                      the emulator; empty if the host has one
#     xen, vmlinux, initrd.gz    to boot
#     root.img                   the root file system: LVM, xl, kernel modules, and NODE with the libraries it needs
#
# Needs root, apt-get with package lists (apt-get update), tar, xz and mke2fs.
set -euo pipefail

guest=(bash coreutils util-linux kmod busybox-static lvm2 e2fsprogs strace libstdc++6
  xen-hypervisor-4.17-amd64 xen-utils-4.17 xenstore-utils linux-image-amd64)
# Dependencies of the guest's packages that nothing there uses.
useless='adduser|cpio|debconf|dpkg|initramfs-tools.*|klibc-utils|libklibc|libdb5.3|libpam-.*|libsqlite3-0|linux-.*|media-types|passwd'
useless+='|perl.*|python3.*|libpython3.*|sensible-utils|tar|ucf|udev|xen-hypervisor-.*'

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch"/{guest,host}/archives/partial
: >"$scratch/nothing"

# apt's lock is only needed for installing, and would block other users of apt.
apt() { apt-get -qq -y -o APT::Install-Recommends=false -o APT::Sandbox::User=root -o Debug::NoLocking=1 -o Acquire::Retries=3 "$@"; }
# Pretends that nothing is installed, so that everything the guest needs is fetched, whatever the host has.
apt_guest() { apt -o Dir::Cache="$scratch/guest" -o Dir::State::status="$scratch/nothing" "$@" install "${guest[@]}"; }
apt_host() { type -P qemu-system-x86_64 >/dev/null || apt -o Dir::Cache="$scratch/host" "$@" install qemu-system-x86; }

versions() { (apt_guest --simulate && apt_host --simulate) | sed -n 's/^Inst \([^ ]*\) .*(\([^ ]*\) .*/\1 \2/p' | sort; }

# unpack PACKAGE FOLDER [TAR-OPTION|PATH …]
unpack() {
  local deb=$1 into=$2
  shift 2
  mkdir -p "$into"
  dpkg --fsys-tarfile "$deb" | tar -x -C "$into" "$@"
}

host_programs() {
  local deb
  apt_host --download-only
  mkdir -p "$out/qemu"
  for deb in "$scratch"/host/archives/*.deb; do
    [ -e "$deb" ] || break
    unpack "$deb" "$out/qemu" --exclude=./usr/share/doc --exclude=./usr/share/man
  done
}

# qemu loads Xen by its multiboot header, which it can only find after gunzip.
hypervisor() {
  unpack "$debs"/xen-hypervisor-4.17-amd64_*.deb "$scratch/xen"
  gunzip -c "$scratch"/xen/boot/xen-4.17-amd64.gz >"$out/xen"
}

# Unpacked here, the kernel starts seconds earlier than if emulated code had to unpack it. The boot header
# (Documentation/x86/boot.rst) locates the compressed part: setup_sects, payload_offset, payload_length.
kernel() {
  local image modules='./lib/modules/*'
  unpack "$debs"/linux-image-6*.deb "$scratch/kernel" --wildcards './boot/vmlinuz-*' "$modules"/modules.{builtin,builtin.modinfo,order} \
    "$modules"/kernel/drivers/{md,block,xen,virtio}/'*' "$modules"/kernel/drivers/char/virtio_console.ko \
    "$modules"/kernel/fs/{ext4,jbd2,mbcache.ko}'*' "$modules"/kernel/{lib,crypto,arch/x86/crypto}/'*'
  image=$(ls "$scratch"/kernel/boot/vmlinuz-*)
  version=${image##*/vmlinuz-}
  field() { od -An -t "u$2" -j "$1" -N "$2" "$image" | tr -d ' '; }
  dd if="$image" iflag=skip_bytes,count_bytes bs=64k skip=$((($(field 0x1f1 1) + 1) * 512 + $(field 0x248 4))) \
    count="$(field 0x24c 4)" status=none of="$scratch/payload"
  xz -dc --single-stream <"$scratch/payload" >"$out/vmlinux"
}

root_file_system() {
  local deb name folder library root=$scratch/root
  for deb in "$debs"/*.deb; do
    name=${deb##*/}
    [[ ${name%%_*} =~ ^($useless)$ ]] && continue
    unpack "$deb" "$root" --exclude=./usr/share/{doc,man,locale,info,i18n,bash-completion}
  done
  # Current Debian has links here, but packages may still contain the folders.
  for folder in bin sbin lib lib64; do
    mkdir -p "$root/$folder" "$root/usr/$folder"
    [ -L "$root/$folder" ] || { cp -a "$root/$folder/." "$root/usr/$folder/" && rm -rf "${root:?}/$folder"; }
    ln -sfn "usr/$folder" "$root/$folder"
  done
  mkdir -p "$root"/{proc,sys,dev,run,tmp,root,work,mnt,var/log/xen,var/lib/xenstored,etc/lvm}
  cp -a "$scratch/kernel/lib/modules" "$root/usr/lib/"
  chroot "$root" depmod "$version"

  ln -sfn bash "$root/usr/bin/sh"
  for name in $("$root/usr/bin/busybox" --list); do
    [ -e "$root/usr/bin/$name" ] || [ -e "$root/usr/sbin/$name" ] || ln -s busybox "$root/usr/bin/$name"
  done
  cp "$node" "$root/usr/bin/node"
  # Only libraries that Debian's packages lack: one process must not load two C libraries.
  for library in $(ldd "$node" | grep -o '/[^ ]*'); do
    [ -e "$root$library" ] || install -D "$library" "$root$library"
  done
  chroot "$root" node --version >/dev/null

  ln -sfn /proc/self/mounts "$root/etc/mtab"
  echo 'root:x:0:0:root:/root:/bin/bash' >"$root/etc/passwd"
  echo 'root:x:0:' >"$root/etc/group"
  echo '127.0.0.1 localhost dom0' >"$root/etc/hosts"
  install "$here/init.sh" "$root/init"
  install "$here/hotplug.sh" "$root/etc/xen/scripts/vdistream"
  truncate -s "$(($(du -sm "$root" | cut -f1) * 115 / 100 + 64))M" "$out/root.img"
  mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$root" "$out/root.img"
}

# Debian's kernel has neither virtio nor ext4 built in, so the initrd loads them. Without crc32c-intel, an optional module that a plain
# processor does not support.
first_file_system() {
  local name first=$scratch/first
  mkdir -p "$first"/{bin,proc,sys,dev,root,modules}
  cp "$scratch/root/usr/bin/busybox" "$first/bin/"
  for name in virtio_pci virtio_blk ext4 crc32c_generic; do
    chroot "$scratch/root" modprobe -S "$version" --show-depends "$name" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
  done | awk '!/crc32c-intel/ && !seen[$0]++' >"$scratch/modules"
  while read -r name; do
    cp "$scratch/root$name" "$first/modules/"
    echo "/modules/${name##*/}"
  done <"$scratch/modules" >"$first/modules/list"
  cat >"$first/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev
while read -r module; do insmod "$module"; done </modules/list
until [ -b /dev/vda ]; do usleep 50000; done
mount -t ext4 -o noatime /dev/vda /root || { echo 'vdistream-dom0: no root file system' && poweroff -f; }
for folder in proc sys dev; do mount --move /$folder /root/$folder; done
exec switch_root /root /init
INIT
  chmod +x "$first/init"
  (cd "$first" && find . | "$scratch/root/usr/bin/busybox" cpio -o -H newc) 2>/dev/null | gzip -1 >"$out/initrd.gz"
}

here=$(cd "$(dirname "$0")" && pwd)
case $1 in
  versions) versions ;;
  into)
    out=$2 node=$3 debs=$scratch/guest/archives
    mkdir -p "$out"
    host_programs
    apt_guest --download-only
    hypervisor
    kernel
    root_file_system
    first_file_system
    ;;
  *) exit 64 ;;
esac
