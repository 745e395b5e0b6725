#!/bin/bash
# The first process in the guest: makes a Dom0 of it, unpacks what the host has brought, and runs the tests. Whatever is printed
# goes to the console, which the host keeps for the case that something breaks; the tests have a channel of their own.
export PATH=/usr/lib/xen-4.17/bin:/usr/sbin:/usr/bin HOME=/root LANG=C NO_COLOR=1

# There is no udev: device-mapper is not to wait for it, and makes its nodes itself.
export DM_DISABLE_UDEV=1

# The host ends the machine as soon as it has read the end, whatever that is. Should it be gone, the machine is not to stay.
end() {
  sleep 60
  echo o >/proc/sysrq-trigger
  sleep infinity
}

die() {
  echo "vdistream-dom0: failed: $*"
  end
}

step() {
  read -r up _ </proc/uptime
  echo "vdistream-dom0: $up s: $1"
  "$@" || die "$@"
}

file_systems() {
  mount -t tmpfs run /run && mount -t tmpfs tmp /tmp && mount -t tmpfs work /work && mount -t tmpfs xen /var/lib/xenstored || return
  mkdir -p /dev/shm /dev/pts /run/xen /run/xenstored /run/lock/lvm || return
  mount -t tmpfs shm /dev/shm && mount -t devpts pts /dev/pts || return
  rm -rf /var/run && ln -s /run /var/run
}

# xl and its friends are called from their own folder: those in /usr/sbin only look for the Xen that runs.
xen() {
  modprobe -a xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs xen-blkback xen-blkfront &&
    mount -t xenfs xenfs /proc/xen && grep -q control_d /proc/xen/capabilities || return
  xenstored --pid-file /run/xenstored.pid || return
  until xenstore-read -s / >/dev/null 2>&1; do sleep 0.1; done
  xen-init-dom0 && xenconsoled --pid-file=/run/xenconsoled.pid
}

# Two volume groups named as SM names them, on a disk with sectors of 512 bytes and on one of 4096.
volume_groups() {
  modprobe -a dm-mod dm-flakey dm-delay dm-snapshot dm-thin-pool || return
  printf '%s\n' 'devices { use_devicesfile=0 }' 'activation { udev_sync=0 udev_rules=0 monitoring=0 }' \
    'backup { backup=0 archive=0 }' 'global { event_activation=0 }' >/etc/lvm/lvm.conf
  vgcreate -qq -s 1m VG_XenStorage-00000512-0000-4000-8000-000000000000 /dev/vdb &&
    vgcreate -qq -s 1m VG_XenStorage-00004096-0000-4000-8000-000000000000 /dev/vdc
}

# From the fourth disk; as a file system of the host (9p) it would be one more driver to trust.
payload() {
  tar -x -C /work -f /dev/vdd && hostname dom0
}

# The channel is a virtio port: no line discipline, and no kernel message between two lines. Its node has the number that the
# bus gave to the device.
tests() {
  local port
  modprobe virtio_console || return
  until port=$(compgen -G '/dev/vport*p1'); do sleep 0.1; done
  cd /work && node test/dom0/guest.mjs >"$port" </dev/null
}

step file_systems
step xen
step volume_groups
step payload
step tests
end
