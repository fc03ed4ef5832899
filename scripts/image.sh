#!/usr/bin/env bash
# Builds the runtime stages of the Dockerfile around programs that exist, starts the images, and asks them over loopback.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<END
Usage: scripts/image.sh --binaries FOLDER [--base FOLDER] [--keep FOLDER]

For machines without Docker and without a registry of images: buildah with chroot isolation (as root), on a base by
debootstrap, the same Debian as the Dockerfile's. Debian: apt install buildah debootstrap.

  --binaries FOLDER  has sidegate and sidegate-train, stripped, for Debian 12 or older
  --base FOLDER      a root file system of Debian 12 with ca-certificates and libstdc++6 [default: made, and kept in the cache]
  --keep FOLDER      where sidegate.tar and sidegate-train.tar are put, for \`docker load\`

STORAGE_DRIVER       buildah's [default: overlay]

Example:
  scripts/image.sh --binaries target/dist --keep target/images
END
}

binaries='' base='' keep=''
while [ $# -gt 0 ]; do
    case $1 in
        --binaries) binaries=${2:?} && shift ;;
        --base) base=${2:?} && shift ;;
        --keep) keep=${2:?} && shift ;;
        -h | --help) usage && exit 0 ;;
        *) usage >&2 && exit 2 ;;
    esac
    shift
done
for program in sidegate sidegate-train; do [ -x "$binaries/$program" ] || fail "--binaries names no folder with $program"; done
for tool in buildah debootstrap curl ip; do has $tool || fail "there is no $tool: apt install $tool"; done
[ "$(id -u)" = 0 ] || fail "chroot isolation needs root"

work=$(mktemp -d)
server=''
store=(buildah --root "$work/store" --runroot "$work/run" --storage-driver "${STORAGE_DRIVER:-overlay}")
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    "${store[@]}" umount --all >/dev/null 2>&1 || true
    "${store[@]}" rm --all >/dev/null 2>&1 || true
    umount "$work/store/overlay" 2>/dev/null || true
    rm -rf --one-file-system "$work"
}
trap finish EXIT

if [ -z "$base" ]; then
    base=$cache/bookworm
    if [ ! -e "$base.complete" ]; then
        echo "making a Debian 12 to build on"
        rm -rf "$base" && mkdir -p "$cache"
        debootstrap --variant=minbase --include=ca-certificates,libstdc++6 bookworm "$base" >"$work/debootstrap.log" ||
            fail "debootstrap failed: $(tail -3 "$work/debootstrap.log")"
        touch "$base.complete"
    fi
fi

# What the stages make that are cut off.
for stage in gateway train onnxruntime learners; do mkdir -p "$work/$stage/out"; done
cp "$binaries/sidegate" "$work/gateway/out/"
cp "$binaries/sidegate-train" "$work/train/out/"
scripts/onnxruntime.sh "$work/onnxruntime/out" >/dev/null
scripts/learners.sh "$work/learners/out" >/dev/null
sed '/^# --- build/,/^# --- runtime/d' Dockerfile >"$work/Dockerfile"

container=$("${store[@]}" from scratch)
"${store[@]}" add -q "$container" "$base" / >/dev/null
"${store[@]}" commit -q "$container" localhost/base >/dev/null
"${store[@]}" rm "$container" >/dev/null

# image TARGET: builds it, and says how large it is.
image() {
    "${store[@]}" bud --quiet --isolation chroot --pull-never --format docker --build-arg BASE=localhost/base \
        --build-context "gateway=$work/gateway" --build-context "train=$work/train" \
        --build-context "onnxruntime=$work/onnxruntime" --build-context "learners=$work/learners" \
        --target "$1" --tag "localhost/$1" --file "$work/Dockerfile" . >/dev/null
    "${store[@]}" push -q "localhost/$1" "oci-archive:$work/$1.tar"
    local bytes
    bytes=$(wc -c <"$work/$1.tar")
    echo "$1: $((bytes / 1000000)) MB compressed"
    [ "$bytes" -le 100000000 ] || fail "the image is larger than 100 MB"
    if [ -n "$keep" ]; then
        mkdir -p "$keep" && rm -f "$keep/$1.tar"
        # This form carries the health check.
        "${store[@]}" push -q "localhost/$1" "docker-archive:$keep/$1.tar:$1:latest"
    fi
}

# configured IMAGE KEY: what the image says of itself, one word a line.
configured() {
    "${store[@]}" inspect --type image "localhost/$1" | "$python" -c '
import json, sys
config = json.load(sys.stdin)["Docker"]["config"]
about = config["Healthcheck"]["Test"][1:] if sys.argv[1] == "Healthcheck" else config[sys.argv[1]]
about = [f"{name}={value}" for name, value in about.items()] if isinstance(about, dict) else about
print(*([about] if isinstance(about, str) else about), sep="\n")' "$2"
}

# contained IMAGE [VOLUME…] -- [NAME=VALUE…] ARGUMENT…: the image as it says of itself that it is to be started.
contained() {
    local image=$1 container mounted volumes=() entry environment
    shift
    while [ "$1" != -- ]; do volumes+=("$1") && shift; done
    shift
    container=$("${store[@]}" from --pull-never "localhost/$image")
    mounted=$("${store[@]}" mount "$container")
    [ -z "$(find "$mounted" -name '*sh' -type f -path '*bin/*' -o -name 'busybox*')" ] || fail "there is a shell in $image"
    # Where a container runtime mounts things.
    mkdir -p "$mounted/proc" "$mounted/dev" "$mounted/sys"
    for volume in "${volumes[@]}"; do mkdir -p "$mounted${volume%%=*}"; done
    mapfile -t entry < <(configured "$image" Entrypoint)
    mapfile -t environment < <(configured "$image" Env)
    local user
    user=$(configured "$image" User)
    [ "$user" = 65532:65532 ] || fail "$image runs as $user"
    while [[ $1 == *=* ]]; do environment+=("$1") && shift; done
    exec "$BASH" scripts/release/contain.sh "$mounted" "$(configured "$image" WorkingDir)" "${user%:*}" "${volumes[@]}" -- \
        "${environment[@]}" "${entry[@]}" "$@"
}

# === sidegate: serves, says that it is ready, ends when it is told to ===

image sidegate
mapfile -t command < <(configured sidegate Cmd)
mapfile -t health < <(configured sidegate Healthcheck)
# One model by ONNX Runtime, which would choose another engine.
contained sidegate "/srv/models=$root/models" /tmp -- SIDEGATE_REGISTRY__MODELS=wine,digits SIDEGATE_MODELS__DIGITS__ENGINE=ort \
    "${command[@]}" >"$work/log" 2>&1 &
server=$!
# Its first process, whose network and root the others enter.
first() { cat "/proc/$server/task/$server/children" 2>/dev/null | tr -d ' '; }
inside() { nsenter --target "$(first)" --mount --net --pid --root --wd --setuid 65532 --setgid 65532 -- "$@"; }
for _ in $(seq 150); do
    ! inside "${health[@]}" >/dev/null 2>&1 || break
    kill -0 "$server" 2>/dev/null || fail "it ended: $(tail -5 "$work/log")"
    sleep 0.2
done
inside "${health[@]}" || fail "not ready: $(tail -5 "$work/log")"
outside() { nsenter --target "$(first)" --net -- curl --fail --silent --show-error --max-time 10 "$@"; }
outside http://127.0.0.1:8000/v2/health/ready
outside http://127.0.0.1:8000/v2/models/wine/infer --json \
    "$("$python" -c 'import json; print(json.dumps({"inputs": [{"name": "input", "shape": [1, 13], "datatype": "FP32", "data": [1.0] * 13}]}))')"
echo
models=$(inside /usr/local/bin/sidegate models)
echo "$models"
grep -q 'digits .* ort' <<<"$models" || fail "ONNX Runtime was not found"
kill -TERM "$(first)"
status=0
wait "$server" || status=$?
server=''
[ "$status" = 0 ] || fail "it ended by exit code $status after SIGTERM: $(tail -5 "$work/log")"

# === where it listens, by whoever says so; nothing of the image stands in the way of SageMaker and of a pod ===

# listens WANTED [NAME=VALUE…] [ARGUMENT…]: that `sidegate check` of the image says so.
listens() {
    local wanted=$1 found named=()
    shift
    while [[ ${1:-} == *=* ]]; do named+=("$1") && shift; done
    found=$(contained sidegate "/srv/models=$root/models" "/pod=$root/deploy/k8s/base" /tmp -- "${named[@]}" check --json "$@" | "$python" -c '
import json, sys
print(*(value["value"] for value in json.load(sys.stdin)["values"] if value["key"] == "http.listen"))')
    [ "$found" = "$wanted" ] || fail "with ${named[*]} $* it listens on $found, not on $wanted"
    echo "${named[*]} check $*: it listens on $found"
}
listens 0.0.0.0:8000
listens 0.0.0.0:18080 SAGEMAKER_BIND_TO_PORT=18080
listens 127.0.0.1:8000 --config /pod/sidegate.toml
labels=$(configured sidegate Labels)
for capability in accept-bind-to-port multi-models; do
    grep --fixed-strings --line-regexp --quiet "com.amazonaws.sagemaker.capabilities.$capability=true" <<<"$labels" ||
        fail "the image does not tell SageMaker that it knows $capability"
done

# === sidegate-train: trains by either library, all it writes in its volume ===

image sidegate-train
for name in breast-cancer flight-delay; do
    (contained sidegate-train /var/lib/sidegate-train "/var/lib/sidegate-train/models=$root/models" "/var/lib/sidegate-train/config=$root/config" /tmp -- \
        OMP_WAIT_POLICY=passive run "config/train.$name.toml") >"$work/log" 2>&1 || fail "$(tail -20 "$work/log")"
    tail -1 "$work/log" | cut -c 1-300
done
