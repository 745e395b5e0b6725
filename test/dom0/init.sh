#!/bin/bash
# The first process in the guest: turns it into a Dom0, unpacks the payload, and runs the tests. Output goes to the console, which the
# host keeps in case something breaks; the tests have their own channel.
export PATH=/usr/lib/xen-4.17/bin:/usr/sbin:/usr/bin HOME=/root LANG=C NO_COLOR=1

# There is no udev: device-mapper must create its nodes itself, and not wait for it.
export DM_DISABLE_UDEV=1

# The host kills the machine once the tests have ended or failed. If the host process is gone, the machine powers itself off.
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

# xl and the other Xen tools run from their own folder: those in /usr/sbin are wrappers that look up the running Xen.
xen() {
  modprobe -a xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs xen-blkback xen-blkfront &&
    mount -t xenfs xenfs /proc/xen && grep -q control_d /proc/xen/capabilities || return
  xenstored --pid-file /run/xenstored.pid || return
  until xenstore-read -s / >/dev/null 2>&1; do sleep 0.1; done
  xen-init-dom0 && xenconsoled --pid-file=/run/xenconsoled.pid
}

# Two volume groups, named like SM's, on disks with sectors of 512 and 4096 bytes.
volume_groups() {
  modprobe -a dm-mod dm-flakey dm-delay dm-snapshot dm-thin-pool || return
  printf '%s\n' 'devices { use_devicesfile=0 }' 'activation { udev_sync=0 udev_rules=0 monitoring=0 }' \
    'backup { backup=0 archive=0 }' 'global { event_activation=0 }' >/etc/lvm/lvm.conf
  vgcreate -qq -s 1m VG_XenStorage-00000512-0000-4000-8000-000000000000 /dev/vdb &&
    vgcreate -qq -s 1m VG_XenStorage-00004096-0000-4000-8000-000000000000 /dev/vdc
}

# The fourth disk is the tar; sharing a host folder (9p) would need one more driver.
payload() {
  tar -x -C /work -f /dev/vdd && hostname dom0
}

# The channel is a virtio port: it has no line discipline, and no kernel messages among its lines. The name of its node depends on the
# device's number on the bus.
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
