#!/usr/bin/env bash
# Builds the runtime stages of the Dockerfile around programs that exist, starts the image, and asks it over loopback.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<END
Usage: scripts/image.sh --binaries FOLDER [--keep FILE.tar] [--train]

For machines without Docker and without a registry of images: buildah with chroot isolation (as root), on a base by
debootstrap (the same Debian as the Dockerfile's). Debian: apt install buildah debootstrap.

  --binaries FOLDER   has sidegate and sidegate-train, for Debian 12 or older
  --base FOLDER       a root file system of Debian 12 with ca-certificates and libstdc++6 [default: made, and kept in the cache]
  --train             build sidegate-train's image as well
  --keep FILE.tar     write sidegate's image as an OCI archive
END
}

binaries='' base='' keep='' targets=(sidegate)
while [ $# -gt 0 ]; do
    case $1 in
        --binaries) binaries=${2:?} && shift ;;
        --base) base=${2:?} && shift ;;
        --keep) keep=${2:?} && shift ;;
        --train) targets+=(sidegate-train) ;;
        -h | --help) usage && exit 0 ;;
        *) usage >&2 && exit 2 ;;
    esac
    shift
done
[ -x "$binaries/sidegate" ] || fail "--binaries names no folder with sidegate"
[ -x "$binaries/sidegate-train" ] || fail "--binaries names no folder with sidegate-train"
for tool in buildah debootstrap curl; do command -v $tool >/dev/null || fail "there is no $tool: apt install $tool"; done
[ "$(id -u)" = 0 ] || fail "chroot isolation needs root"

work=$(mktemp -d)
server=''
store=(buildah --root "$work/store" --runroot "$work/run" --storage-driver vfs)
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    "${store[@]}" rm --all >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap finish EXIT

if [ -z "$base" ]; then
    base=$cache/bookworm
    if [ ! -e "$base.complete" ]; then
        rm -rf "$base" && mkdir -p "$cache"
        debootstrap --variant=minbase --include=ca-certificates,libstdc++6 bookworm "$base" >"$work/debootstrap.log" ||
            fail "debootstrap failed: $(tail -3 "$work/debootstrap.log")"
        touch "$base.complete"
    fi
fi

# What the cut stages would have made.
mkdir -p "$work/programs/out" "$work/onnxruntime/out"
cp "$binaries/sidegate" "$binaries/sidegate-train" "$work/programs/out/"
scripts/onnxruntime.sh "$work/onnxruntime/out/lib" >/dev/null
sed '/^# --- build/,/^# --- runtime/d' Dockerfile >"$work/Dockerfile"

container=$("${store[@]}" from scratch)
"${store[@]}" add -q "$container" "$base" / >/dev/null
"${store[@]}" commit -q "$container" localhost/base >/dev/null
"${store[@]}" rm "$container" >/dev/null

for target in "${targets[@]}"; do
    "${store[@]}" bud --quiet --isolation chroot --pull-never --format docker --build-arg BASE=localhost/base \
        --build-context "programs=$work/programs" --build-context "onnxruntime=$work/onnxruntime" \
        --target "$target" --tag "localhost/$target" --file "$work/Dockerfile" . >/dev/null
    "${store[@]}" push -q "localhost/$target" "docker-archive:$work/$target.tar"
    bytes=$(gzip -c "$work/$target.tar" | wc -c)
    echo "$target: $((bytes / 1000000)) MB compressed"
    [ "$target" != sidegate ] || [ "$bytes" -le 100000000 ] || fail "the image is larger than 100 MB"
done
[ -z "$keep" ] || "${store[@]}" push -q localhost/sidegate "oci-archive:$keep"

container=$("${store[@]}" from --pull-never localhost/sidegate)
mounted=$("${store[@]}" mount "$container")
[ -z "$(find "$mounted" -name sh -o -name bash -o -name busybox)" ] || fail "there is a shell in the image"
[ "$("${store[@]}" inspect --type image --format '{{.OCIv1.Config.User}}' localhost/sidegate)" = 65532:65532 ] || fail "the image runs as root"

free_port() { "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
data=127.0.0.1:$(free_port) admin=127.0.0.1:$(free_port)
in_image() { "${store[@]}" run --isolation chroot --volume "$root/models:/srv/models:ro" "$@"; }
# The container has the host's network, and `run` takes the program by name.
in_image --env "SIDEGATE_HTTP__LISTEN=$data" --env "SIDEGATE_ADMIN__LISTEN=$admin" \
    "$container" -- /usr/local/bin/sidegate serve >"$work/log" 2>&1 &
server=$!
# The health check's own command is the question.
for _ in $(seq 100); do
    ! in_image "$container" -- /usr/local/bin/sidegate probe --admin "$admin" >/dev/null 2>&1 || break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.2
done
in_image "$container" -- /usr/local/bin/sidegate probe --admin "$admin" || fail "not ready: $(tail -5 "$work/log")"
in_image "$container" -- /usr/local/bin/sidegate status --admin "$admin"
curl --fail --silent --show-error "http://$data/v2/models/wine/infer" --json \
    "$("$python" -c 'import json; print(json.dumps({"inputs": [{"name": "input", "shape": [1, 13], "datatype": "FP32", "data": [1.0] * 13}]}))')" && echo
wrote=$(find "$mounted" -xdev -newer "$work/log" -type f ! -path '*/etc/resolv.conf' ! -path '*/etc/hosts' ! -path '*/run/*' | head)
[ -z "$wrote" ] || fail "it wrote into its root: $wrote"
