#!/usr/bin/env bash
# contain.sh ROOT FOLDER USER [VOLUME…] -- [NAME=VALUE…] PROGRAM [ARGUMENT…]: runs a program of the root file system ROOT as a
# container runtime does: as a user without privileges, ROOT read-only, processes and network of its own (loopback alone).
# FOLDER is where it works. A volume is PLACE (empty, may be written) or PLACE=SOURCE (read-only). Linux, and root.
set -euo pipefail

if [ "${1:-}" != --inside ]; then
    exec unshare --mount --net --pid --fork --kill-child -- "$BASH" "$0" --inside "$@"
fi
shift
root=$1 folder=$2 user=$3
shift 3

mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
for place in dev sys; do mount --rbind "/$place" "$root/$place"; done
while [ "$1" != -- ]; do
    mkdir -p "$root${1%%=*}" # it may lie in one before it
    case $1 in
        *=*)
            mount --bind "${1#*=}" "$root${1%%=*}"
            mount -o remount,bind,ro "$root${1%%=*}"
            ;;
        *) mount -t tmpfs -o mode=1777 tmpfs "$root$1" ;;
    esac
    shift
done
shift
ip link set lo up

environment=()
while [[ $1 == *=* ]]; do environment+=("$1") && shift; done
unshare=$(command -v unshare)
exec setpriv --no-new-privs -- env -i "${environment[@]}" "$unshare" \
    --root="$root" --wd="$folder" --setgid "$user" --setuid "$user" -- "$@"
