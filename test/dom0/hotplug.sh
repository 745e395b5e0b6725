#!/bin/bash
# What xl runs when it attaches or detaches a block device, in place of Xen's own script: this tells the backend the numbers of the
# device, and that is all that a block device needs. Xen's also takes a lock and looks for other users of the device, in some sixty
# processes, which is most of the time that an attach takes here.
[ "$1" = add ] || exit 0
numbers=$(stat -L -c %t:%T "$(xenstore-read "$XENBUS_PATH/params")") &&
  exec xenstore-write "$XENBUS_PATH/physical-device" "$numbers" "$XENBUS_PATH/hotplug-status" connected
exec xenstore-write "$XENBUS_PATH/hotplug-error" 'no such device' "$XENBUS_PATH/hotplug-status" error
