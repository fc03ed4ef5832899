#!/bin/sh
# root.sh ROOT: makes a root file system of the programs and libraries that lie in ROOT already: what they link, the
# certificates, a user. Runs in the image's base (Dockerfile).
set -eu
root=$1

for file in "$root"/usr/local/bin/sidegate* "$root"/usr/local/bin/lib/libonnxruntime.so; do
    # A library that is missing must end the build, not the container.
    needs=$(ldd "$file")
    case $needs in *"not found"*) echo "$file: $needs" >&2; exit 1 ;; esac
    # Each line that names a file: `NAME => FILE (…)`, and the loader alone.
    echo "$needs" | sed -n 's|.* => \(/[^ ]*\) .*|\1|p; s|^[[:space:]]*\(/[^ ]*\) .*|\1|p'
done | sort -u | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done

mkdir -p "$root/etc/ssl/certs" "$root/tmp" "$root/srv/models" "$root/work" "$root/var/cache/sidegate" "$root/run/sidegate"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
echo 'sidegate:x:65532:65532::/srv:/nonexistent' >"$root/etc/passwd"
echo 'sidegate:x:65532:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
# What may be written where the root is not read-only; elsewhere these are where volumes go.
chown 65532:65532 "$root/work" "$root/var/cache/sidegate" "$root/run/sidegate"
chmod 1777 "$root/tmp"
