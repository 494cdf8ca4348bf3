#!/bin/bash
# Boots a systemd of its own, in which nothing runs but the journal and the units of a folder: `boot-systemd.sh FOLDER CGROUP PATH…`.
# FOLDER has units (*.service) and `etc-bufwatch`; CGROUP is an empty group of the second version; the PATHs are seen inside as they are here, and
# of the rest of the file system a copy that is forgotten. The first PATH becomes /usr/local/bin/bufwatch.
set -euo pipefail

if [ "${BOOT_STAGE:-}" != inside ]; then
  echo $$ > "$2/cgroup.procs"
  export BOOT_STAGE=inside
  exec unshare --mount --pid --cgroup --ipc --uts --net --fork --propagation private --kill-child bash "$0" "$@"
fi

folder=$1
shift 2
ip link set lo up

base=$folder/base
mkdir "$base"
mount -t tmpfs tmpfs "$base"
mkdir "$base/upper" "$base/work" "$base/root"
root=$base/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
umount --lazy "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
touch "$root/usr/local/bin/bufwatch"
mount --bind "$1" "$root/usr/local/bin/bufwatch"
for path in "$@"; do
  if [ -d "$path" ]; then mkdir -p "$root$path"; else mkdir -p "$root${path%/*}"; touch "$root$path"; fi
  mount --bind "$path" "$root$path"
done

# What a host starts would change what is not this namespace's: the clock, kernel settings, devices.
system=$root/usr/lib/systemd/system
rm -rf "$system"/*.wants "$root"/etc/systemd/system/* "$root"/usr/lib/systemd/system-generators/*
mkdir -p "$system/sysinit.target.wants" "$root/etc/systemd/system/multi-user.target.wants" "$root/etc/bufwatch"
ln -s ../systemd-journald.service "$system/sysinit.target.wants/"
for unit in "$folder"/*.service; do
  cp "$unit" "$root/etc/systemd/system/"
  ln -s "../${unit##*/}" "$root/etc/systemd/system/multi-user.target.wants/"
done
cp -r "$folder/etc-bufwatch/." "$root/etc/bufwatch/"
ln -sf /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"

cd "$root"
export container=bufwatch-test
unset BOOT_STAGE
exec chroot . /usr/lib/systemd/systemd --system --show-status=no --log-target=console
