#!/bin/sh
# root.sh ROOT: makes a root file system of the programs and libraries that lie in ROOT already: what they link, the
# certificates, a user. Runs in the image's base (Dockerfile).
set -eu
root=$1

# Libraries find each other where the programs look for them.
export LD_LIBRARY_PATH="$root/usr/local/bin/lib"
needs=$(ldd "$root"/usr/local/bin/sidegate* "$root"/usr/local/bin/lib/*.so)
# A library that is missing must end the build, not the container.
case $needs in *"not found"*) echo "$needs" >&2; exit 1 ;; esac
# Each line that names a file: `NAME => FILE (…)`, and the loader alone.
echo "$needs" | sed -n 's|.* => \(/[^ ]*\) .*|\1|p; s|^[[:space:]]*\(/[^ ]*\) .*|\1|p' | sort -u | while read -r library; do
    case $library in "$root"/*) continue ;; esac
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done

mkdir -p "$root/etc/ssl/certs"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
echo 'sidegate:x:65532:65532::/srv:/nonexistent' >"$root/etc/passwd"
echo 'sidegate:x:65532:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
# The terms under which those come.
for package in ca-certificates libc6 libgcc-s1 libstdc++6; do
    mkdir -p "$root/usr/share/doc/$package"
    cp -L "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/"
done

# Where volumes go; they may be written, by any user, where the root is not read-only.
mkdir -p "$root/tmp" "$root/srv/models" "$root/var/lib/sidegate-train" "$root/var/cache/sidegate" "$root/run/sidegate"
chmod 1777 "$root/tmp" "$root/var/lib/sidegate-train" "$root/var/cache/sidegate" "$root/run/sidegate"
